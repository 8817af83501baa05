#include "kernels/abi/error_text.hpp"

#include <array>
#include <cstdio>

namespace headrace::kernels::abi {
namespace {

thread_local std::array<char, 512> last_error{};

}  // namespace

headrace_status set_error(headrace_status status, const char* op, const char* text) noexcept {
  std::snprintf(last_error.data(), last_error.size(), "%s: %s", op, text);
  return status;
}

}  // namespace headrace::kernels::abi

extern "C" const char* headrace_last_error(void) {
  return headrace::kernels::abi::last_error.data();
}

extern "C" uint32_t headrace_version(void) { return HEADRACE_KERNELS_VERSION; }

extern "C" const char* headrace_status_name(headrace_status status) {
  constexpr std::array<const char*, 10> names = {"ok",
                                                "bad_argument",
                                                "bad_struct",
                                                "unsupported",
                                                "no_device",
                                                "out_of_memory",
                                                "small_workspace",
                                                "device_failed",
                                                "internal",
                                                 "peer_gone"};
  if (status < 0 || static_cast<std::size_t>(status) >= names.size()) return "unknown";
  return names[static_cast<std::size_t>(status)];
}
