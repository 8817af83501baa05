#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Names one mask: any version, target or order of use draws the same one, so nothing is stored.
struct dropout_key {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::uint64_t layer = 0;
};

/// Inverted dropout (Srivastava et al., JMLR'14): y_i = x_i / (1 - p) where element i is kept, else
/// +0; P(kept) = 1 - p, independent between elements, layers and steps. The backward pass is the
/// same call on gradients with the same key, which replays the mask.
///
/// values and results [n]; results may be values themselves. 0 <= rate < 1; p is the rate rounded
/// to a multiple of 2^-16, at most 1 - 2^-16, so that one 64-bit draw serves four elements and the
/// mean of y is x all the same. Element i is kept if quarter i mod 4 (low first) of draw i / 4 is
/// at least p * 2^16. What is dropped may be NaN or infinite. The CPU targets agree bit for bit.
/// Bound: 2^-23
/// * |y|.
template <class Value>
struct basic_dropout_args {
  std::span<const Value> values;
  std::span<Value> results;
  float rate = 0.0F;
  dropout_key key;
};
using dropout_args = basic_dropout_args<float>;

void dropout_ref(const dropout_args& args);
void dropout_ref(const basic_dropout_args<double>& args);
void dropout_cpu(const dropout_args& args);

inline void dropout(const dropout_args& args) { dropout_cpu(args); }

/// dx from dy: `values` are dy, `results` dx.
inline void dropout_backward(const dropout_args& args) { dropout_cpu(args); }

/// p * 2^16: quarters of a draw below this are dropped.
inline std::uint32_t dropout_threshold(float rate) {
  const double nearest = std::floor(static_cast<double>(rate) * 65536.0 + 0.5);
  return static_cast<std::uint32_t>(std::min(nearest, 65535.0));
}
/// 1 / (1 - p).
inline double dropout_scale(float rate) { return 65536.0 / (65536.0 - dropout_threshold(rate)); }

}  // namespace headrace::kernels
