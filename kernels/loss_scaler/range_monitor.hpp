#pragma once

#include <cstddef>
#include <vector>

namespace headrace::kernels {

/// Half of fp16's largest value, 65,504: room for one doubling between two looks.
constexpr float half_amax_limit = 0.5F * 65'504.0F;

/// Remembers the largest |value| (amax, abs_max() of finite_check.hpp) of each tensor over its last
/// `window` looks, and says which tensors are safe in fp16.
///
/// A tensor that was never looked at isn't. NaN and infinity count as larger than any number until
/// they leave the window. Allocates in the constructor only; single-threaded.
class range_monitor {
 public:
  /// window >= 1.
  range_monitor(std::size_t tensors, std::size_t window);

  /// amax >= 0, or NaN.
  void look(std::size_t tensor, float amax);

  /// The largest amax of the window: infinity where one was NaN or infinite, 0 before any look.
  float amax(std::size_t tensor) const;
  /// Whether amax(tensor) <= half_amax_limit, and there was a look.
  bool fits_half(std::size_t tensor) const;

 private:
  struct history {
    std::size_t next = 0;   // place of the next look
    std::size_t count = 0;  // looks held, at most the window
  };

  std::size_t window_;
  std::vector<history> histories_;  // [tensors]
  std::vector<float> amaxes_;       // [tensors, window]
};

}  // namespace headrace::kernels
