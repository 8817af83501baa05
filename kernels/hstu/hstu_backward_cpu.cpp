#include "kernels/attention/blocks.hpp"
#include "kernels/hstu/check_args.hpp"
#include "kernels/hstu/hstu.hpp"

#include <algorithm>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/hstu/hstu_backward_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/attention/tiles-inl.hpp"
#include "kernels/hstu/silu-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {
namespace hstu_parts {

/// A block of queries: as columns, [dim, attention_row], for products over dim; as rows, [queries,
/// padded dim], for products over queries.
struct backward_space {
  float* q_columns;    // times scale
  float* d_o_columns;  // times 1 / n
  float* dq_columns;   // before scale
  float* q_rows;
  float* d_o_rows;         // times 1 / n
  float* weights;          // [attention_keys, attention_row]
  float* score_gradients;  // likewise
  strips masks;
  float* strip_sums;
  std::size_t width;        // padded head_dim
  std::size_t value_width;  // padded value_dim
  float* dk;                // [length, width], before scale
  float* dv;                // [length, value_width]
};

/// What the head reads and writes beyond its forward: from the sequence's first token.
struct gradient_view {
  const float* d_o;
  std::size_t d_o_stride;
  float* dq;
  std::size_t dq_stride;
  float* table;  // gradient of distance 0; null where it isn't wanted
};

inline void copy_rows(const float* from,
                      std::size_t stride,
                      std::size_t n,
                      std::size_t dim,
                      float factor,
                      float* to,
                      std::size_t width) {
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t c = 0; c < dim; ++c) to[i * width + c] = factor * from[i * stride + c];
    std::fill(to + i * width + dim, to + (i + 1) * width, 0.0F);
  }
}

inline void load_block(const hstu_head& head,
                       const gradient_view& gradients,
                       std::size_t first,
                       std::size_t queries,
                       const backward_space& space) {
  const std::size_t columns = (queries + lanes() - 1) / lanes() * lanes();
  const float* q = head.q + first * head.q_stride;
  const float* d_o = gradients.d_o + first * gradients.d_o_stride;
  attention_parts::load_columns(q,
                                head.q_stride,
                                queries,
                                head.head_dim,
                                head.scale,
                                space.q_columns,
                                columns,
                                attention_row);
  attention_parts::load_columns(d_o,
                                gradients.d_o_stride,
                                queries,
                                head.value_dim,
                                head.share,
                                space.d_o_columns,
                                columns,
                                attention_row);
  copy_rows(q, head.q_stride, queries, head.head_dim, 1.0F, space.q_rows, space.width);
  copy_rows(d_o,
            gradients.d_o_stride,
            queries,
            head.value_dim,
            head.share,
            space.d_o_rows,
            space.value_width);
  std::fill_n(space.dq_columns, head.head_dim * attention_row, 0.0F);
}

/// From scores and d_o Vᵀ / n to SiLU(S) and dS, in place; 0 where hidden.
HWY_NOINLINE inline void activate(const hstu_head& head,
                                  const tile_view& tile,
                                  const strips& masks,
                                  float* score_gradients) {
  const auto step = [&](auto score, std::size_t at, auto see) HWY_ATTR {
    const float_tag d;
    const auto gate = sigmoid(score);
    const auto weight = hn::Mul(score, gate);
    const auto slope = hn::MulAdd(weight, hn::Sub(hn::Set(d, 1.0F), gate), gate);
    const auto gradient = hn::Mul(slope, hn::LoadU(d, score_gradients + at));
    hn::StoreU(see(weight), d, tile.data + at);
    hn::StoreU(see(gradient), d, score_gradients + at);
  };
  for_each_score(head, tile, masks, step);
}

/// Adds dS along the diagonals of the tile to the table's gradient.
inline void add_to_table(const hstu_head& head,
                         const tile_view& tile,
                         const float* score_gradients,
                         float* sums,
                         float* table) {
  const float_tag d;
  std::fill_n(sums, attention_strip, 0.0F);
  for (std::size_t j = 0; j < tile.rows(); ++j) {
    float* strip = sums + (tile.rows() - 1 - j);
    const float* gradients = score_gradients + j * attention_row;
    for (std::size_t i = 0; i < tile.columns; i += hn::Lanes(d))
      hn::StoreU(hn::Add(hn::LoadU(d, strip + i), hn::LoadU(d, gradients + i)), d, strip + i);
  }
  const std::ptrdiff_t origin = strip_origin(tile);
  for (std::size_t t = 0; t < strip_size(tile); ++t) {
    const std::ptrdiff_t offset = -(origin + static_cast<std::ptrdiff_t>(t));
    table[std::clamp(offset, -head.max_distance, head.max_distance)] += sums[t];
  }
}

/// S and d_o Vᵀ / n of a tile.
inline void multiply_over_dims(const hstu_head& head,
                               const tile_view& tile,
                               std::size_t at,
                               const backward_space& space) {
  attention_parts::multiply({.a = head.k + tile.keys.begin * head.k_stride,
                             .a_row = head.k_stride,
                             .a_step = 1,
                             .b = space.q_columns + at,
                             .b_row = attention_row,
                             .c = tile.data,
                             .c_row = attention_row,
                             .k = head.head_dim},
                            tile.rows(),
                            tile.columns);
  attention_parts::multiply({.a = head.v + tile.keys.begin * head.v_stride,
                             .a_row = head.v_stride,
                             .a_step = 1,
                             .b = space.d_o_columns + at,
                             .b_row = attention_row,
                             .c = space.score_gradients + at,
                             .c_row = attention_row,
                             .k = head.value_dim},
                            tile.rows(),
                            tile.columns);
}

/// to [keys, width] += a [keys, queries] rows [queries, width].
inline void add_over_queries(
    const tile_view& tile, const float* a, const float* rows, std::size_t width, float* to) {
  attention_parts::multiply({.a = a,
                             .a_row = attention_row,
                             .a_step = 1,
                             .b = rows,
                             .b_row = width,
                             .c = to + tile.keys.begin * width,
                             .c_row = width,
                             .k = tile.queries,
                             .add = true},
                            tile.rows(),
                            width);
}

/// What the queries `at` columns into the block and a stretch of keys give each other.
inline void visit_backward(const hstu_head& head,
                           const tile_view& tile,
                           std::size_t at,
                           const backward_space& space,
                           float* table) {
  float* gradients = space.score_gradients + at;
  multiply_over_dims(head, tile, at, space);
  activate(head, tile, space.masks, gradients);
  add_over_queries(
      tile, tile.data, space.d_o_rows + at * space.value_width, space.value_width, space.dv);
  add_over_queries(tile, gradients, space.q_rows + at * space.width, space.width, space.dk);
  attention_parts::multiply({.a = head.k + tile.keys.begin * head.k_stride,
                             .a_row = 1,
                             .a_step = head.k_stride,
                             .b = gradients,
                             .b_row = attention_row,
                             .c = space.dq_columns + at,
                             .c_row = attention_row,
                             .k = tile.rows(),
                             .add = true},
                            head.head_dim,
                            tile.columns);
  if (table != nullptr) add_to_table(head, tile, gradients, space.strip_sums, table);
}

/// Columns [begin, end) of the block [first, first + queries): the panels that see one of `keys`.
inline key_span seeing_columns(const hstu_head& head,
                               std::size_t first,
                               std::size_t queries,
                               key_span keys) {
  const std::size_t panel = 2 * lanes();
  key_span columns = {queries, 0};
  for (std::size_t i = 0; i < queries; i += panel) {
    const std::size_t last = std::min(i + panel, queries);
    const key_ranges seen = visible_keys(head.mask, first + i, first + last, head.length);
    const key_span part = within_tile(seen, keys.begin, keys.end);
    if (part.begin >= part.end) continue;
    columns = {std::min(columns.begin, i), last};
  }
  return columns;
}

/// One head of one sequence: writes dq, and dk and dv into the workspace.
inline void attend_backward(const hstu_head& head,
                            const gradient_view& gradients,
                            const backward_space& space) {
  for (std::size_t first = 0; first < head.length; first += attention_queries) {
    const std::size_t queries = std::min(attention_queries, head.length - first);
    load_block(head, gradients, first, queries, space);
    const key_ranges keys = visible_keys(head.mask, first, first + queries, head.length);
    for (std::size_t tile = next_tile(keys, 0, attention_keys); tile < keys.end;
         tile = next_tile(keys, tile + attention_keys, attention_keys)) {
      const key_span part = within_tile(keys, tile, tile + attention_keys);
      const key_span columns = seeing_columns(head, first, queries, part);
      if (columns.begin >= columns.end) continue;
      const std::size_t n = columns.end - columns.begin;
      const tile_view seen = {.data = space.weights + columns.begin,
                              .columns = (n + lanes() - 1) / lanes() * lanes(),
                              .first = first + columns.begin,
                              .queries = n,
                              .keys = part};
      visit_backward(head, seen, columns.begin, space, gradients.table);
    }
    attention_parts::transpose(space.dq_columns,
                               attention_row,
                               head.head_dim,
                               queries,
                               &head.scale,
                               0,
                               gradients.dq + first * gradients.dq_stride,
                               gradients.dq_stride);
  }
}

inline gradient_view gradients_of(const hstu_backward_args& args,
                                  std::size_t first,
                                  std::size_t head) {
  const hstu_args& in = args.forward;
  const std::size_t table_at = head * (2 * in.max_distance + 1) + in.max_distance;
  return {.d_o = args.d_o + first * args.d_o_stride + head * in.value_dim,
          .d_o_stride = args.d_o_stride,
          .dq = args.dq + first * args.dq_stride + head * in.head_dim,
          .dq_stride = args.dq_stride,
          .table = args.bias_table_gradient.empty() ? nullptr
                                                    : args.bias_table_gradient.data() + table_at};
}

inline void backward_of_head(const hstu_backward_args& args,
                             const backward_space& space,
                             std::size_t sequence,
                             std::size_t head) {
  const hstu_args& in = args.forward;
  const std::size_t first = in.offsets[sequence];
  const std::size_t length = in.offsets[sequence + 1] - first;
  std::fill_n(space.dk, length * space.width, 0.0F);
  std::fill_n(space.dv, length * space.value_width, 0.0F);
  attend_backward(view(in, sequence, head), gradients_of(args, first, head), space);
  for (std::size_t j = 0; j < length; ++j) {
    float* dk = args.dk + (first + j) * args.dk_stride + head * in.head_dim;
    float* dv = args.dv + (first + j) * args.dv_stride + head * in.value_dim;
    for (std::size_t c = 0; c < in.head_dim; ++c) dk[c] = in.scale * space.dk[j * space.width + c];
    std::copy_n(space.dv + j * space.value_width, in.value_dim, dv);
  }
}

inline backward_space cut(const hstu_backward_args& args, std::size_t longest) {
  const std::size_t head_dim = args.forward.head_dim;
  const std::size_t value_dim = args.forward.value_dim;
  workspace_cutter cutter(args.workspace.data());
  backward_space space{};
  space.width = (head_dim + lanes() - 1) / lanes() * lanes();
  space.value_width = (value_dim + lanes() - 1) / lanes() * lanes();
  space.q_columns = cutter.take(head_dim * attention_row);
  space.d_o_columns = cutter.take(value_dim * attention_row);
  space.dq_columns = cutter.take(head_dim * attention_row);
  space.q_rows = cutter.take(attention_queries * space.width);
  space.d_o_rows = cutter.take(attention_queries * space.value_width);
  space.weights = cutter.take(attention_keys * attention_row);
  space.score_gradients = cutter.take(attention_keys * attention_row);
  space.masks = {
      cutter.take(attention_strip), cutter.take(attention_strip), cutter.take(attention_strip)};
  space.strip_sums = cutter.take(attention_strip);
  space.dk = cutter.take(longest * space.width);
  space.dv = cutter.take(longest * space.value_width);
  return space;
}

}  // namespace hstu_parts

void hstu_backward_target(const hstu_backward_args& args, std::size_t longest) {
  const hstu_parts::backward_space space = hstu_parts::cut(args, longest);
  for (std::size_t s = 0; s + 1 < args.forward.offsets.size(); ++s) {
    for (std::size_t h = 0; h < args.forward.heads; ++h)
      hstu_parts::backward_of_head(args, space, s, h);
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(hstu_backward_target);

std::size_t hstu_backward_workspace(std::size_t head_dim,
                                    std::size_t value_dim,
                                    std::size_t longest_sequence) {
  const auto padded = workspace_cutter::padded;
  const std::size_t widths = padded(head_dim) + padded(value_dim);
  return workspace_cutter::line + 2 * padded(head_dim * attention_row) +
         padded(value_dim * attention_row) + attention_queries * widths +
         2 * padded(attention_keys * attention_row) + 4 * padded(attention_strip) +
         longest_sequence * widths;
}

void hstu_backward_cpu(const hstu_backward_args& args) {
  check_hstu_backward(args);
  const std::size_t longest = longest_sequence(args.forward.offsets);
  CHECK(args.workspace.size() >=
        hstu_backward_workspace(args.forward.head_dim, args.forward.value_dim, longest));
  HWY_DYNAMIC_DISPATCH(hstu_backward_target)(args, longest);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
