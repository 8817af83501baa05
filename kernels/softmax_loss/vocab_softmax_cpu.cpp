#include "base/check.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/softmax_loss/vocab_softmax.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax_loss/vocab_softmax_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/softmax_loss/softmax_row-inl.hpp"
// clang-format on

#ifndef HEADRACE_KERNELS_SOFTMAX_LOSS_VOCAB_TILE
#define HEADRACE_KERNELS_SOFTMAX_LOSS_VOCAB_TILE
namespace headrace::kernels {
namespace {

/// A tile of 256 KiB of logits stays in a core's second-level cache.
constexpr std::size_t tile_positions = 128;
constexpr std::size_t tile_items = 512;

/// Positions [t, t + positions) against items [v, v + items); logits are `items` apart.
struct tile {
  std::size_t t = 0;
  std::size_t positions = 0;
  std::size_t v = 0;
  std::size_t items = 0;
};

/// Calls work(tile) for all tiles of the positions [t, t + positions).
template <class Work>
void for_each_item_tile(std::size_t t, std::size_t positions, std::size_t items, const Work& work) {
  for (std::size_t v = 0; v < items; v += tile_items) {
    work(tile{t, positions, v, std::min(tile_items, items - v)});
  }
}

template <class Args>
void make_logits(const Args& args, const tile& at) {
  gemm({.a = args.x.data() + at.t * args.dim,
        .a_stride = args.dim,
        .b = args.items.data() + at.v * args.dim,
        .b_stride = args.dim,
        .b_transposed = true,
        .c = args.workspace.data(),
        .c_stride = at.items,
        .m = at.positions,
        .n = at.items,
        .k = args.dim,
        .workspace = args.workspace.subspan(tile_positions * tile_items)});
}

/// dx = P items, from the first tile of items on.
void add_x_gradients(const vocab_softmax_backward_args& args, const tile& at) {
  gemm({.a = args.workspace.data(),
        .a_stride = at.items,
        .b = args.items.data() + at.v * args.dim,
        .b_stride = args.dim,
        .c = args.x_gradients.data() + at.t * args.dim,
        .c_stride = args.dim,
        .m = at.positions,
        .n = args.dim,
        .k = at.items,
        .accumulate = at.v != 0,
        .workspace = args.workspace.subspan(tile_positions * tile_items)});
}

/// ditems += Pᵀ x.
void add_item_gradients(const vocab_softmax_backward_args& args, const tile& at) {
  gemm({.a = args.workspace.data(),
        .a_stride = at.items,
        .a_transposed = true,
        .b = args.x.data() + at.t * args.dim,
        .b_stride = args.dim,
        .c = args.item_gradients.data() + at.v * args.dim,
        .c_stride = args.dim,
        .m = at.items,
        .n = args.dim,
        .k = at.positions,
        .accumulate = true,
        .workspace = args.workspace.subspan(tile_positions * tile_items)});
}

template <class Args>
float weight_of(const Args& args, std::size_t t) {
  return args.weights.empty() ? 1.0F : args.weights[t];
}

}  // namespace
}  // namespace headrace::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// What is known of a position after some tiles: Σ e^logit = sum * e^largest.
struct running {
  float largest = -std::numeric_limits<float>::infinity();
  double sum = 0.0;
  float label_logit = 0.0F;
};

HWY_INLINE void take_row(const float* logits, std::size_t n, running& state) {
  const float largest = row_max(logits, n);
  if (!(largest <= state.largest)) {
    state.sum *= std::exp(static_cast<double>(state.largest) - static_cast<double>(largest));
    state.largest = largest;
  }
  state.sum += static_cast<double>(exp_sum(logits, n, state.largest));
}

/// Writes lse and losses of `positions` positions from t on; returns their losses.
double finish(const vocab_softmax_args& args,
              std::size_t t,
              std::size_t positions,
              const running* states) {
  double total = 0.0;
  for (std::size_t i = 0; i < positions; ++i) {
    const running& state = states[i];
    const double weight = static_cast<double>(weight_of(args, t + i));
    const double lse = static_cast<double>(state.largest) + std::log(state.sum);
    const double loss =
        weight == 0.0 ? 0.0 : weight * (lse - static_cast<double>(state.label_logit));
    args.lse[t + i] = static_cast<float>(lse);
    args.losses[t + i] = static_cast<float>(loss);
    total += loss;
  }
  return total;
}

double vocab_softmax_target(const vocab_softmax_args& args) {
  const std::size_t items = args.items.size() / args.dim;
  double total = 0.0;
  for (std::size_t t = 0; t < args.labels.size(); t += tile_positions) {
    const std::size_t positions = std::min(tile_positions, args.labels.size() - t);
    std::array<running, tile_positions> states{};
    for_each_item_tile(t, positions, items, [&args, &states](const tile& at) HWY_ATTR {
      make_logits(args, at);
      for (std::size_t i = 0; i < at.positions; ++i) {
        const float* logits = args.workspace.data() + i * at.items;
        take_row(logits, at.items, states[i]);
        const std::size_t label = args.labels[at.t + i];
        if (label >= at.v && label < at.v + at.items) states[i].label_logit = logits[label - at.v];
      }
    });
    total += finish(args, t, positions, states.data());
  }
  return total;
}

/// Turns the logits of a row into weight * (e^(logit − lse) − one-hot).
HWY_INLINE void to_gradient(float* row, std::size_t n, float lse, float weight) {
  for_columns(0, n, [row, lse, weight](auto d, std::size_t v) HWY_ATTR {
    const auto below = hn::Sub(hn::LoadU(d, row + v), hn::Set(d, lse));
    hn::StoreU(hn::Mul(exp_nonpositive(d, below), hn::Set(d, weight)), d, row + v);
  });
}

void vocab_softmax_backward_target(const vocab_softmax_backward_args& args) {
  const std::size_t items = args.items.size() / args.dim;
  for (std::size_t t = 0; t < args.labels.size(); t += tile_positions) {
    const std::size_t positions = std::min(tile_positions, args.labels.size() - t);
    for_each_item_tile(t, positions, items, [&args](const tile& at) HWY_ATTR {
      make_logits(args, at);
      for (std::size_t i = 0; i < at.positions; ++i) {
        float* row = args.workspace.data() + i * at.items;
        const float weight = weight_of(args, at.t + i);
        to_gradient(row, at.items, args.lse[at.t + i], weight);
        const std::size_t label = args.labels[at.t + i];
        if (weight != 0.0F && label >= at.v && label < at.v + at.items) row[label - at.v] -= weight;
      }
      add_x_gradients(args, at);
      add_item_gradients(args, at);
    });
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(vocab_softmax_target);
HWY_EXPORT(vocab_softmax_backward_target);

namespace {

/// Sizes of a whole tile and of the last: gemm is asked about both.
std::array<std::size_t, 2> sizes_of(std::size_t n, std::size_t tile_n) {
  return {std::min(n, tile_n), n % tile_n};
}

template <class Args>
void check_inputs(const Args& args) {
  CHECK(args.dim > 0);
  CHECK(args.items.size() % args.dim == 0);
  CHECK(args.x.size() == args.labels.size() * args.dim);
  CHECK(args.weights.empty() || args.weights.size() == args.labels.size());
  CHECK(args.lse.size() == args.labels.size());
  CHECK(args.workspace.size() >=
        vocab_softmax_workspace(args.labels.size(), args.items.size() / args.dim, args.dim));
  for (std::size_t t = 0; t < args.labels.size(); ++t) {
    if (weight_of(args, t) != 0.0F) CHECK(args.labels[t] < args.items.size() / args.dim);
  }
}

}  // namespace

std::size_t vocab_softmax_workspace(std::size_t positions, std::size_t items, std::size_t dim) {
  std::size_t products = 0;
  for (const std::size_t t : sizes_of(positions, tile_positions)) {
    for (const std::size_t v : sizes_of(items, tile_items)) {
      products = std::max({products,
                           gemm_workspace(t, v, dim),
                           gemm_workspace(t, dim, v),
                           gemm_workspace(v, dim, t)});
    }
  }
  return tile_positions * tile_items + products;
}

double vocab_softmax_cpu(const vocab_softmax_args& args) {
  check_inputs(args);
  CHECK(args.losses.size() == args.labels.size());
  return HWY_DYNAMIC_DISPATCH(vocab_softmax_target)(args);
}

void vocab_softmax_backward_cpu(const vocab_softmax_backward_args& args) {
  check_inputs(args);
  CHECK(args.x_gradients.size() == args.x.size());
  CHECK(args.item_gradients.size() == args.items.size());
  HWY_DYNAMIC_DISPATCH(vocab_softmax_backward_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
