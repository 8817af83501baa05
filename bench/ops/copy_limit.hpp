#pragma once

#include <cstddef>
#include <cstring>
#include <vector>

namespace headrace::bench {

/// What an operator that reads and writes so many floats in all cannot be faster than: a copy that
/// reads half of them and writes the other half.
class copy_limit {
 public:
  explicit copy_limit(std::size_t floats) : from_(floats / 2, 1.0F), to_(floats / 2) {}
  void run() { std::memcpy(to_.data(), from_.data(), from_.size() * sizeof(float)); }
  static constexpr const char* words = "a copy of as many bytes";

 private:
  std::vector<float> from_;
  std::vector<float> to_;
};

}  // namespace headrace::bench
