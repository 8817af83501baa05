#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Softmax cross-entropy over a whole vocabulary, fused with the product that makes its logits:
/// logits = x itemsᵀ, loss = weight * (lse − logit of the label), lse = ln Σ_v e^logit_v.
///
/// x [positions, dim]; items [items, dim]; labels [positions], indices of items; weights
/// [positions]
/// >= 0, or empty when all are 1; where 0 the position's label isn't read and it has no loss, but
/// its x is still finite. Logits exist only as a tile of positions and items in `workspace`, with
/// an online maximum and sum beside it (Milakov & Gimelshein 2018, arXiv 1805.02867), so memory
/// doesn't grow with positions or items. A NaN among the logits of a position makes its lse and
/// loss NaN.
///
/// Out: losses and lse [positions]; returns Σ losses, summed in double before rounding. Bounds of
/// the CPU version: with u = 2^-24, G = (dim + 2) u max_v Σ|x e_v| the error of a logit, D = max
/// |logit|: lse and loss / weight within 2 G + (9 D + items + 64) u.
template <class Value>
struct basic_vocab_softmax_args {
  std::span<const Value> x;
  std::span<const Value> items;
  std::size_t dim = 0;
  std::span<const std::uint32_t> labels;
  std::span<const Value> weights = {};
  std::span<Value> losses;
  std::span<Value> lse;
  /// vocab_softmax_workspace(positions, items, dim) values; the reference needs none.
  std::span<Value> workspace = {};
};
using vocab_softmax_args = basic_vocab_softmax_args<float>;

/// Gradients of Σ losses: with P = weight * (e^(logit − lse) − one-hot), dx = P items and
/// ditems += Pᵀ x. The logits are made again, tile by tile.
///
/// Writes x_gradients [positions, dim], adds to item_gradients [items, dim]; `lse` as forward left
/// it. Bound of the CPU version, with R = 3 G + (17 D + items + 80) u the relative error of
/// e^(logit − lse): dx within weight * R Σ_v p |e| + (3 items + 8) u Σ_v |P e|; ditems within
/// Σ_t weight * R p |x| + (3 positions + 8) u (|what was there| + Σ_t |P x|).
template <class Value>
struct basic_vocab_softmax_backward_args {
  std::span<const Value> x;
  std::span<const Value> items;
  std::size_t dim = 0;
  std::span<const std::uint32_t> labels;
  std::span<const Value> weights = {};
  std::span<const Value> lse;
  std::span<Value> x_gradients;
  std::span<Value> item_gradients;
  std::span<Value> workspace = {};
};
using vocab_softmax_backward_args = basic_vocab_softmax_backward_args<float>;

/// Floats of workspace for either direction: a constant and what gemm needs for one tile.
std::size_t vocab_softmax_workspace(std::size_t positions, std::size_t items, std::size_t dim);

double vocab_softmax_ref(const vocab_softmax_args& args);
double vocab_softmax_ref(const basic_vocab_softmax_args<double>& args);
double vocab_softmax_cpu(const vocab_softmax_args& args);

void vocab_softmax_backward_ref(const vocab_softmax_backward_args& args);
void vocab_softmax_backward_ref(const basic_vocab_softmax_backward_args<double>& args);
void vocab_softmax_backward_cpu(const vocab_softmax_backward_args& args);

inline double vocab_softmax(const vocab_softmax_args& args) { return vocab_softmax_cpu(args); }
inline void vocab_softmax_backward(const vocab_softmax_backward_args& args) {
  vocab_softmax_backward_cpu(args);
}

}  // namespace headrace::kernels
