#pragma once

#include "kernels/gather_rows/gather_rows_kernel.hpp"
#include "kernels/runtime/launch_shape.hpp"

/// Launch shape of gather_rows: a team of lanes a row, four warps a block, no shared memory.
namespace headrace::kernels {

/// Whether rows at rest and the block can both be moved four columns at a time.
inline bool gathers_in_fours(const device::gather_rows_view& view,
                             value_format stored,
                             value_format to) {
  const auto bytes = static_cast<unsigned>(value_bytes(stored));
  return view.row_bytes % (4 * bytes) == 0 && device::moves_in_fours(view.table, view.dim, bytes) &&
         device::moves_in_fours(view.more, view.dim, bytes) &&
         device::moves_in_fours(view.values, view.dim, static_cast<unsigned>(value_bytes(to)));
}

template <value_format Stored, class Launch>
void launch_gather_from(const device::gather_rows_view& view,
                        value_format to,
                        const Launch& launch) {
  const launch_shape shape = {.grid = {device::team_blocks(view.rows, view.dim)},
                              .threads = device::team_block_threads};
  switch (to) {
    case value_format::fp32:
      return launch(shape, device::gather_rows_kernel<Stored, value_format::fp32>, view);
    case value_format::fp16:
      return launch(shape, device::gather_rows_kernel<Stored, value_format::fp16>, view);
    case value_format::bf16:
      return launch(shape, device::gather_rows_kernel<Stored, value_format::bf16>, view);
    case value_format::int8:
      if constexpr (Stored == value_format::int8) {
        return launch(shape, device::gather_codes_kernel, view);
      } else {
        return launch(shape, device::gather_coded_kernel<Stored>, view);
      }
  }
}

/// Sets view.vectors.
template <class Launch>
void launch_gather_rows(device::gather_rows_view view,
                        value_format stored,
                        value_format to,
                        const Launch& launch) {
  if (view.rows == 0) return;
  view.vectors = gathers_in_fours(view, stored, to);
  switch (stored) {
    case value_format::fp32:
      return launch_gather_from<value_format::fp32>(view, to, launch);
    case value_format::int8:
      return launch_gather_from<value_format::int8>(view, to, launch);
    case value_format::fp16:
      return launch_gather_from<value_format::fp16>(view, to, launch);
    case value_format::bf16:
      return launch_gather_from<value_format::bf16>(view, to, launch);
  }
}

}  // namespace headrace::kernels
