#include "kernels/attention/blocks.hpp"
#include "kernels/hstu/check_args.hpp"
#include "kernels/hstu/hstu.hpp"

#include <algorithm>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/hstu/hstu_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/attention/tiles-inl.hpp"
#include "kernels/hstu/silu-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {
namespace hstu_parts {

/// A block of queries as columns, [head_dim or value_dim, attention_row], and a tile of weights.
struct hstu_space {
  float* q;        // times scale
  float* o;        // not yet times 1 / n
  float* weights;  // [attention_keys, attention_row]
  strips masks;
};

/// SiLU of biased scores in place, 0 where hidden.
HWY_NOINLINE inline void activate(const hstu_head& head,
                                  const tile_view& tile,
                                  const strips& masks) {
  for_each_score(head, tile, masks, [&tile](auto score, std::size_t at, auto see) HWY_ATTR {
    hn::StoreU(see(hn::Mul(score, sigmoid(score))), float_tag(), tile.data + at);
  });
}

/// What the queries of a panel, `at` columns into the block, take from a stretch of keys.
inline void visit(const hstu_head& head,
                  const tile_view& tile,
                  std::size_t at,
                  const hstu_space& space) {
  attention_parts::multiply({.a = head.k + tile.keys.begin * head.k_stride,
                             .a_row = head.k_stride,
                             .a_step = 1,
                             .b = space.q + at,
                             .b_row = attention_row,
                             .c = tile.data,
                             .c_row = attention_row,
                             .k = head.head_dim},
                            tile.rows(),
                            tile.columns);
  activate(head, tile, space.masks);
  attention_parts::multiply({.a = head.v + tile.keys.begin * head.v_stride,
                             .a_row = 1,
                             .a_step = head.v_stride,
                             .b = tile.data,
                             .b_row = attention_row,
                             .c = space.o + at,
                             .c_row = attention_row,
                             .k = tile.rows(),
                             .add = true},
                            head.value_dim,
                            tile.columns);
}

/// Queries [first, last) of a head: tiles of keys from the first on, and for each the panels that
/// see a part of it.
inline void attend_block(const hstu_head& head,
                         std::size_t first,
                         std::size_t last,
                         const hstu_space& space) {
  const std::size_t panel = 2 * lanes();
  const key_ranges keys = visible_keys(head.mask, first, last, head.length);
  for (std::size_t tile = next_tile(keys, 0, attention_keys); tile < keys.end;
       tile = next_tile(keys, tile + attention_keys, attention_keys)) {
    for (std::size_t i = first; i < last; i += panel) {
      const std::size_t queries = std::min(panel, last - i);
      const key_ranges seen = visible_keys(head.mask, i, i + queries, head.length);
      const key_span part = within_tile(seen, tile, tile + attention_keys);
      if (part.begin >= part.end) continue;
      const tile_view view_of = {.data = space.weights,
                                 .columns = (queries + lanes() - 1) / lanes() * lanes(),
                                 .first = i,
                                 .queries = queries,
                                 .keys = part};
      visit(head, view_of, i - first, space);
    }
  }
}

inline void attend(const hstu_head& head, const hstu_space& space, float* o, std::size_t o_stride) {
  for (std::size_t first = 0; first < head.length; first += attention_queries) {
    const std::size_t queries = std::min(attention_queries, head.length - first);
    attention_parts::load_columns(head.q + first * head.q_stride,
                                  head.q_stride,
                                  queries,
                                  head.head_dim,
                                  head.scale,
                                  space.q,
                                  (queries + lanes() - 1) / lanes() * lanes(),
                                  attention_row);
    std::fill_n(space.o, head.value_dim * attention_row, 0.0F);
    attend_block(head, first, first + queries, space);
    attention_parts::transpose(space.o,
                               attention_row,
                               head.value_dim,
                               queries,
                               &head.share,
                               0,
                               o + first * o_stride,
                               o_stride);
  }
}

}  // namespace hstu_parts

void hstu_target(const hstu_args& args) {
  workspace_cutter cutter(args.workspace.data());
  hstu_parts::hstu_space space{};
  space.q = cutter.take(args.head_dim * attention_row);
  space.o = cutter.take(args.value_dim * attention_row);
  space.weights = cutter.take(attention_keys * attention_row);
  space.masks = {
      cutter.take(attention_strip), cutter.take(attention_strip), cutter.take(attention_strip)};
  for (std::size_t s = 0; s + 1 < args.offsets.size(); ++s) {
    for (std::size_t h = 0; h < args.heads; ++h) {
      float* o = args.o + args.offsets[s] * args.o_stride + h * args.value_dim;
      hstu_parts::attend(hstu_parts::view(args, s, h), space, o, args.o_stride);
    }
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(hstu_target);

std::size_t hstu_workspace(std::size_t head_dim, std::size_t value_dim) {
  const auto padded = workspace_cutter::padded;
  return workspace_cutter::line + padded(head_dim * attention_row) +
         padded(value_dim * attention_row) + padded(attention_keys * attention_row) +
         3 * padded(attention_strip);
}

void hstu_cpu(const hstu_args& args) {
  check_hstu(args);
  CHECK(args.o_stride >= args.heads * args.value_dim);
  CHECK(args.workspace.size() >= hstu_workspace(args.head_dim, args.value_dim));
  HWY_DYNAMIC_DISPATCH(hstu_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
