#pragma once

#include "kernels/gather_pool/gather_pool_kernel.hpp"

#include <cstdint>

/// The gradient of pooling's weights on a device: a team of lanes an occurrence, four columns a
/// lane, so that long bags and short ones weigh the same.
namespace headrace::kernels::device {

struct weight_gradients_view {
  gather_pool_view pool;       // no weights, no out
  const float* out_gradients;  // [bags, dim]
  float* weight_gradients;     // [n] out
  std::uint32_t n;
};

/// This lane's part of ⟨row of occurrence i, out_gradient of its bag⟩, columns in order.
template <value_format Format>
HEADRACE_DEVICE float weight_term(const weight_gradients_view& view,
                                  std::uint32_t i,
                                  unsigned lanes) {
  const gather_pool_view& pool = view.pool;
  const std::uint32_t bag = bag_of(pool.offsets, pool.bags, i);
  const float* above = view.out_gradients + std::uint64_t{bag} * pool.dim;
  float sum = 0.0F;
  for (std::uint32_t c = first_column(lanes); c < pool.dim; c += lanes * columns_a_lane) {
    const four_columns row = load_occurrence<Format>(pool, i, c);
    const four_columns gradient = load_columns(above, c, pool.dim, pool.vectors);
    HEADRACE_UNROLL
    for (unsigned j = 0; j < columns_a_lane; ++j) sum = sum + row.at[j] * gradient.at[j];
  }
  return sum;
}

template <value_format Format>
HEADRACE_KERNEL void weight_gradients_kernel(weight_gradients_view view) {
  const unsigned lanes = team_lanes(view.pool.dim);
  const std::uint64_t i = team_row(lanes);
  float sum = i < view.n ? weight_term<Format>(view, static_cast<std::uint32_t>(i), lanes) : 0.0F;
  for (unsigned step = lanes / 2; step > 0; step /= 2) sum = sum + shuffle_xor(sum, step);
  if (i < view.n && thread_index() % lanes == 0) view.weight_gradients[i] = sum;
}

}  // namespace headrace::kernels::device
