#include "base/check.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/attention/blocks.hpp"
#include "kernels/attention/check_args.hpp"

#include <algorithm>
#include <limits>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/attention_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include "kernels/attention/scores-inl.hpp"
#include "kernels/attention/tiles-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {
namespace attention_parts {

/// Below every score, but finite: a query that saw no key yet must not give infinity - infinity.
constexpr float no_score = -2e30F;

/// A few queries in the lanes of one or two vectors, and what they have gathered so far.
struct query_panel {
  std::size_t first;    // query of the sequence
  std::size_t queries;  // in use
  std::size_t columns;  // lanes in use, in whole vectors
  std::size_t width;    // floats of a row of q and o
  key_ranges keys;
  float* q;        // [head_dim, width], times scale and log2 e
  float* o;        // [head_dim, width], not yet divided by the sums
  float* largest;  // [width] score, in units of ln 2
  float* sums;     // [width] of weights
};

/// What every panel uses in turn.
struct forward_scratch {
  float* scores;  // [attention_keys, width]
  float* factors;
  strips bias;
};

/// Turns a tile of scores into weights relative to the largest score so far; `factors` takes what
/// was gathered before to the new scale.
HWY_INLINE void online_softmax(const query_panel& panel, const score_tile& tile, float* factors) {
  const float_tag d;
  const std::size_t rows = tile.keys.end - tile.keys.begin;
  for (std::size_t i = 0; i < tile.columns; i += hn::Lanes(d)) {
    const auto before = hn::LoadU(d, panel.largest + i);
    auto largest = before;
    for (std::size_t j = 0; j < rows; ++j)
      largest = hn::Max(largest, hn::LoadU(d, tile.data + j * tile.row + i));
    auto sum = hn::Zero(d);
    for (std::size_t j = 0; j < rows; ++j) {
      float* score = tile.data + j * tile.row + i;
      const auto weight = exp2(d, hn::Sub(hn::LoadU(d, score), largest));
      sum = hn::Add(sum, weight);
      hn::StoreU(weight, d, score);
    }
    const auto factor = exp2(d, hn::Sub(before, largest));
    hn::StoreU(largest, d, panel.largest + i);
    hn::StoreU(hn::MulAdd(hn::LoadU(d, panel.sums + i), factor, sum), d, panel.sums + i);
    hn::StoreU(factor, d, factors + i);
  }
}

HWY_NOINLINE inline void visit(const head_view& head,
                               const query_panel& panel,
                               key_span keys,
                               const forward_scratch& scratch) {
  const std::size_t rows = keys.end - keys.begin;
  const score_tile tile = {.data = scratch.scores,
                           .row = panel.width,
                           .columns = panel.columns,
                           .first = panel.first,
                           .queries = panel.queries,
                           .keys = keys};
  multiply({.a = head.k + keys.begin * head.k_stride,
            .a_row = head.k_stride,
            .a_step = 1,
            .b = panel.q,
            .b_row = panel.width,
            .c = scratch.scores,
            .c_row = panel.width,
            .k = head.head_dim},
           rows,
           panel.columns);
  add_bias_and_mask(head, tile, scratch.bias);
  online_softmax(panel, tile, scratch.factors);
  multiply({.a = head.v + keys.begin * head.v_stride,
            .a_row = 1,
            .a_step = head.v_stride,
            .b = scratch.scores,
            .b_row = panel.width,
            .c = panel.o,
            .c_row = panel.width,
            .k = rows,
            .add = true,
            .factor = scratch.factors},
           head.head_dim,
           panel.columns);
}

HWY_INLINE void begin(const head_view& head, const query_panel& panel) {
  load_columns(head.q + panel.first * head.q_stride,
               head.q_stride,
               panel.queries,
               head.head_dim,
               head.scale * log2_e,
               panel.q,
               panel.columns,
               panel.width);
  std::fill_n(panel.o, head.head_dim * panel.width, 0.0F);
  std::fill_n(panel.largest, panel.width, no_score);
  std::fill_n(panel.sums, panel.width, 0.0F);
}

/// Writes o and lse of the panel; a sum of 0 is a query that saw nothing.
HWY_INLINE void finish(const head_view& head,
                       const query_panel& panel,
                       float* factors,
                       float* o,
                       std::size_t o_stride,
                       float* lse,
                       std::size_t lse_stride) {
  const float_tag d;
  for (std::size_t i = 0; i < panel.columns; i += hn::Lanes(d)) {
    const auto sum = hn::LoadU(d, panel.sums + i);
    const auto nothing = hn::Eq(sum, hn::Zero(d));
    const auto one = hn::Set(d, 1.0F);
    const auto safe = hn::IfThenElse(nothing, one, sum);
    const auto log_sum =
        hn::MulAdd(hn::LoadU(d, panel.largest + i), hn::Set(d, ln_2), hn::Log(d, safe));
    const auto none = hn::Set(d, -std::numeric_limits<float>::infinity());
    hn::StoreU(hn::IfThenElse(nothing, none, log_sum), d, panel.largest + i);
    hn::StoreU(hn::Div(one, safe), d, factors + i);
  }
  float* to = o + panel.first * o_stride;
  transpose(panel.o, panel.width, head.head_dim, panel.queries, factors, 1, to, o_stride);
  for (std::size_t i = 0; i < panel.queries; ++i)
    lse[(panel.first + i) * lse_stride] = panel.largest[i];
}

/// Memory of a block of panels.
struct forward_workspace {
  float* q;
  float* o;
  float* largest;
  float* sums;
  forward_scratch scratch;
};

/// One head of one sequence: blocks of queries, and for each the tiles of keys it sees, from the
/// first on.
inline void attend(const head_view& head,
                   const forward_workspace& space,
                   float* o,
                   std::size_t o_stride,
                   float* lse,
                   std::size_t lse_stride) {
  const std::size_t width = 2 * lanes();
  const std::size_t n = head.length;
  query_panel panels[attention_queries / 2];
  for (std::size_t first = 0; first < n; first += attention_queries) {
    const std::size_t last = std::min(first + attention_queries, n);
    std::size_t count = 0;
    for (std::size_t i = first; i < last; i += width, ++count) {
      const std::size_t queries = std::min(width, last - i);
      const std::size_t at = i - first;
      panels[count] = {.first = i,
                       .queries = queries,
                       .columns = (queries + lanes() - 1) / lanes() * lanes(),
                       .width = width,
                       .keys = visible_keys(head.mask, i, i + queries, n),
                       .q = space.q + at * head.head_dim,
                       .o = space.o + at * head.head_dim,
                       .largest = space.largest + at,
                       .sums = space.sums + at};
      begin(head, panels[count]);
    }
    const key_ranges keys = visible_keys(head.mask, first, last, n);
    for (std::size_t tile = next_tile(keys, 0, attention_keys); tile < keys.end;
         tile = next_tile(keys, tile + attention_keys, attention_keys)) {
      for (std::size_t p = 0; p < count; ++p) {
        const key_span part = within_tile(panels[p].keys, tile, tile + attention_keys);
        if (part.begin < part.end) visit(head, panels[p], part, space.scratch);
      }
    }
    for (std::size_t p = 0; p < count; ++p)
      finish(head, panels[p], space.scratch.factors, o, o_stride, lse, lse_stride);
  }
}

inline void write_nothing(std::size_t length,
                          std::size_t head_dim,
                          float* o,
                          std::size_t o_stride,
                          float* lse,
                          std::size_t lse_stride) {
  for (std::size_t i = 0; i < length; ++i) {
    std::fill_n(o + i * o_stride, head_dim, 0.0F);
    lse[i * lse_stride] = -std::numeric_limits<float>::infinity();
  }
}

inline forward_workspace cut(float* workspace, std::size_t head_dim) {
  workspace_cutter cutter(workspace);
  forward_workspace space{};
  space.q = cutter.take(head_dim * attention_queries);
  space.o = cutter.take(head_dim * attention_queries);
  space.largest = cutter.take(attention_queries);
  space.sums = cutter.take(attention_queries);
  space.scratch.scores = cutter.take(attention_keys * 2 * attention_lanes_max);
  space.scratch.factors = cutter.take(2 * attention_lanes_max);
  space.scratch.bias = {cutter.take(attention_strip), cutter.take(attention_strip)};
  return space;
}

}  // namespace attention_parts

void attention_target(const attention_args& args) {
  const attention_parts::forward_workspace space =
      attention_parts::cut(args.workspace.data(), args.head_dim);
  for (std::size_t s = 0; s + 1 < args.offsets.size(); ++s) {
    for (std::size_t h = 0; h < args.heads; ++h) {
      const attention_parts::head_view head = attention_parts::view(args, s, h);
      float* o = args.o + args.offsets[s] * args.o_stride + h * args.head_dim;
      float* lse = args.lse.data() + args.offsets[s] * args.heads + h;
      if (args.active.empty() || args.active[s * args.heads + h] != 0) {
        attention_parts::attend(head, space, o, args.o_stride, lse, args.heads);
      } else {
        attention_parts::write_nothing(
            head.length, args.head_dim, o, args.o_stride, lse, args.heads);
      }
    }
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(attention_target);

std::size_t attention_workspace(std::size_t head_dim) {
  const auto padded = workspace_cutter::padded;
  return workspace_cutter::line + 2 * padded(head_dim * attention_queries) +
         2 * padded(attention_queries) + padded(attention_keys * 2 * attention_lanes_max) +
         padded(2 * attention_lanes_max) + 2 * padded(attention_strip);
}

void attention_cpu(const attention_args& args) {
  check_attention(args);
  CHECK(args.workspace.size() >= attention_workspace(args.head_dim));
  HWY_DYNAMIC_DISPATCH(attention_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
