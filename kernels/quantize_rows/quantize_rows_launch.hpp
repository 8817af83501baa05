#pragma once

#include "kernels/quantize_rows/quantize_rows_kernel.hpp"
#include "kernels/runtime/launch_shape.hpp"

/// Launch shapes of the row codec: a team of lanes a row, four warps a block, no shared memory.
/// `launch(shape, kernel, view)` queues one.
namespace headrace::kernels {

inline launch_shape row_codec_shape(std::uint32_t rows, std::uint32_t dim) {
  return {.grid = {device::team_blocks(rows, dim)}, .threads = device::team_block_threads};
}

/// Sets view.vectors. dim >= 1.
template <class Launch>
void launch_quantize_rows(device::quantize_rows_view view, const Launch& launch) {
  view.vectors = device::moves_in_fours(view.values, view.dim, 4) &&
                 device::moves_in_fours(view.codes, view.dim, 1);
  const launch_shape shape = row_codec_shape(view.rows, view.dim);
  if (view.rows == 0) return;
  if (view.dim <= 128) return launch(shape, device::quantize_rows_kernel<1>, view);
  if (view.dim <= 256) return launch(shape, device::quantize_rows_kernel<2>, view);
  launch(shape, device::quantize_rows_kernel<0>, view);
}

template <class Launch>
void launch_dequantize_rows(device::dequantize_rows_view view, const Launch& launch) {
  view.vectors = device::moves_in_fours(view.values, view.dim, 4) &&
                 device::moves_in_fours(view.codes, view.dim, 1);
  if (view.rows == 0) return;
  launch(row_codec_shape(view.rows, view.dim), device::dequantize_rows_kernel, view);
}

}  // namespace headrace::kernels
