// The memory of attention's backward, and the block of queries it works on. Included once for each
// target by attention_backward_cpu.cpp (no `#pragma once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_ATTENTION_QUERY_BLOCK_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_ATTENTION_QUERY_BLOCK_INL_HPP
#undef HEADRACE_KERNELS_ATTENTION_QUERY_BLOCK_INL_HPP
#else
#define HEADRACE_KERNELS_ATTENTION_QUERY_BLOCK_INL_HPP
#endif

#include "kernels/attention/attention.hpp"
#include "kernels/attention/blocks.hpp"
#include "kernels/attention/scores-inl.hpp"
#include "kernels/attention/tiles-inl.hpp"

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE::attention_parts {

/// What a block of queries brings to every tile of keys, transposed for products with keys and in
/// rows for the gradients of keys; and the gradient that it gathers.
struct query_block {
  std::size_t first;
  std::size_t queries;
  std::size_t columns;  // queries in whole vectors
  float* q_columns;     // [head_dim, attention_row], times scale and log2 e
  float* d_o_columns;   // [head_dim, attention_row]
  float* dq_columns;    // [head_dim, attention_row], before scale
  float* q_rows;        // [queries, padded head_dim]
  float* d_o_rows;      // [queries, padded head_dim]
  float* log_sums;      // [columns], in units of ln 2; +infinity where there is no query
  float* means;         // [columns], D of the paper
};

struct backward_workspace {
  query_block block;
  float* weights;          // [attention_keys, attention_row]
  float* score_gradients;  // [attention_keys, attention_row]
  float* strip_sums;
  strips bias;
  std::size_t width;  // padded head_dim
  float* dk;          // [length, width], before scale
  float* dv;          // [length, width]
};

/// What the head's backward reads and writes beyond its forward: from the sequence's first token.
struct gradient_view {
  const float* o;
  std::size_t o_stride;
  const float* d_o;
  std::size_t d_o_stride;
  const float* lse;
  std::size_t lse_stride;
  float* dq;
  std::size_t dq_stride;
  float* table;  // gradient of distance 0; null where it isn't wanted
};

HWY_INLINE float dot(const float* a, const float* b, std::size_t n) {
  const float_tag d;
  auto sum = hn::Zero(d);
  std::size_t c = 0;
  for (; c + hn::Lanes(d) <= n; c += hn::Lanes(d))
    sum = hn::MulAdd(hn::LoadU(d, a + c), hn::LoadU(d, b + c), sum);
  float result = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; c < n; ++c) result += a[c] * b[c];
  return result;
}

inline void copy_rows(const float* from,
                      std::size_t stride,
                      std::size_t n,
                      std::size_t head_dim,
                      float* to,
                      std::size_t width) {
  for (std::size_t i = 0; i < n; ++i) {
    std::copy_n(from + i * stride, head_dim, to + i * width);
    std::fill(to + i * width + head_dim, to + (i + 1) * width, 0.0F);
  }
}

/// The block of queries from `first` on, in the memory of `space`.
inline query_block load_block(const head_view& head,
                              const gradient_view& gradients,
                              const backward_workspace& space,
                              std::size_t first) {
  query_block block = space.block;
  block.first = first;
  block.queries = std::min(attention_queries, head.length - first);
  block.columns = (block.queries + lanes() - 1) / lanes() * lanes();
  const float* q = head.q + first * head.q_stride;
  const float* d_o = gradients.d_o + first * gradients.d_o_stride;
  const auto transpose = [&](const float* from, std::size_t stride, float factor, float* to) {
    load_columns(
        from, stride, block.queries, head.head_dim, factor, to, block.columns, attention_row);
  };
  transpose(q, head.q_stride, head.scale * log2_e, block.q_columns);
  transpose(d_o, gradients.d_o_stride, 1.0F, block.d_o_columns);
  copy_rows(q, head.q_stride, block.queries, head.head_dim, block.q_rows, space.width);
  copy_rows(d_o, gradients.d_o_stride, block.queries, head.head_dim, block.d_o_rows, space.width);
  std::fill_n(block.dq_columns, head.head_dim * attention_row, 0.0F);
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::fill_n(block.log_sums, block.columns, infinity);
  std::fill_n(block.means, block.columns, 0.0F);
  for (std::size_t i = 0; i < block.queries; ++i) {
    const float lse = gradients.lse[(first + i) * gradients.lse_stride];
    block.log_sums[i] = lse == -infinity ? infinity : lse * log2_e;
    const float* o = gradients.o + (first + i) * gradients.o_stride;
    block.means[i] = dot(o, d_o + i * gradients.d_o_stride, head.head_dim);
  }
  return block;
}

/// The part of a tile that matters: from the first to the last panel of queries that sees one of
/// `keys`; no columns where none does.
inline score_tile seen_part(const head_view& head,
                            const query_block& block,
                            const backward_workspace& space,
                            key_span keys) {
  const std::size_t panel = 2 * lanes();
  std::size_t begin = block.columns;
  std::size_t end = 0;
  for (std::size_t i = 0; i < block.queries; i += panel) {
    const std::size_t first = block.first + i;
    const std::size_t last = block.first + std::min(i + panel, block.queries);
    const key_ranges seen = visible_keys(head.mask, first, last, head.length);
    const key_span part = within_tile(seen, keys.begin, keys.end);
    if (part.begin >= part.end) continue;
    begin = std::min(begin, i);
    end = std::min(i + panel, block.columns);
  }
  if (begin >= end) return {};
  return {.data = space.weights + begin,
          .row = attention_row,
          .columns = end - begin,
          .first = block.first + begin,
          .queries = std::min(end, block.queries) - begin,
          .keys = keys};
}

inline backward_workspace cut_backward(const attention_backward_args& args, std::size_t longest) {
  const std::size_t head_dim = args.forward.head_dim;
  workspace_cutter cutter(args.workspace.data());
  backward_workspace space{};
  space.width = (head_dim + lanes() - 1) / lanes() * lanes();
  space.block.q_columns = cutter.take(head_dim * attention_row);
  space.block.d_o_columns = cutter.take(head_dim * attention_row);
  space.block.dq_columns = cutter.take(head_dim * attention_row);
  space.block.q_rows = cutter.take(attention_queries * space.width);
  space.block.d_o_rows = cutter.take(attention_queries * space.width);
  space.block.log_sums = cutter.take(attention_queries);
  space.block.means = cutter.take(attention_queries);
  space.weights = cutter.take(attention_keys * attention_row);
  space.score_gradients = cutter.take(attention_keys * attention_row);
  space.strip_sums = cutter.take(attention_strip);
  space.bias = {cutter.take(attention_strip), cutter.take(attention_strip)};
  space.dk = cutter.take(longest * space.width);
  space.dv = cutter.take(longest * space.width);
  return space;
}

}  // namespace headrace::kernels::HWY_NAMESPACE::attention_parts
HWY_AFTER_NAMESPACE();

#endif
