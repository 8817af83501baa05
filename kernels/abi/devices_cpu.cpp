#include "kernels/include/headrace_kernels.h"
#include "kernels/runtime/targets.hpp"

#include <exception>
#include <string>

namespace headrace::kernels {
namespace {

std::string described() {
  return R"({"backend":"cpu","version":)" + std::to_string(HEADRACE_KERNELS_VERSION) +
         R"(,"refused":"","device":[{"index":0,"name":")" + name(chosen_cpu_target()) +
         R"(","refused":""}]})";
}

}  // namespace
}  // namespace headrace::kernels

extern "C" const char* headrace_backend(void) { return "cpu"; }

extern "C" const char* headrace_devices(void) {
  try {
    thread_local std::string text;
    text = headrace::kernels::described();
    return text.c_str();
  } catch (const std::exception&) {
    return R"({"backend":"cpu","refused":"the host has no memory left","device":[]})";
  }
}
