#include "bench/attention/gated_attention.hpp"

#include "bench/torch/draw.hpp"
#include "bench/torch/on_threads.hpp"
#include "kernels/attention/head_gate.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>

namespace headrace::bench {
namespace {

/// Sequences [first, first + count) of one thread.
struct part {
  std::size_t first;
  std::size_t count;
};
part part_of(const own_attention& heads, unsigned thread) {
  const std::size_t batch = heads.shape().batch;
  const std::size_t first = part_begin(batch, thread, heads.threads());
  return {first, part_begin(batch, thread + 1, heads.threads()) - first};
}

}  // namespace

gated_attention::gated_attention(const own_attention_shape& shape, double share, unsigned threads)
    : heads_(shape, threads) {
  const std::size_t width = shape.heads * shape.head_dim;
  for (std::size_t s = 0; s <= shape.batch; ++s)
    offsets_.push_back(static_cast<std::uint32_t>(s * shape.seq));
  random_stream random(11);
  x_ = draw(random, shape.batch * shape.seq * width, 1.0);
  weights_ = draw(random, width * shape.heads, 1.0);
  means_.resize(shape.batch * width);
  scores_.resize(shape.batch * shape.heads);
  active_.resize(scores_.size());
  gate_gradients_.resize(scores_.size());
  dx_.resize(x_.size());
  weight_gradients_.assign(threads, std::vector<float>(weights_.size()));
  for (unsigned thread = 0; thread < threads; ++thread) gate(thread);
  std::vector<float> ordered = scores_;
  std::ranges::sort(ordered, std::greater());
  const auto open = static_cast<std::size_t>(share * static_cast<double>(ordered.size()));
  threshold_ = open == ordered.size() ? -1.0F : ordered[open];
  heads_.set_active(active_);
}

void gated_attention::gate(unsigned thread) {
  const auto [first, count] = part_of(heads_, thread);
  const auto& [batch, seq, heads, head_dim, mask] = heads_.shape();
  const std::size_t width = heads * head_dim;
  kernels::head_gate({.x = x_.data() + first * seq * width,
                      .x_stride = width,
                      .offsets = std::span(offsets_).first(count + 1),
                      .width = width,
                      .heads = heads,
                      .weights = weights_,
                      .threshold = threshold_,
                      .means = std::span(means_).subspan(first * width, count * width),
                      .scores = std::span(scores_).subspan(first * heads, count * heads),
                      .active = std::span(active_).subspan(first * heads, count * heads)});
}

void gated_attention::gate_backward(unsigned thread) {
  const auto [first, count] = part_of(heads_, thread);
  const auto& [batch, seq, heads, head_dim, mask] = heads_.shape();
  const std::size_t width = heads * head_dim;
  for (std::size_t pair = first * heads; pair < (first + count) * heads; ++pair) {
    float sum = 0;
    const std::size_t at = pair / heads * seq * width + pair % heads * head_dim;
    for (std::size_t t = 0; t < seq && active_[pair] != 0; ++t) {
      for (std::size_t c = at + t * width; c < at + t * width + head_dim; ++c)
        sum += heads_.o()[c] * heads_.d_o()[c];
    }
    gate_gradients_[pair] = sum;
  }
  std::ranges::fill(weight_gradients_[thread], 0.0F);
  kernels::head_gate_backward(
      {.forward = {.x = x_.data() + first * seq * width,
                   .x_stride = width,
                   .offsets = std::span(offsets_).first(count + 1),
                   .width = width,
                   .heads = heads,
                   .weights = weights_,
                   .threshold = threshold_,
                   .means = std::span(means_).subspan(first * width, count * width),
                   .scores = std::span(scores_).subspan(first * heads, count * heads),
                   .active = std::span(active_).subspan(first * heads, count * heads)},
       .gate_gradients = std::span(gate_gradients_).subspan(first * heads, count * heads),
       .dx = dx_.data() + first * seq * width,
       .dx_stride = width,
       .weight_gradients = weight_gradients_[thread]});
}

void gated_attention::forward() {
  on_threads(heads_.threads(), [this](unsigned thread) { gate(thread); });
  heads_.forward();
}

void gated_attention::backward() {
  heads_.backward();
  on_threads(heads_.threads(), [this](unsigned thread) { gate_backward(thread); });
}

double gated_attention::active_share() const {
  const auto open = std::ranges::count(active_, std::uint8_t{1});
  return static_cast<double>(open) / static_cast<double>(active_.size());
}

}  // namespace headrace::bench
