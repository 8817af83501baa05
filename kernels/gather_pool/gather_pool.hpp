#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Weighted sum of rows for each bag (S2 of the kernel plan): out[b] = Σ_{i in bag b} w_i
/// rows[inverse[i]].
///
/// rows [u, dim] f32; inverse [n] < u; weights [n], or empty when all are 1; offsets [bags + 1]
/// ascending from 0 to n: bag b is [offsets[b], offsets[b + 1]), maybe empty (its sum is 0). out
/// [bags, dim]. A mean is weights of 1 / length. Summed in the order given, multiply then add: the
/// CPU targets agree bit for bit; against exact sums |error| <= (len + 1) * 2^-24 * Σ |w_i
/// rows[inverse[i]]| + len * 2^-149.
struct gather_pool_args {
  std::span<const float> rows;
  std::span<const std::uint32_t> inverse;
  std::span<const float> weights = {};
  std::span<const std::uint32_t> offsets;
  std::size_t dim = 1;
  std::span<float> out;
};
void gather_pool_ref(const gather_pool_args& args);  // double accumulators
void gather_pool_cpu(const gather_pool_args& args);

inline void gather_pool(const gather_pool_args& args) { gather_pool_cpu(args); }

/// Gradient of gather_pool: row_gradients[inverse[i]] += w_i * out_gradients[bag of i], i
/// ascending.
///
/// Adds to row_gradients [u, dim]. Deterministic: the CPU targets agree bit for bit, run after run;
/// bound as above with len = occurrences of the row (and what was there before as one more term).
struct gather_pool_backward_args {
  std::span<const std::uint32_t> inverse;
  std::span<const float> weights = {};
  std::span<const std::uint32_t> offsets;
  std::size_t dim = 1;
  std::span<const float> out_gradients;
  std::span<float> row_gradients;
};
void gather_pool_backward_ref(const gather_pool_backward_args& args);
void gather_pool_backward_cpu(const gather_pool_backward_args& args);

inline void gather_pool_backward(const gather_pool_backward_args& args) {
  gather_pool_backward_cpu(args);
}

/// Gradient of gather_pool's weights: weight_gradients[i] = Σ_c rows[inverse[i]][c] *
/// out_gradients[bag of i][c].
///
/// Writes weight_gradients [n]. One target gives the same bits each time. Bound against exact:
/// (dim + 1) * 2^-24 * Σ |row out_gradient| + dim * 2^-149.
struct gather_pool_weights_args {
  std::span<const float> rows;
  std::span<const std::uint32_t> inverse;
  std::span<const std::uint32_t> offsets;
  std::size_t dim = 1;
  std::span<const float> out_gradients;
  std::span<float> weight_gradients;
};
void gather_pool_weights_ref(const gather_pool_weights_args& args);
void gather_pool_weights_cpu(const gather_pool_weights_args& args);

inline void gather_pool_weights(const gather_pool_weights_args& args) {
  gather_pool_weights_cpu(args);
}

}  // namespace headrace::kernels
