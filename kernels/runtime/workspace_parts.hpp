#pragma once

#include <cstddef>
#include <cstdint>

namespace headrace::kernels {

/// Cuts a workspace into arrays, each at a multiple of 128 bytes. From null it only measures: the
/// query of an operator and the operator itself run the same code.
class workspace_parts {
 public:
  explicit workspace_parts(std::byte* workspace) : workspace_(workspace) {}

  /// The next `count` values; null while measuring.
  template <class Value>
  Value* take(std::size_t count) {
    std::byte* at = workspace_ == nullptr ? nullptr : workspace_ + bytes_;
    bytes_ += (count * sizeof(Value) + alignment - 1) / alignment * alignment;
    return reinterpret_cast<Value*>(at);
  }

  /// All that was taken so far.
  std::size_t bytes() const { return bytes_; }

 private:
  static constexpr std::size_t alignment = 128;
  std::byte* workspace_;
  std::size_t bytes_ = 0;
};

}  // namespace headrace::kernels
