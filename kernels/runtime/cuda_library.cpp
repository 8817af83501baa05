#include "kernels/runtime/cuda_library.hpp"

#include <cstdlib>
#include <dlfcn.h>
#include <string_view>
#include <utility>

namespace headrace::kernels {
namespace {

error not_there(const std::filesystem::path& file) {
  return {errc::not_found,
          "no CUDA library: " + file.string() +
              " is not there; the build preset cuda makes it, HEADRACE_CUDA_LIBRARY names another"};
}

error cannot_use(const std::filesystem::path& file, const std::string& why) {
  return {errc::unavailable, "CUDA library " + file.string() + " cannot be used: " + why};
}

}  // namespace

result<cuda_library> cuda_library::open(const std::filesystem::path& file,
                                        std::string_view wanted) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(file, ignored)) return not_there(file);
  // Local: the CPU library has entries of the same names. Absolute, or dlopen looks elsewhere.
  const std::filesystem::path whole = std::filesystem::absolute(file, ignored);
  // Never unloaded: its CUDA runtime would have to clean up, maybe after a device was lost.
  void* handle = dlopen(whole.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) return cannot_use(file, dlerror());
  cuda_library library(handle, file);
  auto* version = library.entry<decltype(headrace_version)>("headrace_version");
  auto* backend = library.entry<decltype(headrace_backend)>("headrace_backend");
  if (version == nullptr || backend == nullptr) return cannot_use(file, "it is something else");
  if (std::string_view(backend()) != wanted) {
    return cannot_use(file, "it is the library of backend " + std::string(backend()));
  }
  library.version_ = version();
  return library;
}

cuda_library::~cuda_library() {
  if (handle_ != nullptr) dlclose(handle_);
}

cuda_library::cuda_library(cuda_library&& from) noexcept
    : handle_(std::exchange(from.handle_, nullptr)),
      file_(std::move(from.file_)),
      version_(from.version_) {}

cuda_library& cuda_library::operator=(cuda_library&& from) noexcept {
  std::swap(handle_, from.handle_);
  std::swap(file_, from.file_);
  std::swap(version_, from.version_);
  return *this;
}

void* cuda_library::symbol(const char* name) const { return dlsym(handle_, name); }

std::vector<headrace_device_info> cuda_library::devices() const {
  auto* count = entry<decltype(headrace_device_count)>("headrace_device_count");
  auto* about = entry<decltype(headrace_device_about)>("headrace_device_about");
  std::vector<headrace_device_info> found;
  if (count == nullptr || about == nullptr) return found;
  for (std::int32_t index = 0; index < count(); ++index) {
    headrace_device_info info{};
    info.struct_size = sizeof(info);
    if (about(index, &info) == HEADRACE_OK) found.push_back(info);
  }
  return found;
}

std::string cuda_library::refused() const {
  auto* about = entry<decltype(headrace_device_about)>("headrace_device_about");
  auto* text = entry<decltype(headrace_last_error)>("headrace_last_error");
  if (about == nullptr || text == nullptr) return "the library is older than headrace";
  headrace_device_info info{};
  info.struct_size = sizeof(info);
  if (about(0, &info) == HEADRACE_OK) return "";
  const std::string why = text();
  constexpr std::string_view op = "device_about: ";
  return why.starts_with(op) ? why.substr(op.size()) : why;
}

std::filesystem::path cuda_library_path() {
  const char* given = std::getenv("HEADRACE_CUDA_LIBRARY");
  if (given != nullptr && *given != '\0') return given;
  std::error_code ignored;
  const auto binary = std::filesystem::read_symlink("/proc/self/exe", ignored);
  return binary.parent_path() / "libheadrace_cuda.so";
}

}  // namespace headrace::kernels
