#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace headrace {

/// Immutable, reference-counted bytes, always 8-byte aligned: how bulk data travels between
/// threads, actors and processes without being copied. Cheap to copy; safe to share between
/// threads.
class frame {
 public:
  frame() = default;

  /// Copies `bytes` into aligned memory of its own.
  static frame copy_of(std::span<const std::byte> bytes);
  /// Shares memory that `keeper` keeps alive. `bytes` must be 8-byte aligned (CHECKed): use
  /// `copy_of` where it may not be, as with small ZeroMQ frames.
  static frame sharing(std::span<const std::byte> bytes, std::shared_ptr<const void> keeper);
  /// True when `bytes` starts on an 8-byte boundary, so `sharing` accepts it.
  static bool is_aligned(std::span<const std::byte> bytes) {
    return reinterpret_cast<std::uintptr_t>(bytes.data()) % 8 == 0;
  }

  std::span<const std::byte> bytes() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  /// What keeps the bytes alive, to hand to a library that frees by callback.
  const std::shared_ptr<const void>& keeper() const { return keeper_; }

 private:
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> keeper_;
};

}  // namespace headrace
