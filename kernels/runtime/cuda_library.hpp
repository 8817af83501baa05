#pragma once

#include "base/result.hpp"
#include "kernels/include/headrace_device.h"

#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

/// libheadrace_cuda.so, opened when asked for: one binary starts on hosts with and without CUDA.
namespace headrace::kernels {

/// A library with the C ABI of kernels/include/, held open as long as the object lives.
///
///     const auto library = cuda_library::open(cuda_library_path());
///     if (!library) …                      // says what is missing
///     const auto gather = library->entry<decltype(headrace_gather_pool)>("headrace_gather_pool");
///     if (gather == nullptr) …             // the library is older than this operator
///
/// Thread-safe once made: it only reads.
class cuda_library {
 public:
  /// Opens `file`. Fails: not_found where there is no such file, unavailable where it cannot be
  /// loaded or is not the CUDA library. Having the library doesn't mean having a device: ask
  /// devices(). The CPU library has the same entries: what calls them is tested with backend "cpu".
  static result<cuda_library> open(const std::filesystem::path& file,
                                   std::string_view backend = "cuda");

  ~cuda_library();
  cuda_library(cuda_library&& from) noexcept;
  cuda_library& operator=(cuda_library&& from) noexcept;

  const std::filesystem::path& file() const { return file_; }
  std::uint32_t version() const { return version_; }

  /// The function of that name, null where the library has none.
  template <class Function>
  Function* entry(const char* name) const {
    static_assert(std::is_function_v<Function>);
    return reinterpret_cast<Function*>(symbol(name));
  }

  /// All devices it can ask about; `refused` of each says why one is not used.
  std::vector<headrace_device_info> devices() const;
  /// Why devices() is empty, such as "no driver: …"; "" where it is not.
  std::string refused() const;

 private:
  explicit cuda_library(void* handle, std::filesystem::path file)
      : handle_(handle), file_(std::move(file)) {}
  void* symbol(const char* name) const;

  void* handle_;
  std::filesystem::path file_;
  std::uint32_t version_ = 0;
};

/// Where the library is looked for: HEADRACE_CUDA_LIBRARY, else libheadrace_cuda.so beside the
/// running binary.
std::filesystem::path cuda_library_path();

}  // namespace headrace::kernels
