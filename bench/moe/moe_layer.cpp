#include "bench/moe/moe_layer.hpp"

#include "bench/torch/draw.hpp"
#include "bench/torch/on_threads.hpp"
#include "bench/torch/product.hpp"
#include "kernels/moe_permute/moe_permute.hpp"
#include "kernels/moe_router/moe_router.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <span>

namespace headrace::bench {

double moe_flop(const moe_shape& shape) {
  return 12.0 * static_cast<double>(shape.tokens * shape.per_token * shape.dim * shape.hidden);
}

moe_layer::moe_layer(const moe_shape& shape, unsigned threads, std::uint64_t seed)
    : shape_(shape),
      expert_sizes_{
          .form = kernels::ffn_form::relu, .experts = 1, .dim = shape.dim, .hidden = shape.hidden},
      parts_(threads) {
  const auto& [tokens, dim, hidden, experts, per_token] = shape_;
  draw_inputs(seed);
  for (auto* values : {&logits_, &probabilities_, &logit_gradients_})
    values->resize(tokens * experts);
  for (auto* values : {&gates_, &gate_gradients_}) values->resize(tokens * per_token);
  for (auto* words : {&chosen_, &routes_, &places_}) words->resize(tokens * per_token);
  for (auto* values : {&rows_, &out_}) values->resize(tokens * per_token * dim);
  for (auto* values : {&y_, &dx_}) values->resize(tokens * dim);
  for (auto* values : {&dw1_, &dw2_}) values->resize(w1_.size());
  lse_.resize(tokens);
  means_.resize(experts);
  costs_.resize(experts);
  loads_.resize(experts);
  offsets_.resize(experts + 1);
  hidden_.resize(tokens * per_token * hidden);
  for (std::size_t i = 0; i < threads; ++i) {
    part& mine = parts_[i];
    mine.first_token = part_begin(tokens, i, threads);
    mine.tokens = part_begin(tokens, i + 1, threads) - mine.first_token;
    mine.dw_router.resize(w_router_.size());
    mine.products.resize(products_workspace(
        {{mine.tokens, experts, dim}, {dim, experts, mine.tokens}, {mine.tokens, dim, experts}}));
    mine.experts_space.resize(kernels::grouped_ffn_workspace(expert_sizes_, tokens));
  }
}

void moe_layer::draw_inputs(std::uint64_t seed) {
  const auto& [tokens, dim, hidden, experts, per_token] = shape_;
  random_stream random(seed);
  const double range = std::sqrt(3.0 / static_cast<double>(dim));
  w_router_ = draw(random, dim * experts, range);
  w1_ = draw(random, experts * dim * hidden, range);
  w2_ = draw(random, experts * hidden * dim, std::sqrt(3.0 / static_cast<double>(hidden)));
  dy_ = draw(random, tokens * dim, 1.0);
  x_.resize(tokens * dim);
  for (std::size_t t = 0; t < tokens; ++t) {
    do {
      std::ranges::copy(draw(random, dim, 1.0), x_.begin() + static_cast<std::ptrdiff_t>(t * dim));
    } while (!clear_choice(t));
  }
}

/// Whether no logit that is chosen lies within 1e-3 of one that is not.
bool moe_layer::clear_choice(std::size_t token) const {
  const auto& [tokens, dim, hidden, experts, per_token] = shape_;
  if (per_token >= experts) return true;
  std::vector<double> logits(experts, 0.0);
  for (std::size_t c = 0; c < dim; ++c) {
    for (std::size_t e = 0; e < experts; ++e) {
      logits[e] += static_cast<double>(x_[token * dim + c]) *
                   static_cast<double>(w_router_[c * experts + e]);
    }
  }
  std::ranges::sort(logits, std::greater());
  return logits[per_token - 1] - logits[per_token] > 1e-3;
}

void moe_layer::route() {
  kernels::moe_router({.logits = logits_,
                       .experts = shape_.experts,
                       .per_token = shape_.per_token,
                       .probabilities = probabilities_,
                       .lse = lse_,
                       .mean_probabilities = means_,
                       .chosen = chosen_,
                       .gates = gates_,
                       .loads = loads_,
                       .routes = routes_});
  kernels::moe_plan(
      {.routes = routes_, .per_token = shape_.per_token, .offsets = offsets_, .places = places_});
  share_experts();
}

/// The largest first, each to the thread that has the fewest rows (Graham, 1969).
void moe_layer::share_experts() {
  std::vector<std::size_t> order(shape_.experts);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater(), [this](std::size_t e) { return loads_[e]; });
  std::vector<std::size_t> rows(parts_.size(), 0);
  for (part& each : parts_) each.experts.clear();
  for (const std::size_t e : order) {
    const auto least = std::ranges::min_element(rows) - rows.begin();
    rows[static_cast<std::size_t>(least)] += loads_[e];
    parts_[static_cast<std::size_t>(least)].experts.push_back(e);
  }
}

void moe_layer::gather(part& mine) {
  const auto& [tokens, dim, hidden, experts, per_token] = shape_;
  kernels::moe_permute(
      {.x = std::span(x_).subspan(mine.first_token * dim, mine.tokens * dim),
       .places = std::span(places_).subspan(mine.first_token * per_token, mine.tokens * per_token),
       .per_token = per_token,
       .dim = dim,
       .rows = rows_});
}

void moe_layer::experts_forward(part& mine, std::size_t expert) {
  const auto& [tokens, dim, hidden, experts, per_token] = shape_;
  const std::size_t first = offsets_[expert];
  const std::size_t rows = offsets_[expert + 1] - first;
  const std::uint32_t offsets[] = {0, static_cast<std::uint32_t>(rows)};
  const std::size_t weights = dim * hidden;
  kernels::grouped_ffn({.sizes = expert_sizes_,
                        .offsets = offsets,
                        .x = std::span(rows_).subspan(first * dim, rows * dim),
                        .w1 = std::span(w1_).subspan(expert * weights, weights),
                        .w2 = std::span(w2_).subspan(expert * weights, weights),
                        .first = std::span(hidden_).subspan(first * hidden, rows * hidden),
                        .y = std::span(out_).subspan(first * dim, rows * dim),
                        .workspace = mine.experts_space});
}

void moe_layer::experts_backward(part& mine, std::size_t expert) {
  const auto& [tokens, dim, hidden, experts, per_token] = shape_;
  const std::size_t first = offsets_[expert];
  const std::size_t rows = offsets_[expert + 1] - first;
  const std::uint32_t offsets[] = {0, static_cast<std::uint32_t>(rows)};
  const std::size_t weights = dim * hidden;
  const auto out = std::span(out_).subspan(first * dim, rows * dim);
  const auto dw1 = std::span(dw1_).subspan(expert * weights, weights);
  const auto dw2 = std::span(dw2_).subspan(expert * weights, weights);
  std::ranges::fill(dw1, 0.0F);
  std::ranges::fill(dw2, 0.0F);
  kernels::grouped_ffn_backward({.sizes = expert_sizes_,
                                 .offsets = offsets,
                                 .x = std::span(rows_).subspan(first * dim, rows * dim),
                                 .w1 = std::span(w1_).subspan(expert * weights, weights),
                                 .w2 = std::span(w2_).subspan(expert * weights, weights),
                                 .first = std::span(hidden_).subspan(first * hidden, rows * hidden),
                                 .y_gradients = out,
                                 .x_gradients = out,
                                 .w1_gradients = dw1,
                                 .w2_gradients = dw2,
                                 .workspace = mine.experts_space});
}

void moe_layer::scatter(part& mine) {
  const auto& [tokens, dim, hidden, experts, per_token] = shape_;
  const std::size_t at = mine.first_token * per_token;
  const std::size_t count = mine.tokens * per_token;
  kernels::moe_combine({.rows = out_,
                        .places = std::span(places_).subspan(at, count),
                        .gates = std::span(gates_).subspan(at, count),
                        .per_token = per_token,
                        .dim = dim,
                        .y = std::span(y_).subspan(mine.first_token * dim, mine.tokens * dim)});
}

void moe_layer::scatter_backward(part& mine) {
  const auto& [tokens, dim, hidden, experts, per_token] = shape_;
  const std::size_t at = mine.first_token * per_token;
  const std::size_t count = mine.tokens * per_token;
  kernels::moe_combine_backward(
      {.rows = out_,
       .places = std::span(places_).subspan(at, count),
       .gates = std::span(gates_).subspan(at, count),
       .per_token = per_token,
       .dim = dim,
       .y_gradients = std::span(dy_).subspan(mine.first_token * dim, mine.tokens * dim),
       .row_gradients = out_,
       .gate_gradients = std::span(gate_gradients_).subspan(at, count)});
}

/// dx from the experts and from the router, and dW_router of these tokens.
void moe_layer::gather_backward(part& mine) {
  const auto& [tokens, dim, hidden, experts, per_token] = shape_;
  const std::size_t at = mine.first_token * dim;
  const float* dlogits = logit_gradients_.data() + mine.first_token * experts;
  kernels::moe_combine(
      {.rows = out_,
       .places = std::span(places_).subspan(mine.first_token * per_token, mine.tokens * per_token),
       .per_token = per_token,
       .dim = dim,
       .y = std::span(dx_).subspan(at, mine.tokens * dim)});
  multiply({dlogits},
           {w_router_.data(), true},
           dx_.data() + at,
           {mine.tokens, dim, experts},
           true,
           mine.products);
  multiply({x_.data() + at, true},
           {dlogits},
           mine.dw_router.data(),
           {dim, experts, mine.tokens},
           false,
           mine.products);
}

void moe_layer::score(part& mine) {
  const auto& [tokens, dim, hidden, experts, per_token] = shape_;
  multiply({x_.data() + mine.first_token * dim},
           {w_router_.data()},
           logits_.data() + mine.first_token * experts,
           {mine.tokens, experts, dim},
           false,
           mine.products);
}

void moe_layer::forward() {
  const auto threads = static_cast<unsigned>(parts_.size());
  on_threads(threads, [&](unsigned i) { score(parts_[i]); });
  route();
  on_threads(threads, [&](unsigned i) { gather(parts_[i]); });
  on_threads(threads, [&](unsigned i) {
    for (const std::size_t expert : parts_[i].experts) experts_forward(parts_[i], expert);
  });
  on_threads(threads, [&](unsigned i) { scatter(parts_[i]); });
}

void moe_layer::backward() {
  const auto threads = static_cast<unsigned>(parts_.size());
  on_threads(threads, [&](unsigned i) { scatter_backward(parts_[i]); });
  on_threads(threads, [&](unsigned i) {
    for (const std::size_t expert : parts_[i].experts) experts_backward(parts_[i], expert);
  });
  kernels::moe_router_backward({.experts = shape_.experts,
                                .per_token = shape_.per_token,
                                .probabilities = probabilities_,
                                .lse = lse_,
                                .mean_probabilities = means_,
                                .chosen = chosen_,
                                .gates = gates_,
                                .loads = loads_,
                                .routes = routes_,
                                .gate_gradients = gate_gradients_,
                                .logit_gradients = logit_gradients_,
                                .workspace = costs_});
  on_threads(threads, [&](unsigned i) { gather_backward(parts_[i]); });
  for (std::size_t i = 1; i < parts_.size(); ++i) {
    std::ranges::transform(
        parts_[0].dw_router, parts_[i].dw_router, parts_[0].dw_router.begin(), std::plus());
  }
}

void moe_layer::step() {
  forward();
  backward();
}

std::vector<layer_tensor> moe_layer::inputs() const {
  return {{"x", x_}, {"dy", dy_}, {"w_router", w_router_}, {"w1", w1_}, {"w2", w2_}};
}

std::vector<layer_tensor> moe_layer::outputs() const {
  return {{"y", y_}, {"dx", dx_}, {"dw_router", parts_[0].dw_router}, {"dw1", dw1_}, {"dw2", dw2_}};
}

}  // namespace headrace::bench
