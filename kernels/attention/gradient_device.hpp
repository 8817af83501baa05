#pragma once

#include "kernels/attention/scores_device.hpp"

#include <cstddef>
#include <cstdint>

/// What the three kernels of attention's backward pass share. It recomputes weights from q, k and
/// the saved log sums (FlashAttention-2, arXiv 2307.08691, algorithm 2), once by query tiles for dq
/// and once by key tiles for dk and dv: a seventh more products than a single pass with atomics
/// would need, and the same bits each time.
namespace headrace::kernels {

/// Sizes of a block's work: it keeps two tiles of `rows` (queries and their d_o, or keys and
/// values) and walks over two of `columns`, double-buffered.
template <int head_dim, int strip_count, int warp_count, int column_count>
struct gradient_tiles {
  static constexpr int dim = head_dim;
  static constexpr int strips = strip_count;  // of 16 rows, a warp
  static constexpr int warps = warp_count;
  static constexpr int columns = column_count;
  static constexpr int rows = 16 * strips * warps;
  static constexpr int threads = 32 * warps;
  /// As attention_tiles has it.
  static constexpr int blocks = warps == 1 && dim <= 32 ? 16 : 1;
  static constexpr int pitch = device::tile_pitch<dim>;
  static constexpr std::size_t tile_bytes =
      sizeof(std::uint16_t) * pitch * (2 * rows + 4 * columns);
  /// Two buffers of log sums and of dots, of the tile's queries, come last.
  static constexpr std::size_t shared_bytes = tile_bytes + 4 * columns * sizeof(float);
};

namespace device {

/// A block's shared memory: the two tiles that it keeps, and two buffers of the two that pass.
template <class Tiles>
struct gradient_memory {
  std::uint16_t* kept;
  std::uint16_t* passing;
  float* numbers;

  HEADRACE_DEVICE explicit gradient_memory(std::byte* at)
      : kept(reinterpret_cast<std::uint16_t*>(at)),
        passing(kept + 2 * Tiles::rows * Tiles::pitch),
        numbers(reinterpret_cast<float*>(at + Tiles::tile_bytes)) {}
  HEADRACE_DEVICE std::uint16_t* kept_second() const { return kept + Tiles::rows * Tiles::pitch; }
  HEADRACE_DEVICE std::uint16_t* first(std::uint32_t step) const {
    return passing + step % 2 * (2 * Tiles::columns * Tiles::pitch);
  }
  HEADRACE_DEVICE std::uint16_t* second(std::uint32_t step) const {
    return first(step) + Tiles::columns * Tiles::pitch;
  }
  HEADRACE_DEVICE float* log_sums(std::uint32_t step) const {
    return numbers + step % 2 * (2 * Tiles::columns);
  }
  HEADRACE_DEVICE float* dots(std::uint32_t step) const { return log_sums(step) + Tiles::columns; }
};

/// One head's rows of a tensor, of a sequence: row i of the sequence is at(i).
struct head_rows {
  const std::uint16_t* data;
  std::size_t stride;

  HEADRACE_DEVICE head_rows(const std::uint16_t* of,
                            std::size_t row_stride,
                            std::uint32_t offset,
                            std::size_t head_at)
      : data(of + offset * row_stride + head_at), stride(row_stride) {}
  HEADRACE_DEVICE const std::uint16_t* at(std::uint32_t i) const { return data + i * stride; }
};

/// A saved log sum in base 2. It is finite: of a sequence's queries either all see something or
/// none does, and then there is nothing to walk over.
HEADRACE_DEVICE float base_2(float log_sum) { return log_sum * log2_e; }

/// How softmax goes from a score and what forward saved of its query to a weight, and with the
/// product d_o · v to the score's gradient. prepare() comes once; the others take what it gave.
struct softmax_rule {
  static constexpr float unit = log2_e;
  static constexpr float hidden = nothing;
  static constexpr bool reads_saved = true;

  HEADRACE_DEVICE static float prepare(float score, float log_sum) {
    return exp2_flushed(score - log_sum);
  }
  HEADRACE_DEVICE static float weight(float prepared) { return prepared; }
  HEADRACE_DEVICE static float gradient(float prepared, float product, float dot) {
    return prepared * (product - dot);
  }
};

/// The positions that a warp's kept rows have, [first, last) of the sequence.
struct warp_rows {
  std::int32_t first = 0;
  std::int32_t last = 0;
};
template <class Tiles>
HEADRACE_DEVICE warp_rows rows_of_warp(const sequence_tile& tile) {
  constexpr std::int32_t count = 16 * Tiles::strips;
  const std::int32_t first = static_cast<std::int32_t>(tile.first + warp() * count);
  const auto last = static_cast<std::int32_t>(tile.last);
  return {first, last < first + count ? last : first + count};
}

/// Stores a warp's gradients, times `factor`, by way of its own rows of a kept tile.
template <class Element, class Tiles>
HEADRACE_DEVICE void store_gradient(accumulators<Tiles::strips, Tiles::dim / 8>& gradient,
                                    float factor,
                                    std::uint16_t* through,
                                    std::uint16_t* to,
                                    std::size_t stride,
                                    int valid) {
  HEADRACE_UNROLL
  for (int s = 0; s < Tiles::strips; ++s) {
    HEADRACE_UNROLL
    for (int n = 0; n < Tiles::dim / 8; ++n) {
      HEADRACE_UNROLL
      for (int e = 0; e < 4; ++e) gradient[s][n][e] *= factor;
    }
    store_strip<Element>(gradient[s],
                         through + 16 * s * Tiles::pitch,
                         to + static_cast<std::size_t>(16 * s) * stride,
                         stride,
                         valid - 16 * s);
  }
}

}  // namespace device

/// dots[token, head] = Σ d_o ⊙ o. A row of `dim` elements has dim / 8 lanes. Grid: enough blocks of
/// 128 threads for tokens * heads * dim / 8.
template <class Element, int dim>
HEADRACE_KERNEL void gradient_dots_kernel(attention_backward_view args, std::uint32_t tokens) {
  using namespace device;
  constexpr unsigned lanes = dim / 8;
  const attention_view& in = args.forward;
  const std::size_t at =
      static_cast<std::size_t>(block_index().x) * block_threads() + thread_index();
  const std::size_t row = at / lanes;
  const std::size_t column = at % lanes * 8;
  const std::size_t token = row / in.heads;
  const std::size_t head_at = row % in.heads * dim + column;
  float sum = 0.0F;
  if (token < tokens) {
    const words_4 gradient = load_16(args.d_o + token * args.d_o_stride + head_at);
    const words_4 output = load_16(in.o + token * in.o_stride + head_at);
    HEADRACE_UNROLL
    for (int w = 0; w < 4; ++w) {
      HEADRACE_UNROLL
      for (int shift = 0; shift < 32; shift += 16) {
        const Element left{static_cast<std::uint16_t>(gradient.word[w] >> shift)};
        const Element right{static_cast<std::uint16_t>(output.word[w] >> shift)};
        sum += to_float(left) * to_float(right);
      }
    }
  }
  HEADRACE_UNROLL
  for (unsigned step = 1; step < lanes; step *= 2) sum += shuffle_xor(sum, step);
  if (token < tokens && column == 0) args.dots[row] = sum;
}

}  // namespace headrace::kernels
