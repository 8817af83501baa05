#pragma once

#include "kernels/moe_permute/moe_permute.hpp"
#include "kernels/runtime/row_team.hpp"

#include <cstddef>
#include <cstdint>

/// Rows of tokens to their experts and back on a device (moe_permute.hpp has the maths).
namespace headrace::kernels::device {

struct moe_permute_view {
  const void* x;                // [tokens, words]
  const std::uint32_t* places;  // [tokens, per_token]
  void* rows;                   // [places, words]
  std::uint32_t tokens;
  std::uint32_t per_token;
  std::uint32_t words;  // of the kernel's type, in a row
};

/// A token a warp: read once, written to each of its places. Word: words_4 where rows are multiples
/// of 16 bytes, else what they are multiples of.
template <class Word>
HEADRACE_KERNEL void moe_permute_kernel(moe_permute_view view) {
  const std::size_t token = team_index<32>();
  if (token >= view.tokens) return;
  const Word* from = static_cast<const Word*>(view.x) + token * view.words;
  for (unsigned i = lane(); i < view.words; i += warp_threads) {
    const Word word = from[i];
    for (unsigned s = 0; s < view.per_token; ++s) {
      const std::uint32_t place = view.places[token * view.per_token + s];
      if (place == no_place) continue;
      static_cast<Word*>(view.rows)[std::size_t{place} * view.words + i] = word;
    }
  }
}

struct moe_combine_view {
  const float* rows;            // [places, dim]
  const std::uint32_t* places;  // [tokens, per_token]
  const float* gates;           // [tokens, per_token], or null: all 1
  float* y;                     // [tokens, dim]
  std::uint32_t tokens;
  std::uint32_t per_token;
  std::uint32_t dim;
  bool aligned;
};

/// A token a warp; slots are summed in their order.
HEADRACE_KERNEL void moe_combine_kernel(moe_combine_view view) {
  const std::size_t token = team_index<32>();
  if (token >= view.tokens) return;
  for (unsigned c = lane() * 4; c < view.dim; c += warp_threads * 4) {
    four_floats sum = {{0.0F, 0.0F, 0.0F, 0.0F}};
    for (std::size_t s = token * view.per_token; s < (token + 1) * view.per_token; ++s) {
      const std::uint32_t place = view.places[s];
      if (place == no_place) continue;
      const float gate = view.gates == nullptr ? 1.0F : view.gates[s];
      const float* row = view.rows + std::size_t{place} * view.dim;
      const four_floats v = load_four(row, c, view.dim, view.aligned);
      HEADRACE_UNROLL
      for (unsigned j = 0; j < 4; ++j) sum.v[j] += gate * v.v[j];
    }
    store_four(view.y + token * view.dim, c, view.dim, view.aligned, sum);
  }
}

struct moe_combine_backward_view {
  const float* rows;            // [places, dim]
  const std::uint32_t* places;  // [assignments]
  const float* gates;           // [assignments]
  const float* y_gradients;     // [tokens, dim]
  float* row_gradients;         // [places, dim], rows itself perhaps
  float* gate_gradients;        // [assignments]
  std::uint32_t assignments;
  std::uint32_t per_token;
  std::uint32_t dim;
  bool aligned;
};

/// An assignment a warp.
HEADRACE_KERNEL void moe_combine_backward_kernel(moe_combine_backward_view view) {
  const std::size_t s = team_index<32>();
  if (s >= view.assignments) return;
  const std::uint32_t place = view.places[s];
  float product = 0.0F;
  if (place != no_place) {
    const float gate = view.gates[s];
    const float* row = view.rows + std::size_t{place} * view.dim;
    const float* dy = view.y_gradients + s / view.per_token * view.dim;
    for (unsigned c = lane() * 4; c < view.dim; c += warp_threads * 4) {
      const four_floats v = load_four(row, c, view.dim, view.aligned);
      four_floats d = load_four(dy, c, view.dim, view.aligned);
      HEADRACE_UNROLL
      for (unsigned j = 0; j < 4; ++j) {
        product += d.v[j] * v.v[j];
        d.v[j] *= gate;
      }
      store_four(view.row_gradients + std::size_t{place} * view.dim, c, view.dim, view.aligned, d);
    }
  }
  product = warp_sum(product);
  if (lane() == 0) view.gate_gradients[s] = product;
}

}  // namespace headrace::kernels::device
