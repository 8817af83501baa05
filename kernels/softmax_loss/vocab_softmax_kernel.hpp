#pragma once

#include "kernels/linear/linear_kernel.hpp"
#include "kernels/runtime/block_sums.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>

/// Softmax cross-entropy over a vocabulary on a device (vocab_softmax.hpp has the maths): forward
/// never stores a logit, backward makes them again for some items at a time.
namespace headrace::kernels::device {

/// What both directions read.
struct vocab_view {
  product_view logits;          // a = x [m, k], b = items [n, k], transposed; no c
  const std::uint32_t* labels;  // [m] < n where the weight isn't 0
  const float* weights;         // [m], or null: all 1
};

/// The label of a position that has none: items are below 2^31.
constexpr std::uint32_t no_item = 0xFFFFFFFFU;

HEADRACE_DEVICE float position_weight(const vocab_view& view, std::uint32_t t) {
  return view.weights == nullptr ? 1.0F : view.weights[t];
}

struct vocab_forward_view {
  vocab_view of;
  std::uint32_t slice_items;  // a multiple of 64
  std::uint32_t slices;
  float* largest;       // [slices, m] of each slice's logits
  float* sums;          // [slices, m] Σ e^(logit − largest)
  float* label_logits;  // [m], where the weight isn't 0
  float* losses;        // [m] out
  float* lse;           // [m] out
  double* partials;     // [blocks of the merge]
};

/// What four logits of a row, of 16 threads with as many, add to what is known of it. The largest
/// is the same in all 16, each has a sum of its own.
struct running_row {
  float largest = -std::numeric_limits<float>::infinity();
  float sum = 0.0F;

  HEADRACE_DEVICE void take(const float (&logits)[4]) {
    float most = larger(larger(logits[0], logits[1]), larger(logits[2], logits[3]));
    HEADRACE_UNROLL
    for (unsigned step = 1; step < 16; step *= 2) most = larger(most, shuffle_xor(most, step));
    most = larger(most, largest);
    float added = 0.0F;
    HEADRACE_UNROLL
    for (unsigned j = 0; j < 4; ++j) added += exp_near(logits[j] - most);
    sum = sum * exp_near(largest - most) + added;
    largest = most;
  }

  /// The sum of all 16.
  HEADRACE_DEVICE float whole_sum() const {
    float total = sum;
    HEADRACE_UNROLL
    for (unsigned step = 1; step < 16; step *= 2) total += shuffle_xor(total, step);
    return total;
  }
};

/// Row i of a thread's four of a tile at `row`, and its first column of one at `column`.
HEADRACE_DEVICE std::uint32_t tile_row(std::uint32_t row, unsigned i) {
  return row + 4 * (thread_index() / 16) + i;
}
HEADRACE_DEVICE std::uint32_t tile_column(std::uint32_t column) {
  return column + 4 * (thread_index() % 16);
}

/// A block has 64 positions and a slice of items, which it takes 64 at a time with an online
/// maximum and sum (Milakov & Gimelshein, arXiv 1805.02867, algorithm 3). Grid: ⌈m / 64⌉ (x) by
/// slices (y) blocks of 256. Shared: tile_bytes.
HEADRACE_KERNEL void vocab_forward_kernel(vocab_forward_view view) {
  const product_view& logits = view.of.logits;
  const std::uint32_t row = block_index().x * tile_rows;
  const std::uint32_t begin = block_index().y * view.slice_items;
  const std::uint32_t left = logits.n - begin;
  const std::uint32_t end = begin + (left < view.slice_items ? left : view.slice_items);
  std::uint32_t labels[4];
  running_row rows[4];
  HEADRACE_UNROLL
  for (unsigned i = 0; i < 4; ++i) {
    const std::uint32_t t = tile_row(row, i);
    const bool wanted = t < logits.m && position_weight(view.of, t) != 0.0F;
    labels[i] = wanted ? view.of.labels[t] : no_item;
  }
  for (std::uint32_t column = begin; column < end; column += tile_columns) {
    float sums[4][4] = {};
    add_tile(logits, row, column, 0, logits.k, sums);
    const std::uint32_t c = tile_column(column);
    HEADRACE_UNROLL
    for (unsigned i = 0; i < 4; ++i) {
      HEADRACE_UNROLL
      for (unsigned j = 0; j < 4; ++j) {
        if (c + j >= end) sums[i][j] = -std::numeric_limits<float>::infinity();
        if (c + j == labels[i]) view.label_logits[tile_row(row, i)] = sums[i][j];
      }
      rows[i].take(sums[i]);
    }
  }
  HEADRACE_UNROLL
  for (unsigned i = 0; i < 4; ++i) {
    const float sum = rows[i].whole_sum();
    const std::uint32_t t = tile_row(row, i);
    if (t >= logits.m || thread_index() % 16 != 0) continue;
    view.largest[std::size_t{block_index().y} * logits.m + t] = rows[i].largest;
    view.sums[std::size_t{block_index().y} * logits.m + t] = sum;
  }
}

/// lse of a position, from its slices in order.
HEADRACE_DEVICE double merged_slices(const vocab_forward_view& view, std::uint32_t t) {
  const std::size_t m = view.of.logits.m;
  float most = view.largest[t];
  for (std::uint32_t s = 1; s < view.slices; ++s) most = larger(most, view.largest[s * m + t]);
  double sum = 0.0;
  for (std::uint32_t s = 0; s < view.slices; ++s) {
    const float share = exp_near(view.largest[s * m + t] - most);
    sum += static_cast<double>(view.sums[s * m + t]) * static_cast<double>(share);
  }
  return static_cast<double>(most) + log_wide(sum);
}

/// lse and losses, and each block's sum of these. Any grid of blocks of sum_threads. Shared: 8
/// doubles.
HEADRACE_KERNEL void vocab_merge_kernel(vocab_forward_view view) {
  const std::size_t step = std::size_t{grid_blocks().x} * sum_threads;
  double total = 0.0;
  for (std::size_t i = std::size_t{block_index().x} * sum_threads + thread_index();
       i < view.of.logits.m;
       i += step) {
    const auto t = static_cast<std::uint32_t>(i);
    const double lse = merged_slices(view, t);
    const float weight = position_weight(view.of, t);
    double loss = 0.0;
    if (weight != 0.0F) {
      const double gap = lse - static_cast<double>(view.label_logits[t]);
      loss = static_cast<double>(weight) * gap;
    }
    view.lse[t] = static_cast<float>(lse);
    view.losses[t] = static_cast<float>(loss);
    total += loss;
  }
  total = block_sum(total, reinterpret_cast<double*>(shared_memory()));
  if (thread_index() == 0) view.partials[block_index().x] = total;
}

struct vocab_gradient_view {
  vocab_view of;             // n and b: the items from first_item on, some of them
  std::uint32_t first_item;  // number of the first
  const float* lse;          // [m]
  float* gradients;          // [m, n] out: P
};

/// P = weight (e^(logit − lse) − one-hot) of some items, a tile a block. Grid: ⌈m / 64⌉ (x) by
/// ⌈n / 64⌉ (y) blocks of 256. Shared: tile_bytes.
HEADRACE_KERNEL void vocab_gradient_kernel(vocab_gradient_view view) {
  const product_view& logits = view.of.logits;
  const std::uint32_t row = block_index().x * tile_rows;
  const std::uint32_t column = block_index().y * tile_columns;
  float sums[4][4] = {};
  add_tile(logits, row, column, 0, logits.k, sums);
  const std::uint32_t c = tile_column(column);
  for (unsigned i = 0; i < 4; ++i) {
    const std::uint32_t t = tile_row(row, i);
    if (t >= logits.m) return;
    const float weight = position_weight(view.of, t);
    const float lse = view.lse[t];
    const std::uint32_t label = weight != 0.0F ? view.of.labels[t] - view.first_item : no_item;
    for (unsigned j = 0; j < 4; ++j) {
      if (c + j >= logits.n) break;
      const float p = weight * exp_near(sums[i][j] - lse);
      view.gradients[std::size_t{t} * logits.n + c + j] = c + j == label ? p - weight : p;
    }
  }
}

/// A thread has every n-th float. Any grid.
HEADRACE_KERNEL void clear_floats_kernel(float* to, std::size_t size) {
  const std::size_t step = std::size_t{grid_blocks().x} * block_threads();
  for (std::size_t i = std::size_t{block_index().x} * block_threads() + thread_index(); i < size;
       i += step)
    to[i] = 0.0F;
}

}  // namespace headrace::kernels::device
