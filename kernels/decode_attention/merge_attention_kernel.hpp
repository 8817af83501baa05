#pragma once

#include "kernels/attention/scores_device.hpp"
#include "kernels/runtime/launch_shape.hpp"

#include <cstddef>
#include <cstdint>

/// merge_attention: a warp a row, which reads both log sums before any lane writes.
namespace headrace::kernels {

struct merge_view {
  std::uint16_t* o = nullptr;  // [rows, dim]
  float* lse = nullptr;        // [rows]
  const std::uint16_t* other_o = nullptr;
  const float* other_lse = nullptr;
  std::uint64_t rows = 0;
  std::uint64_t dim = 0;
};

inline constexpr unsigned merge_rows = 4;  // of a block

/// Grid: enough blocks of 32 * merge_rows threads for the rows.
template <class Element>
HEADRACE_KERNEL void merge_attention_kernel(merge_view args) {
  using namespace device;
  const std::size_t row = static_cast<std::size_t>(block_index().x) * merge_rows + warp();
  if (row >= args.rows) return;
  const float one = args.lse[row];
  const float other = args.other_lse[row];
  const float most = one > other ? one : other;
  const float weight = one == nothing ? 0.0F : exp2((one - most) * log2_e);
  const float other_weight = other == nothing ? 0.0F : exp2((other - most) * log2_e);
  const float sum = weight + other_weight;
  for (std::size_t at = row * args.dim + lane(); at < (row + 1) * args.dim; at += warp_threads) {
    float value = 0.0F;
    if (weight != 0.0F) value += weight / sum * to_float(Element{args.o[at]});
    if (other_weight != 0.0F) value += other_weight / sum * to_float(Element{args.other_o[at]});
    args.o[at] = static_cast<std::uint16_t>(pack<Element>(value, 0.0F) & 0xFFFFU);
  }
  sync_warp();
  if (lane() == 0) args.lse[row] = sum == 0.0F ? nothing : most + log2(sum) * ln_2;
}

template <class Element, class Launch>
void launch_merge_attention(const merge_view& view, const Launch& launch) {
  launch(launch_shape{{static_cast<unsigned>((view.rows + merge_rows - 1) / merge_rows), 1, 1},
                      32 * merge_rows,
                      0},
         merge_attention_kernel<Element>,
         view);
}

}  // namespace headrace::kernels
