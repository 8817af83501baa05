#pragma once

#include "kernels/runtime/device.hpp"

#include <cstddef>
#include <cstdint>

/// Factorization machine on a device (fm.hpp has the maths). A warp is cut into groups of `Columns`
/// lanes, a power of two: lane = group * Columns + column, so that narrow rows fill a warp, too.
namespace headrace::kernels::device {

struct fm_forward_view {
  const float* rows;             // [u, 1 + latent_dim]
  const std::uint32_t* inverse;  // [samples, features]
  const float* values;           // [samples, features], or null: all 1
  float* logits;                 // [samples]
  float* sums;                   // [samples, latent_dim]
  std::uint32_t samples;
  std::uint32_t features;
  std::uint32_t latent_dim;
  float bias;
};

/// Sum over the groups of a warp, for each column: in every lane of it.
template <unsigned Columns>
HEADRACE_DEVICE float sum_over_groups(float value) {
  HEADRACE_UNROLL
  for (unsigned step = warp_threads / 2; step >= Columns; step /= 2) {
    value += shuffle_xor(value, step);
  }
  return value;
}

/// Σ v x and Σ (v x)² of column c of a sample over this group's features; 0 beyond the row.
template <unsigned Columns>
HEADRACE_DEVICE void take_features(
    const fm_forward_view& view, std::size_t sample, unsigned c, float& sum, float& squares) {
  const unsigned width = 1 + view.latent_dim;
  const std::size_t begin = sample * view.features;
  for (unsigned f = lane() / Columns; f < view.features; f += warp_threads / Columns) {
    const std::size_t row = view.inverse[begin + f];
    const float x = view.values == nullptr ? 1.0F : view.values[begin + f];
    const float term = c < width ? view.rows[row * width + c] * x : 0.0F;
    sum += term;
    squares += term * term;
  }
}

/// A sample a warp, the row's columns in pieces of `Columns`. Grid: any whose warps cover samples.
template <unsigned Columns>
HEADRACE_KERNEL void fm_forward_kernel(fm_forward_view view) {
  const std::size_t sample = std::size_t{block_index().x} * (block_threads() / 32) + warp();
  if (sample >= view.samples) return;
  float logit = 0.0F;  // this lane's share
  for (unsigned first = 0; first < 1 + view.latent_dim; first += Columns) {
    const unsigned c = first + lane() % Columns;
    float sum = 0.0F;
    float squares = 0.0F;
    take_features<Columns>(view, sample, c, sum, squares);
    sum = sum_over_groups<Columns>(sum);
    squares = sum_over_groups<Columns>(squares);
    if (lane() >= Columns) continue;
    logit += c == 0 ? sum : 0.5F * (sum * sum - squares);
    if (c > 0 && c <= view.latent_dim) view.sums[sample * view.latent_dim + c - 1] = sum;
  }
  logit = warp_sum(logit);
  if (lane() == 0) view.logits[sample] = view.bias + logit;
}

/// Occurrences of rows that a warp of the backward pass has.
constexpr std::uint32_t fm_piece = 128;

struct fm_backward_view {
  const float* rows;             // [u, 1 + latent_dim]
  const std::uint32_t* inverse;  // [samples, features]
  /// [occurrences]: 0 … samples * features - 1 ordered by (inverse, itself), as dedup's sort leaves
  /// them.
  const std::uint32_t* order;
  const float* values;           // [samples, features], or null
  const float* sums;             // [samples, latent_dim]
  const float* logit_gradients;  // [samples]
  float* row_gradients;          // [u, 1 + latent_dim], added to
  float* heads;                  // [pieces, 1 + latent_dim]
  float* tails;                  // [pieces, 1 + latent_dim]
  std::uint32_t occurrences;
  std::uint32_t features;
  std::uint32_t latent_dim;
};

HEADRACE_DEVICE std::uint32_t row_at(const fm_backward_view& view, std::uint32_t place) {
  return view.inverse[view.order[place]];
}

/// g x, or g x (sum − v x), of column c of an occurrence.
HEADRACE_DEVICE float occurrence_gradient(const fm_backward_view& view,
                                          std::uint32_t place,
                                          std::uint32_t row,
                                          unsigned c) {
  const std::uint32_t i = view.order[place];
  const std::uint32_t sample = i / view.features;
  const float x = view.values == nullptr ? 1.0F : view.values[i];
  const float gx = view.logit_gradients[sample] * x;
  if (c == 0) return gx;
  const float v = view.rows[std::size_t{row} * (1 + view.latent_dim) + c];
  return gx * (view.sums[std::size_t{sample} * view.latent_dim + c - 1] - v * x);
}

/// The place behind the last of those from `begin` on that have the same row, `end` at most.
HEADRACE_DEVICE std::uint32_t end_of_row(const fm_backward_view& view,
                                         std::uint32_t begin,
                                         std::uint32_t end) {
  const std::uint32_t row = row_at(view, begin);
  std::uint32_t place = begin + 1;
  while (place < end && row_at(view, place) == row) ++place;
  return place;
}

/// First phase. Piece p is the places [p, p + 1) * fm_piece. A row whose places all lie in one
/// piece gets its gradient here; what a piece has of a row that began before it goes to heads[p],
/// of one that begins in it and goes on behind it to tails[p]. A warp a piece, lanes are columns.
HEADRACE_KERNEL void fm_backward_kernel(fm_backward_view view) {
  const std::uint32_t piece = block_index().x * (block_threads() / 32) + warp();
  const std::uint32_t first = piece * fm_piece;
  if (first >= view.occurrences) return;
  const std::uint32_t width = 1 + view.latent_dim;
  const std::uint32_t left = view.occurrences - first;
  const std::uint32_t end = first + (left < fm_piece ? left : fm_piece);
  for (std::uint32_t begin = first; begin < end;) {
    const std::uint32_t stop = end_of_row(view, begin, end);
    const std::uint32_t row = row_at(view, begin);
    float* to = view.row_gradients + std::size_t{row} * width;
    const bool goes_on = stop == end && end < view.occurrences && row_at(view, end) == row;
    const bool began_before = begin == first && first > 0 && row_at(view, first - 1) == row;
    float* part = began_before ? view.heads : view.tails;
    for (unsigned c = lane(); c < width; c += warp_threads) {
      float sum = 0.0F;
      for (std::uint32_t i = begin; i < stop; ++i) sum += occurrence_gradient(view, i, row, c);
      if (goes_on || began_before) {
        part[std::size_t{piece} * width + c] = sum;
      } else {
        to[c] += sum;
      }
    }
    begin = stop;
  }
}

/// Second phase: the warp of the piece in which a long row begins adds its tail, then the heads of
/// the pieces behind as far as the row goes.
HEADRACE_KERNEL void fm_long_rows_kernel(fm_backward_view view) {
  const std::uint32_t piece = block_index().x * (block_threads() / 32) + warp();
  const std::uint32_t end = (piece + 1) * fm_piece;
  if (end >= view.occurrences) return;
  const std::uint32_t row = row_at(view, end);
  if (row_at(view, end - 1) != row) return;
  const std::uint32_t first = piece * fm_piece;
  if (first > 0 && row_at(view, first - 1) == row) return;  // it began in a piece before
  const std::uint32_t width = 1 + view.latent_dim;
  for (unsigned c = lane(); c < width; c += warp_threads) {
    float sum = view.tails[std::size_t{piece} * width + c];
    std::uint32_t next = piece + 1;
    for (; next * fm_piece < view.occurrences && row_at(view, next * fm_piece) == row; ++next) {
      sum += view.heads[std::size_t{next} * width + c];
    }
    view.row_gradients[std::size_t{row} * width + c] += sum;
  }
}

/// Σ of n floats in double, one block of 256: thread t takes t, t + 256, …, then a fixed tree.
/// Shared: 8 doubles.
HEADRACE_KERNEL void sum_in_double_kernel(const float* values, std::uint32_t n, float* out) {
  auto* sums = reinterpret_cast<double*>(shared_memory());
  double sum = 0.0;
  for (std::uint32_t i = thread_index(); i < n; i += block_threads()) {
    sum += static_cast<double>(values[i]);
  }
  sum = warp_sum(sum);
  if (lane() == 0) sums[warp()] = sum;
  sync_block();
  if (thread_index() != 0) return;
  double total = 0.0;
  for (unsigned w = 0; w < block_threads() / 32; ++w) total += sums[w];
  *out = static_cast<float>(total);
}

}  // namespace headrace::kernels::device
