#pragma once

#include "kernels/linear/linear.hpp"
#include "kernels/runtime/device.hpp"
#include "kernels/runtime/near_math.hpp"

#include <cstddef>
#include <cstdint>

/// A dense layer on a device (linear.hpp has the maths): products in f32 by tiles of 64 x 64, what
/// follows them done before the tile is stored.
namespace headrace::kernels::device {

HEADRACE_DEVICE float sigmoid_plain(float z) {
  const float e = exp_near(-size_of(z));
  return (z >= 0.0F ? 1.0F : e) / (1.0F + e);
}

/// σ's argument in gelu(z) = z σ(…); beyond ±16 gelu is z or 0 in floats.
HEADRACE_DEVICE float gelu_argument(float z) {
  const float c = z > 16.0F ? 16.0F : (z < -16.0F ? -16.0F : z);
  return 1.5957691216F * (c + 0.044715F * c * c * c);
}

HEADRACE_DEVICE float tanh_near(float z) {
  const float e = exp_near(-2.0F * size_of(z));
  const float y = (1.0F - e) / (1.0F + e);
  return z < 0.0F ? -y : y;
}

/// φ(z); NaN stays NaN.
HEADRACE_DEVICE float activated(linear_activation activation, float z) {
  switch (activation) {
    case linear_activation::relu:
      return z < 0.0F ? 0.0F : z;
    case linear_activation::sigmoid:
      return sigmoid_plain(z);
    case linear_activation::silu:
      return z * sigmoid_plain(z);
    case linear_activation::gelu:
      return z * sigmoid_plain(gelu_argument(z));
    case linear_activation::tanh:
      return tanh_near(z);
    case linear_activation::none:
      break;
  }
  return z;
}

/// φ'(z), from y = φ(z) or from z, whichever the activation keeps.
HEADRACE_DEVICE float slope_of(linear_activation activation, float kept) {
  switch (activation) {
    case linear_activation::relu:
      return kept <= 0.0F ? 0.0F : 1.0F;
    case linear_activation::sigmoid:
      return kept * (1.0F - kept);
    case linear_activation::tanh:
      return 1.0F - kept * kept;
    case linear_activation::silu: {
      const float s = sigmoid_plain(kept);
      return s + kept * s * sigmoid_plain(-kept);
    }
    case linear_activation::gelu: {
      const float inner = gelu_argument(kept);
      const float s = sigmoid_plain(inner);
      const float flat = s * sigmoid_plain(-inner);
      if (flat == 0.0F || size_of(kept) > 16.0F) return s;
      return s + kept * flat * 1.5957691216F * (1.0F + 3.0F * 0.044715F * kept * kept);
    }
    case linear_activation::none:
      break;
  }
  return 1.0F;
}

constexpr unsigned tile_rows = 64;
constexpr unsigned tile_columns = 64;
constexpr unsigned tile_depth = 16;
constexpr unsigned tile_threads = 256;  // each 4 x 4 of the tile
constexpr unsigned tile_stride = 68;    // floats of a row of 64 in shared memory: 4 banks apart
constexpr std::size_t tile_bytes = std::size_t{2} * tile_depth * tile_stride * sizeof(float);

/// C = A B, or C += A B, or what a layer makes of it: A [m, k] and B [k, n] at any strides. Where
/// `depth` is below k, slice z of the depth [z depth, (z + 1) depth) has a C of its own, m n floats
/// behind the one before.
struct product_view {
  const float* a;
  std::size_t a_row;    // floats from a row of A to the next
  std::size_t a_depth;  // and from a column
  const float* b;
  std::size_t b_depth;
  std::size_t b_column;
  float* c;           // [slices, m, n]
  const float* bias;  // [n], or null
  float* saved;       // [m, n] out: A B + bias, or null
  std::uint32_t m;
  std::uint32_t n;
  std::uint32_t k;
  std::uint32_t depth;  // of a slice, a multiple of tile_depth or k
  linear_activation activation;
  bool add;
};

/// Copies a panel of `tile_depth` x 64 to shared memory, zeros beyond the matrix. Element (d, j) of
/// the panel is from[d * depth + j * across]. Neighbouring threads read along the smaller stride.
HEADRACE_DEVICE void load_panel(float* to,
                                const float* from,
                                std::size_t depth,
                                std::size_t across,
                                std::uint32_t depth_left,
                                std::uint32_t across_left) {
  const bool along_depth = depth < across;
  HEADRACE_UNROLL
  for (unsigned step = 0; step < tile_depth * 64 / tile_threads; ++step) {
    const unsigned i = step * tile_threads + thread_index();
    const unsigned d = along_depth ? i % tile_depth : i / 64;
    const unsigned j = along_depth ? i / tile_depth : i % 64;
    const bool inside = d < depth_left && j < across_left;
    to[d * tile_stride + j] = inside ? from[d * depth + j * across] : 0.0F;
  }
}

/// Adds the panels' products to this thread's 4 x 4: rows 4 (t / 16) …, columns 4 (t % 16) ….
HEADRACE_DEVICE void multiply_panels(const float* a, const float* b, float (&sums)[4][4]) {
  const unsigned row = 4 * (thread_index() / 16);
  const unsigned column = 4 * (thread_index() % 16);
  HEADRACE_UNROLL
  for (unsigned d = 0; d < tile_depth; ++d) {
    HEADRACE_UNROLL
    for (unsigned i = 0; i < 4; ++i) {
      HEADRACE_UNROLL
      for (unsigned j = 0; j < 4; ++j)
        sums[i][j] += a[d * tile_stride + row + i] * b[d * tile_stride + column + j];
    }
  }
}

HEADRACE_DEVICE void store_value(const product_view& view,
                                 std::size_t at,
                                 unsigned column,
                                 float sum) {
  if (view.add) {
    view.c[at] += sum;
    return;
  }
  const float z = view.bias == nullptr ? sum : sum + view.bias[column];
  if (view.saved != nullptr) view.saved[at] = z;
  view.c[at] = activated(view.activation, z);
}

/// Adds to this thread's 4 x 4 of the tile at `row`, `column` the products of depth [begin, end).
/// All threads of a block of 256 call it; shared: tile_bytes, free again when it returns.
HEADRACE_DEVICE void add_tile(const product_view& view,
                              std::uint32_t row,
                              std::uint32_t column,
                              std::uint32_t begin,
                              std::uint32_t end,
                              float (&sums)[4][4]) {
  auto* a = reinterpret_cast<float*>(shared_memory());
  float* b = a + tile_depth * tile_stride;
  for (std::uint32_t d = begin; d < end; d += tile_depth) {
    const float* a_panel = view.a + row * view.a_row + d * view.a_depth;
    const float* b_panel = view.b + d * view.b_depth + column * view.b_column;
    load_panel(a, a_panel, view.a_depth, view.a_row, end - d, view.m - row);
    load_panel(b, b_panel, view.b_depth, view.b_column, end - d, view.n - column);
    sync_block();
    multiply_panels(a, b, sums);
    sync_block();
  }
}

/// A block a tile of C. Grid: ⌈m / 64⌉ (x) by ⌈n / 64⌉ (y) by slices (z) blocks of 256. Shared:
/// tile_bytes.
HEADRACE_KERNEL void product_kernel(product_view view) {
  const std::uint32_t row = block_index().x * tile_rows;
  const std::uint32_t column = block_index().y * tile_columns;
  const std::uint32_t begin = block_index().z * view.depth;
  const std::uint32_t end = view.k - begin < view.depth ? view.k : begin + view.depth;
  float sums[4][4] = {};
  add_tile(view, row, column, begin, end, sums);
  const std::size_t first = block_index().z * (std::size_t{view.m} * view.n);
  for (unsigned i = 0; i < 4; ++i) {
    const std::uint32_t r = row + 4 * (thread_index() / 16) + i;
    for (unsigned j = 0; j < 4; ++j) {
      const std::uint32_t c = column + 4 * (thread_index() % 16) + j;
      if (r < view.m && c < view.n)
        store_value(view, first + std::size_t{r} * view.n + c, c, sums[i][j]);
    }
  }
}

struct slope_view {
  const float* kept;  // [size]
  const float* dy;    // [size]
  float* dz;          // [size]
  std::size_t size;
  linear_activation activation;
};

/// dz = dy φ'. A thread has every n-th element. Any grid.
HEADRACE_KERNEL void slope_kernel(slope_view view) {
  const std::size_t step = std::size_t{grid_blocks().x} * block_threads();
  for (std::size_t i = std::size_t{block_index().x} * block_threads() + thread_index();
       i < view.size;
       i += step) {
    const float slope = slope_of(view.activation, view.kept[i]);
    view.dz[i] = slope == 0.0F ? 0.0F : view.dy[i] * slope;
  }
}

}  // namespace headrace::kernels::device
