#include "bench/attention/attention_layer.hpp"

#include "base/check.hpp"
#include "bench/torch/draw.hpp"
#include "bench/torch/on_threads.hpp"
#include "bench/torch/product.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

namespace headrace::bench {

double attention_flop(const attention_shape& shape) {
  const auto tokens = static_cast<double>(shape.batch * shape.seq);
  const auto dim = static_cast<double>(shape.dim);
  return 3 * (8 * tokens * dim * dim + 4 * tokens * static_cast<double>(shape.seq) * dim);
}

attention_layer::attention_layer(const attention_shape& shape, unsigned threads, std::uint64_t seed)
    : shape_(shape),
      offsets_{0, static_cast<std::uint32_t>(shape.seq)},
      qkv_(shape.batch * shape.seq * 3 * shape.dim),
      o_(shape.batch * shape.seq * shape.dim),
      lse_(shape.batch * shape.seq * shape.heads),
      y_(o_.size()),
      dx_(o_.size()),
      parts_(threads) {
  const auto& [batch, seq, dim, heads] = shape_;
  CHECK(dim % heads == 0);
  random_stream random(seed);
  const double range = std::sqrt(3.0 / static_cast<double>(dim));
  x_ = draw(random, o_.size(), 1.0);
  dy_ = draw(random, o_.size(), 1.0);
  w_qkv_ = draw(random, dim * 3 * dim, range);
  w_o_ = draw(random, dim * dim, range);
  const std::size_t products = products_workspace({{seq, 3 * dim, dim},
                                                   {seq, dim, dim},
                                                   {dim, dim, seq},
                                                   {dim, 3 * dim, seq},
                                                   {seq, dim, 3 * dim}});
  const std::size_t attention = std::max(kernels::attention_workspace(dim / heads),
                                         kernels::attention_backward_workspace(dim / heads, seq));
  for (part& each : parts_) {
    each.d_o.resize(seq * dim);
    each.dqkv.resize(seq * 3 * dim);
    each.dw_qkv.resize(w_qkv_.size());
    each.dw_o.resize(w_o_.size());
    each.products.resize(products);
    each.attention.resize(attention);
  }
}

kernels::attention_args attention_layer::attention_of(std::size_t sequence) {
  const auto& [batch, seq, dim, heads] = shape_;
  const float* qkv = qkv_.data() + sequence * seq * 3 * dim;
  return {.q = qkv,
          .q_stride = 3 * dim,
          .k = qkv + dim,
          .k_stride = 3 * dim,
          .v = qkv + 2 * dim,
          .v_stride = 3 * dim,
          .offsets = offsets_,
          .heads = heads,
          .kv_heads = heads,
          .head_dim = dim / heads,
          .scale = 1.0F / std::sqrt(static_cast<float>(dim / heads)),
          .mask = {},
          .o = o_.data() + sequence * seq * dim,
          .o_stride = dim,
          .lse = std::span(lse_).subspan(sequence * seq * heads, seq * heads)};
}

void attention_layer::forward(part& mine, std::size_t sequence) {
  const auto& [batch, seq, dim, heads] = shape_;
  const std::size_t at = sequence * seq * dim;
  multiply({x_.data() + at},
           {w_qkv_.data()},
           qkv_.data() + 3 * at,
           {seq, 3 * dim, dim},
           false,
           mine.products);
  kernels::attention_args args = attention_of(sequence);
  args.workspace = mine.attention;
  kernels::attention(args);
  multiply({o_.data() + at}, {w_o_.data()}, y_.data() + at, {seq, dim, dim}, false, mine.products);
}

void attention_layer::backward(part& mine, std::size_t sequence) {
  const auto& [batch, seq, dim, heads] = shape_;
  const std::size_t at = sequence * seq * dim;
  const auto times = [&mine](matrix a, matrix b, float* c, product_size size, bool accumulate) {
    multiply(a, b, c, size, accumulate, mine.products);
  };
  const float* dy = dy_.data() + at;
  times({dy}, {w_o_.data(), true}, mine.d_o.data(), {seq, dim, dim}, false);
  times({o_.data() + at, true}, {dy}, mine.dw_o.data(), {dim, dim, seq}, true);
  kernels::attention_backward({.forward = attention_of(sequence),
                               .d_o = mine.d_o.data(),
                               .d_o_stride = dim,
                               .dq = mine.dqkv.data(),
                               .dq_stride = 3 * dim,
                               .dk = mine.dqkv.data() + dim,
                               .dk_stride = 3 * dim,
                               .dv = mine.dqkv.data() + 2 * dim,
                               .dv_stride = 3 * dim,
                               .workspace = mine.attention});
  const float* dqkv = mine.dqkv.data();
  times({x_.data() + at, true}, {dqkv}, mine.dw_qkv.data(), {dim, 3 * dim, seq}, true);
  times({dqkv}, {w_qkv_.data(), true}, dx_.data() + at, {seq, dim, 3 * dim}, false);
}

void attention_layer::add_up() {
  for (std::size_t i = 1; i < parts_.size(); ++i) {
    std::ranges::transform(
        parts_[0].dw_qkv, parts_[i].dw_qkv, parts_[0].dw_qkv.begin(), std::plus());
    std::ranges::transform(parts_[0].dw_o, parts_[i].dw_o, parts_[0].dw_o.begin(), std::plus());
  }
}

void attention_layer::step() {
  const auto each_of_mine = [this](unsigned i, auto&& work) {
    const std::size_t end = part_begin(shape_.batch, i + 1, parts_.size());
    for (std::size_t s = part_begin(shape_.batch, i, parts_.size()); s < end; ++s) work(s);
  };
  const auto threads = static_cast<unsigned>(parts_.size());
  on_threads(threads, [&](unsigned i) {
    each_of_mine(i, [&](std::size_t sequence) { forward(parts_[i], sequence); });
  });
  on_threads(threads, [&](unsigned i) {
    std::ranges::fill(parts_[i].dw_qkv, 0.0F);
    std::ranges::fill(parts_[i].dw_o, 0.0F);
    each_of_mine(i, [&](std::size_t sequence) { backward(parts_[i], sequence); });
  });
  add_up();
}

std::vector<layer_tensor> attention_layer::inputs() const {
  return {{"x", x_}, {"dy", dy_}, {"w_qkv", w_qkv_}, {"w_o", w_o_}};
}

std::vector<layer_tensor> attention_layer::outputs() const {
  return {{"y", y_}, {"dx", dx_}, {"dw_qkv", parts_[0].dw_qkv}, {"dw_o", parts_[0].dw_o}};
}

}  // namespace headrace::bench
