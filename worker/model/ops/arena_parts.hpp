#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::worker {

/// Parts of a layer's buffer one behind the other, floats and words of the same size. Without a
/// buffer it counts what the same calls would take, and gives empty parts: so one function says
/// both how much there is and where it lies.
///
/// The words lie in memory of the arena, which is raw: what is written as words is read as words.
class arena_parts {
 public:
  arena_parts() = default;
  explicit arena_parts(std::span<float> buffer) : buffer_(buffer), counting_(false) {}

  std::span<float> floats(std::size_t n) {
    const std::size_t begin = taken_;
    taken_ += n;
    return counting_ ? std::span<float>() : buffer_.subspan(begin, n);
  }
  std::span<std::uint32_t> words(std::size_t n) {
    static_assert(sizeof(std::uint32_t) == sizeof(float));
    static_assert(alignof(std::uint32_t) == alignof(float));
    const auto found = floats(n);
    return {reinterpret_cast<std::uint32_t*>(found.data()), found.size()};
  }
  std::size_t taken() const { return taken_; }

 private:
  std::span<float> buffer_;
  bool counting_ = true;
  std::size_t taken_ = 0;
};

}  // namespace headrace::worker
