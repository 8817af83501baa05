#include "base/check.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/attention/blocks.hpp"
#include "kernels/attention/check_args.hpp"

#include <algorithm>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/attention_backward_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/attention/query_block-inl.hpp"
#include "kernels/attention/scores-inl.hpp"
#include "kernels/attention/tiles-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {
namespace attention_parts {

/// From scores and d_o Vᵀ to P and dS, in place.
HWY_INLINE void weigh(const score_tile& tile,
                      float* score_gradients,
                      const float* log_sums,
                      const float* means) {
  const float_tag d;
  for (std::size_t j = 0; j < tile.keys.end - tile.keys.begin; ++j) {
    float* scores = tile.data + j * tile.row;
    float* gradients = score_gradients + j * tile.row;
    for (std::size_t i = 0; i < tile.columns; i += hn::Lanes(d)) {
      const auto score = hn::LoadU(d, scores + i);
      const auto weight = exp2(d, hn::Sub(score, hn::LoadU(d, log_sums + i)));
      const auto gradient = hn::Sub(hn::LoadU(d, gradients + i), hn::LoadU(d, means + i));
      hn::StoreU(weight, d, scores + i);
      hn::StoreU(hn::Mul(weight, gradient), d, gradients + i);
    }
  }
}

/// Adds dS along the diagonals of the tile to the table's gradient.
inline void add_to_table(const head_view& head,
                         const score_tile& tile,
                         const float* score_gradients,
                         float* sums,
                         float* table) {
  const float_tag d;
  const std::size_t rows = tile.keys.end - tile.keys.begin;
  std::fill_n(sums, attention_strip, 0.0F);
  for (std::size_t j = 0; j < rows; ++j) {
    float* strip = sums + (rows - 1 - j);
    const float* gradients = score_gradients + j * tile.row;
    for (std::size_t i = 0; i < tile.columns; i += hn::Lanes(d))
      hn::StoreU(hn::Add(hn::LoadU(d, strip + i), hn::LoadU(d, gradients + i)), d, strip + i);
  }
  const std::ptrdiff_t origin = strip_origin(tile);
  for (std::size_t t = 0; t < strip_size(tile); ++t) {
    const std::ptrdiff_t offset = -(origin + static_cast<std::ptrdiff_t>(t));
    table[std::clamp(offset, -head.max_distance, head.max_distance)] += sums[t];
  }
}

/// What a block of queries and a tile of keys give each other.
inline void visit_backward(const head_view& head,
                           const query_block& block,
                           const backward_workspace& space,
                           key_span keys,
                           float* table) {
  const score_tile tile = seen_part(head, block, space, keys);
  if (tile.columns == 0) return;
  const std::size_t rows = keys.end - keys.begin;
  const std::size_t at = tile.first - block.first;
  const float* k = head.k + keys.begin * head.k_stride;
  const float* v = head.v + keys.begin * head.v_stride;
  float* gradients = space.score_gradients + at;

  const auto over_head_dim = [&](const float* a, std::size_t stride, const float* b, float* c) {
    multiply({.a = a,
              .a_row = stride,
              .a_step = 1,
              .b = b + at,
              .b_row = attention_row,
              .c = c,
              .c_row = attention_row,
              .k = head.head_dim},
             rows,
             tile.columns);
  };
  over_head_dim(k, head.k_stride, block.q_columns, tile.data);
  over_head_dim(v, head.v_stride, block.d_o_columns, gradients);
  add_bias_and_mask(head, tile, space.bias);
  weigh(tile, gradients, block.log_sums + at, block.means + at);

  const auto over_queries = [&](const float* a, const float* b, float* c) {
    multiply({.a = a,
              .a_row = attention_row,
              .a_step = 1,
              .b = b + at * space.width,
              .b_row = space.width,
              .c = c + keys.begin * space.width,
              .c_row = space.width,
              .k = tile.queries,
              .add = true},
             rows,
             space.width);
  };
  over_queries(tile.data, block.d_o_rows, space.dv);
  over_queries(gradients, block.q_rows, space.dk);
  multiply({.a = k,
            .a_row = 1,
            .a_step = head.k_stride,
            .b = gradients,
            .b_row = attention_row,
            .c = block.dq_columns + at,
            .c_row = attention_row,
            .k = rows,
            .add = true},
           head.head_dim,
           tile.columns);
  if (table != nullptr) add_to_table(head, tile, gradients, space.strip_sums, table);
}

/// One query head of one sequence: writes its dq, adds to the dk and dv of its key head.
inline void attend_backward(const head_view& head,
                            const gradient_view& gradients,
                            const backward_workspace& space) {
  for (std::size_t first = 0; first < head.length; first += attention_queries) {
    const query_block block = load_block(head, gradients, space, first);
    const key_ranges keys = visible_keys(head.mask, first, first + block.queries, head.length);
    for (std::size_t tile = next_tile(keys, 0, attention_keys); tile < keys.end;
         tile = next_tile(keys, tile + attention_keys, attention_keys)) {
      const key_span part = within_tile(keys, tile, tile + attention_keys);
      if (part.begin < part.end) visit_backward(head, block, space, part, gradients.table);
    }
    transpose(block.dq_columns,
              attention_row,
              head.head_dim,
              block.queries,
              &head.scale,
              0,
              gradients.dq + first * gradients.dq_stride,
              gradients.dq_stride);
  }
}

inline gradient_view gradients_of(const attention_backward_args& args,
                                  std::size_t first,
                                  std::size_t head) {
  const attention_args& in = args.forward;
  const std::size_t at = head * in.head_dim;
  float* table =
      args.bias_table_gradient.empty()
          ? nullptr
          : args.bias_table_gradient.data() + head * (2 * in.max_distance + 1) + in.max_distance;
  return {.o = in.o + first * in.o_stride + at,
          .o_stride = in.o_stride,
          .d_o = args.d_o + first * args.d_o_stride + at,
          .d_o_stride = args.d_o_stride,
          .lse = in.lse.data() + first * in.heads + head,
          .lse_stride = in.heads,
          .dq = args.dq + first * args.dq_stride + at,
          .dq_stride = args.dq_stride,
          .table = table};
}

/// All query heads of one key head of one sequence.
inline void backward_of_kv_head(const attention_backward_args& args,
                                const backward_workspace& space,
                                std::size_t sequence,
                                std::size_t kv_head) {
  const attention_args& in = args.forward;
  const std::size_t group = in.heads / in.kv_heads;
  const std::size_t first = in.offsets[sequence];
  const std::size_t length = in.offsets[sequence + 1] - first;
  const auto is_active = [&in, sequence](std::size_t h) {
    return in.active.empty() || in.active[sequence * in.heads + h] != 0;
  };
  bool any = false;
  for (std::size_t h = kv_head * group; h < (kv_head + 1) * group; ++h) any = any || is_active(h);
  if (any) {
    std::fill_n(space.dk, length * space.width, 0.0F);
    std::fill_n(space.dv, length * space.width, 0.0F);
  }
  for (std::size_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
    const gradient_view gradients = gradients_of(args, first, h);
    if (is_active(h)) {
      attend_backward(view(in, sequence, h), gradients, space);
    } else {
      for (std::size_t i = 0; i < length; ++i)
        std::fill_n(gradients.dq + i * gradients.dq_stride, in.head_dim, 0.0F);
    }
  }
  for (std::size_t j = 0; j < length; ++j) {
    float* dk = args.dk + (first + j) * args.dk_stride + kv_head * in.head_dim;
    float* dv = args.dv + (first + j) * args.dv_stride + kv_head * in.head_dim;
    if (!any) {
      std::fill_n(dk, in.head_dim, 0.0F);
      std::fill_n(dv, in.head_dim, 0.0F);
      continue;
    }
    for (std::size_t c = 0; c < in.head_dim; ++c) dk[c] = in.scale * space.dk[j * space.width + c];
    std::copy_n(space.dv + j * space.width, in.head_dim, dv);
  }
}

}  // namespace attention_parts

void attention_backward_target(const attention_backward_args& args, std::size_t longest) {
  const attention_parts::backward_workspace space = attention_parts::cut_backward(args, longest);
  for (std::size_t s = 0; s + 1 < args.forward.offsets.size(); ++s) {
    for (std::size_t h = 0; h < args.forward.kv_heads; ++h)
      attention_parts::backward_of_kv_head(args, space, s, h);
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(attention_backward_target);

std::size_t attention_backward_workspace(std::size_t head_dim, std::size_t longest_sequence) {
  const auto padded = workspace_cutter::padded;
  const std::size_t width = padded(head_dim);
  return workspace_cutter::line + 3 * padded(head_dim * attention_row) +
         2 * attention_queries * width + 2 * padded(attention_queries) +
         2 * padded(attention_keys * attention_row) + 3 * padded(attention_strip) +
         2 * longest_sequence * width;
}

void attention_backward_cpu(const attention_backward_args& args) {
  check_attention_backward(args);
  std::size_t longest = 0;
  for (std::size_t s = 0; s + 1 < args.forward.offsets.size(); ++s) {
    CHECK(args.forward.offsets[s] <= args.forward.offsets[s + 1]);
    longest = std::max<std::size_t>(longest, args.forward.offsets[s + 1] - args.forward.offsets[s]);
  }
  CHECK(args.workspace.size() >= attention_backward_workspace(args.forward.head_dim, longest));
  HWY_DYNAMIC_DISPATCH(attention_backward_target)(args, longest);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
