#include "bench/attention/own_attention.hpp"

#include "bench/torch/draw.hpp"
#include "bench/torch/on_threads.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>

namespace headrace::bench {

own_attention::own_attention(const own_attention_shape& shape, unsigned threads, std::uint64_t seed)
    : shape_(shape), offsets_{0, static_cast<std::uint32_t>(shape.seq)}, workspaces_(threads) {
  const std::size_t tokens = shape.batch * shape.seq;
  const std::size_t width = shape.heads * shape.head_dim;
  random_stream random(seed);
  qkv_ = draw(random, tokens * 3 * width, 1.0);
  d_o_ = draw(random, tokens * width, 1.0);
  o_.resize(tokens * width);
  lse_.resize(tokens * shape.heads);
  gradients_.resize(qkv_.size());
  for (std::vector<float>& each : workspaces_) {
    each.resize(std::max(kernels::attention_workspace(shape.head_dim),
                         kernels::attention_backward_workspace(shape.head_dim, shape.seq)));
  }
}

/// The tokens of a pair's sequence keep their stride; its lse lies together.
kernels::attention_args own_attention::args_of(std::size_t pair, unsigned thread) {
  const auto& [batch, seq, heads, head_dim, mask] = shape_;
  const std::size_t width = heads * head_dim;
  const std::size_t token = pair / heads * seq;
  const std::size_t at = pair % heads * head_dim;
  const float* qkv = qkv_.data() + token * 3 * width + at;
  return {.q = qkv,
          .q_stride = 3 * width,
          .k = qkv + width,
          .k_stride = 3 * width,
          .v = qkv + 2 * width,
          .v_stride = 3 * width,
          .offsets = offsets_,
          .heads = 1,
          .kv_heads = 1,
          .head_dim = head_dim,
          .scale = 1.0F / std::sqrt(static_cast<float>(head_dim)),
          .mask = mask,
          .active = active_.empty() ? active_ : active_.subspan(pair, 1),
          .o = o_.data() + token * width + at,
          .o_stride = width,
          .lse = std::span(lse_).subspan(pair * seq, seq),
          .workspace = workspaces_[thread]};
}

template <class Work>
void own_attention::for_each_pair(const Work& work) {
  // Only hands out numbers, so relaxed is enough; on_threads joins.
  std::atomic<std::size_t> next = 0;
  const std::size_t pairs = shape_.batch * shape_.heads;
  on_threads(threads(), [&](unsigned thread) {
    for (std::size_t pair = next.fetch_add(1, std::memory_order_relaxed); pair < pairs;
         pair = next.fetch_add(1, std::memory_order_relaxed))
      work(pair, thread);
  });
}

void own_attention::forward() {
  for_each_pair(
      [this](std::size_t pair, unsigned thread) { kernels::attention(args_of(pair, thread)); });
}

void own_attention::backward() {
  for_each_pair([this](std::size_t pair, unsigned thread) {
    const std::size_t width = shape_.heads * shape_.head_dim;
    const std::size_t token = pair / shape_.heads * shape_.seq;
    const std::size_t at = pair % shape_.heads * shape_.head_dim;
    float* gradients = gradients_.data() + token * 3 * width + at;
    kernels::attention_backward({.forward = args_of(pair, thread),
                                 .d_o = d_o_.data() + token * width + at,
                                 .d_o_stride = width,
                                 .dq = gradients,
                                 .dq_stride = 3 * width,
                                 .dk = gradients + width,
                                 .dk_stride = 3 * width,
                                 .dv = gradients + 2 * width,
                                 .dv_stride = 3 * width,
                                 .workspace = workspaces_[thread]});
  });
}

}  // namespace headrace::bench
