#pragma once

#include "kernels/dot_interaction/dot_tiles.hpp"
#include "kernels/runtime/row_team.hpp"

#include <cstddef>
#include <cstdint>

/// Dot interaction on a device (dot_interaction.hpp has the maths). A sample a block: its fields
/// lie in shared memory, a piece of columns at a time, and each thread has 4 x 4 pairs in
/// registers. In f32: 27 fields of 64 are 5 operations a byte, which needs no matrix unit.
namespace headrace::kernels::device {

/// Columns in shared memory at a time, and floats from one field to the next: 4 more, so that eight
/// neighbouring rows read 16 bytes each from different banks.
constexpr unsigned dot_columns = 128;
constexpr unsigned dot_pitch = dot_columns + 4;

struct dot_fields_view {
  const float* values;
  std::size_t sample_stride;
  std::size_t field_stride;
};

struct dot_forward_view {
  dot_fields_view from;
  float* out;
  std::size_t out_stride;
  std::uint32_t samples;
  std::uint32_t fields;
  std::uint32_t dim;
};

/// Columns [first, first + dot_columns) of all fields of a sample; zeros where there are none.
HEADRACE_DEVICE void load_fields(const dot_fields_view& from,
                                 std::size_t sample,
                                 unsigned fields,
                                 unsigned dim,
                                 unsigned first,
                                 float* to) {
  const unsigned padded = dot_stride(fields) * dot_tile;
  const unsigned width = dim - first < dot_columns ? (dim - first + 3) / 4 * 4 : dot_columns;
  for (unsigned at = thread_index(); at < padded * width; at += block_threads()) {
    const unsigned f = at / width;
    const unsigned c = first + at % width;
    const bool is_there = f < fields && c < dim;
    to[f * dot_pitch + at % width] =
        is_there ? from.values[sample * from.sample_stride + f * from.field_stride + c] : 0.0F;
  }
}

/// sums[a][b] += <e_(i + a stride), e_(j + b stride)> over `width` columns, a multiple of 4.
HEADRACE_DEVICE void add_products(const float* fields,
                                  dot_tile_index tile,
                                  unsigned stride,
                                  unsigned width,
                                  float (&sums)[dot_tile][dot_tile]) {
  for (unsigned c = 0; c < width; c += 4) {
    four_floats right[dot_tile];
    HEADRACE_UNROLL
    for (unsigned b = 0; b < dot_tile; ++b) {
      const float* row = fields + (tile.j + b * stride) * dot_pitch + c;
      right[b] = std::bit_cast<four_floats>(load_16(row));
    }
    HEADRACE_UNROLL
    for (unsigned a = 0; a < dot_tile; ++a) {
      const float* row = fields + (tile.i + a * stride) * dot_pitch + c;
      const auto left = std::bit_cast<four_floats>(load_16(row));
      HEADRACE_UNROLL
      for (unsigned b = 0; b < dot_tile; ++b) {
        HEADRACE_UNROLL
        for (unsigned k = 0; k < 4; ++k) sums[a][b] += left.v[k] * right[b].v[k];
      }
    }
  }
}

HEADRACE_DEVICE void store_products(const dot_forward_view& view,
                                    std::size_t sample,
                                    dot_tile_index tile,
                                    const float (&sums)[dot_tile][dot_tile]) {
  const unsigned stride = dot_stride(view.fields);
  float* out = view.out + sample * view.out_stride;
  HEADRACE_UNROLL
  for (unsigned a = 0; a < dot_tile; ++a) {
    HEADRACE_UNROLL
    for (unsigned b = 0; b < dot_tile; ++b) {
      const unsigned i = tile.i + a * stride;
      const unsigned j = tile.j + b * stride;
      const bool is_own = tile.i != tile.j || a > b;
      if (is_own && i < view.fields && j < view.fields) out[dot_pair(i, j)] = sums[a][b];
    }
  }
}

/// A thread has the tiles thread, thread + threads, …, `Tiles` of them at most. Grid: a block a
/// sample. Shared: dot_stride * 4 rows of dot_pitch floats.
template <unsigned Tiles>
HEADRACE_KERNEL void dot_forward_kernel(dot_forward_view view) {
  auto* fields = reinterpret_cast<float*>(shared_memory());
  const std::size_t sample = block_index().x;
  const unsigned stride = dot_stride(view.fields);
  float sums[Tiles][dot_tile][dot_tile] = {};
  for (unsigned first = 0; first < view.dim; first += dot_columns) {
    load_fields(view.from, sample, view.fields, view.dim, first, fields);
    sync_block();
    const unsigned left = view.dim - first;
    const unsigned width = left < dot_columns ? (left + 3) / 4 * 4 : dot_columns;
    HEADRACE_UNROLL
    for (unsigned n = 0; n < Tiles; ++n) {
      const unsigned t = thread_index() + n * block_threads();
      if (t < dot_tiles(stride)) add_products(fields, dot_tile_at(t), stride, width, sums[n]);
    }
    sync_block();
  }
  HEADRACE_UNROLL
  for (unsigned n = 0; n < Tiles; ++n) {
    const unsigned t = thread_index() + n * block_threads();
    if (t < dot_tiles(stride)) store_products(view, sample, dot_tile_at(t), sums[n]);
  }
}

struct dot_backward_view {
  dot_fields_view from;
  const float* out_gradients;
  std::size_t out_stride;
  float* field_gradients;
  std::size_t sample_stride;
  std::size_t field_stride;
  std::uint32_t samples;
  std::uint32_t fields;
  std::uint32_t dim;
};

/// The symmetric matrix of the pairs' gradients, 0 on its diagonal and in the padding.
HEADRACE_DEVICE void load_pair_gradients(const dot_backward_view& view,
                                         std::size_t sample,
                                         unsigned padded,
                                         float* to) {
  const float* from = view.out_gradients + sample * view.out_stride;
  for (unsigned at = thread_index(); at < padded * padded; at += block_threads()) {
    const unsigned i = at / padded;
    const unsigned j = at % padded;
    const bool is_pair = i != j && i < view.fields && j < view.fields;
    to[at] = is_pair ? from[dot_pair(i, j)] : 0.0F;
  }
}

/// Gradients of 4 neighbouring fields from i on, at 4 columns: Σ_j g_ij e_j.
HEADRACE_DEVICE void store_field_gradients(const dot_backward_view& view,
                                           std::size_t sample,
                                           const float* fields,
                                           const float* pairs,
                                           unsigned i,
                                           unsigned c,
                                           unsigned first) {
  const unsigned padded = dot_stride(view.fields) * dot_tile;
  float sums[dot_tile][4] = {};
  for (unsigned j = 0; j < view.fields; ++j) {
    const auto e = std::bit_cast<four_floats>(load_16(fields + j * dot_pitch + c));
    const auto g = std::bit_cast<four_floats>(load_16(pairs + j * padded + i));  // of i … i + 3
    HEADRACE_UNROLL
    for (unsigned a = 0; a < dot_tile; ++a) {
      HEADRACE_UNROLL
      for (unsigned k = 0; k < 4; ++k) sums[a][k] += g.v[a] * e.v[k];
    }
  }
  HEADRACE_UNROLL
  for (unsigned a = 0; a < dot_tile; ++a) {
    HEADRACE_UNROLL
    for (unsigned k = 0; k < 4; ++k) {
      if (i + a >= view.fields || first + c + k >= view.dim) continue;
      view.field_gradients[sample * view.sample_stride + (i + a) * view.field_stride + first + c +
                           k] = sums[a][k];
    }
  }
}

/// Grid: a block a sample. Shared: dot_stride * 4 rows of dot_pitch floats, then as many rows and
/// columns of pair gradients.
HEADRACE_KERNEL void dot_backward_kernel(dot_backward_view view) {
  auto* fields = reinterpret_cast<float*>(shared_memory());
  const std::size_t sample = block_index().x;
  const unsigned padded = dot_stride(view.fields) * dot_tile;
  float* pairs = fields + padded * dot_pitch;
  load_pair_gradients(view, sample, padded, pairs);
  for (unsigned first = 0; first < view.dim; first += dot_columns) {
    load_fields(view.from, sample, view.fields, view.dim, first, fields);
    sync_block();
    const unsigned left = view.dim - first;
    const unsigned quads = left < dot_columns ? (left + 3) / 4 : dot_columns / 4;
    for (unsigned t = thread_index(); t < quads * padded / dot_tile; t += block_threads()) {
      const unsigned i = t / quads * dot_tile;
      store_field_gradients(view, sample, fields, pairs, i, t % quads * 4, first);
    }
    sync_block();
  }
}

}  // namespace headrace::kernels::device
