#pragma once

#include "kernels/quantize_rows/quantize_rows_kernel.hpp"
#include "kernels/runtime/row_formats.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

#include <cstdint>

/// Rows of a table gathered into one block on a device, in the format asked for (gather_rows.hpp
/// has the contract): a team of lanes a row, the bits of the CPU.
namespace headrace::kernels::device {

/// Rows below table_rows lie in the table, the others, counted from there on, in `more`.
struct gather_rows_view {
  const std::byte* table;  // rows of stored weights, row_bytes apart
  const std::byte* more;   // the same
  std::uint64_t row_bytes;
  const std::uint32_t* index;  // [rows]
  void* values;                // [rows, dim] in the format asked for
  std::uint16_t* scales;       // [rows] for int8
  std::uint32_t table_rows;
  std::uint32_t rows;
  std::uint32_t dim;
  bool vectors;
};

/// int8 at rest: an fp16 scale, two zero bytes, the codes.
constexpr unsigned codes_behind = 4;

HEADRACE_DEVICE const std::byte* stored_row(const gather_rows_view& view, std::uint64_t row) {
  const std::uint32_t at = view.index[row];
  return at < view.table_rows ? view.table + at * view.row_bytes
                              : view.more + (at - view.table_rows) * view.row_bytes;
}

HEADRACE_DEVICE std::uint16_t stored_scale(const std::byte* row) {
  return *reinterpret_cast<const std::uint16_t*>(row);
}

template <value_format Stored>
HEADRACE_DEVICE four_columns load_stored(const gather_rows_view& view,
                                         const std::byte* row,
                                         std::uint32_t c,
                                         std::uint32_t width) {
  const bool coded = Stored == value_format::int8;
  const float scale = coded && width != 0 ? half_to_float(stored_scale(row)) : 0.0F;
  return load_formatted(Stored, row + (coded ? codes_behind : 0), scale, c, width, view.vectors);
}

/// To f32, fp16 or bf16.
template <value_format Stored, value_format To>
HEADRACE_KERNEL void gather_rows_kernel(gather_rows_view view) {
  const unsigned lanes = team_lanes(view.dim);
  const std::uint64_t row = team_row(lanes);
  if (row >= view.rows) return;
  const std::byte* from = stored_row(view, row);
  const std::uint64_t at = row * view.dim;
  for (std::uint32_t c = first_column(lanes); c < view.dim; c += lanes * columns_a_lane) {
    const four_columns values = load_stored<Stored>(view, from, c, view.dim);
    if constexpr (To == value_format::fp32) {
      store_columns(static_cast<float*>(view.values) + at, c, view.dim, view.vectors, values);
    } else {
      auto* to = static_cast<std::uint16_t*>(view.values) + at;
      store_words(to, c, view.dim, view.vectors, To, values);
    }
  }
}

/// To int8 from a wider format, as quantize_rows does; each value is read twice.
template <value_format Stored>
HEADRACE_KERNEL void gather_coded_kernel(gather_rows_view view) {
  const unsigned lanes = team_lanes(view.dim);
  const std::uint64_t row = team_row(lanes);
  const bool here = row < view.rows;
  const std::uint32_t width = here ? view.dim : 0;
  const std::byte* from = here ? stored_row(view, row) : nullptr;
  float largest = 0.0F;
  for (std::uint32_t c = first_column(lanes); c < width; c += lanes * columns_a_lane) {
    largest = largest_of(load_stored<Stored>(view, from, c, width), largest);
  }
  const std::uint16_t scale = row_scale(team_max(largest, lanes));
  if (!here) return;
  if (first_column(lanes) == 0) view.scales[row] = scale;
  const float factor = code_factor(scale);
  auto* to = static_cast<std::int8_t*>(view.values) + row * view.dim;
  for (std::uint32_t c = first_column(lanes); c < width; c += lanes * columns_a_lane) {
    store_codes(to, c, width, view.vectors, load_stored<Stored>(view, from, c, width), factor);
  }
}

/// int8 as it is.
HEADRACE_KERNEL void gather_codes_kernel(gather_rows_view view) {
  const unsigned lanes = team_lanes(view.dim);
  const std::uint64_t row = team_row(lanes);
  if (row >= view.rows) return;
  const std::byte* from = stored_row(view, row);
  if (first_column(lanes) == 0) view.scales[row] = stored_scale(from);
  const auto* codes = reinterpret_cast<const std::int8_t*>(from + codes_behind);
  auto* to = static_cast<std::int8_t*>(view.values) + row * view.dim;
  for (std::uint32_t c = first_column(lanes); c < view.dim; c += lanes * columns_a_lane) {
    if (view.vectors) {
      *reinterpret_cast<std::uint32_t*>(to + c) =
          *reinterpret_cast<const std::uint32_t*>(codes + c);
      continue;
    }
    HEADRACE_UNROLL
    for (unsigned j = 0; j < columns_a_lane; ++j) {
      if (c + j < view.dim) to[c + j] = codes[c + j];
    }
  }
}

}  // namespace headrace::kernels::device
