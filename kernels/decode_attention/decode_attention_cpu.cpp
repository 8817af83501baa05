#include "kernels/decode_attention/check_args.hpp"
#include "kernels/decode_attention/decode_attention.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/decode_attention/decode_attention_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include "kernels/decode_attention/scores-inl.hpp"
#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {
namespace decode_parts {

/// Below every score, but finite: infinity - infinity must not arise.
constexpr float no_score = -2e30F;

/// What one query has gathered so far; `o` is not yet divided by `sum`.
struct gathered {
  float largest = no_score;
  float sum = 0.0F;
};

/// Turns products into weights relative to the largest score so far. Returns the factor that takes
/// what was gathered before to the new scale.
HWY_INLINE float online_softmax(float* scores, std::size_t keys, float scale, gathered& so_far) {
  const wide_tag d;
  const auto none = hn::Set(d, no_score);
  auto top = hn::Set(d, so_far.largest);
  for (std::size_t j = 0; j < keys; j += hn::Lanes(d)) {
    const auto scaled = hn::Mul(hn::Set(d, scale), hn::LoadU(d, scores + j));
    const auto kept = hn::IfThenElse(hn::FirstN(d, keys - j), scaled, none);
    top = hn::Max(top, kept);
    hn::StoreU(kept, d, scores + j);
  }
  top = hn::MaxOfLanes(d, top);
  auto sum = hn::Zero(d);
  for (std::size_t j = 0; j < keys; j += hn::Lanes(d)) {
    const auto weight = hn::Exp(d, hn::Sub(hn::LoadU(d, scores + j), top));
    sum = hn::Add(sum, weight);
    hn::StoreU(weight, d, scores + j);
  }
  const float largest = hn::GetLane(top);
  const float factor = hn::GetLane(hn::Exp(d, hn::Set(d, so_far.largest - largest)));
  so_far.largest = largest;
  so_far.sum = so_far.sum * factor + lanes_sum(d, sum);
  return factor;
}

/// Which sums a second set of four vectors holds.
enum class second_set { none, columns, query };

/// Four vectors of o of one query, and perhaps four more: of the next columns, or of the next
/// query. They stay in registers while the values pass.
template <second_set second>
HWY_INLINE void add_tile(const row_block& values,
                         const float* weights,
                         const float* factors,
                         float* o) {
  const wide_tag d;
  const std::size_t n = hn::Lanes(d);
  constexpr std::size_t other = second == second_set::query ? 1 : 0;
  float* other_o = second == second_set::query ? o + values.dim : o + 4 * n;
  const auto scaled = [&d](float factor, const float* from)
                          HWY_ATTR { return hn::Mul(hn::Set(d, factor), hn::LoadU(d, from)); };
  auto a0 = scaled(factors[0], o), a1 = scaled(factors[0], o + n);
  auto a2 = scaled(factors[0], o + 2 * n), a3 = scaled(factors[0], o + 3 * n);
  auto b0 = hn::Zero(d), b1 = b0, b2 = b0, b3 = b0;
  if constexpr (second != second_set::none) {
    b0 = scaled(factors[other], other_o), b1 = scaled(factors[other], other_o + n);
    b2 = scaled(factors[other], other_o + 2 * n), b3 = scaled(factors[other], other_o + 3 * n);
  }
  const float* v = values.data;
  for (std::size_t j = 0; j < values.rows; ++j, v += values.dim) {
    if (values.fresh && j % 4 == 0) ask_in_order(values, j);
    const auto v0 = hn::LoadU(d, v), v1 = hn::LoadU(d, v + n);
    const auto v2 = hn::LoadU(d, v + 2 * n), v3 = hn::LoadU(d, v + 3 * n);
    const auto weight = hn::Set(d, weights[j]);
    a0 = hn::MulAdd(weight, v0, a0), a1 = hn::MulAdd(weight, v1, a1);
    a2 = hn::MulAdd(weight, v2, a2), a3 = hn::MulAdd(weight, v3, a3);
    if constexpr (second == second_set::query) {
      const auto next = hn::Set(d, weights[block_max + j]);
      b0 = hn::MulAdd(next, v0, b0), b1 = hn::MulAdd(next, v1, b1);
      b2 = hn::MulAdd(next, v2, b2), b3 = hn::MulAdd(next, v3, b3);
    }
    if constexpr (second == second_set::columns) {
      b0 = hn::MulAdd(weight, hn::LoadU(d, v + 4 * n), b0);
      b1 = hn::MulAdd(weight, hn::LoadU(d, v + 5 * n), b1);
      b2 = hn::MulAdd(weight, hn::LoadU(d, v + 6 * n), b2);
      b3 = hn::MulAdd(weight, hn::LoadU(d, v + 7 * n), b3);
    }
  }
  hn::StoreU(a0, d, o), hn::StoreU(a1, d, o + n);
  hn::StoreU(a2, d, o + 2 * n), hn::StoreU(a3, d, o + 3 * n);
  if constexpr (second != second_set::none) {
    hn::StoreU(b0, d, other_o), hn::StoreU(b1, d, other_o + n);
    hn::StoreU(b2, d, other_o + 2 * n), hn::StoreU(b3, d, other_o + 3 * n);
  }
}

/// o = factor o + Σ weight v for one or two queries.
template <std::size_t queries>
HWY_INLINE void add_values(const row_block& values,
                           const float* weights,
                           const float* factors,
                           float* o) {
  const std::size_t four = 4 * hn::Lanes(wide_tag());
  std::size_t c = 0;
  const bool whole_rows = values.dim <= (queries == 2 ? four : 2 * four);
  const auto from = [&values, whole_rows](std::size_t column) {
    const bool fresh = values.fresh && !whole_rows && column == 0;
    return row_block{values.data + column, values.rows, values.dim, fresh};
  };
  if constexpr (queries == 2) {
    for (; c + four <= values.dim; c += four)
      add_tile<second_set::query>(from(c), weights, factors, o + c);
  } else {
    for (; c + 2 * four <= values.dim; c += 2 * four)
      add_tile<second_set::columns>(from(c), weights, factors, o + c);
    for (; c + four <= values.dim; c += four)
      add_tile<second_set::none>(from(c), weights, factors, o + c);
  }
  for (std::size_t i = 0; i < queries; ++i) {
    for_columns(c, values.dim, [&](auto d, std::size_t at) HWY_ATTR {
      float* to = o + i * values.dim + at;
      auto sum = hn::Mul(hn::Set(d, factors[i]), hn::LoadU(d, to));
      for (std::size_t j = 0; j < values.rows; ++j) {
        const auto value = hn::LoadU(d, values.data + j * values.dim + at);
        sum = hn::MulAdd(hn::Set(d, weights[i * block_max + j]), value, sum);
      }
      hn::StoreU(sum, d, to);
    });
  }
}

HWY_INLINE void finish(const gathered& all, std::size_t dim, float* o, float& lse) {
  if (all.sum == 0.0F) {
    lse = -std::numeric_limits<float>::infinity();
    return;
  }
  lse = all.largest + std::log(all.sum);
  const float factor = 1.0F / all.sum;
  for_columns(0, dim, [factor, o](auto d, std::size_t c) HWY_ATTR {
    hn::StoreU(hn::Mul(hn::Set(d, factor), hn::LoadU(d, o + c)), d, o + c);
  });
}

/// Queries that pass over a block before the next is read; a bound on memory on the stack.
constexpr std::size_t queries_max = 16;

/// One or two queries meet a block.
template <std::size_t queries>
HWY_INLINE void visit(const row_block& keys,
                      const row_block& values,
                      const float* q,
                      float scale,
                      gathered* all,
                      float* o) {
  std::array<float, queries * block_max> scores{};
  std::array<float, queries> factors;
  score<queries>(q, keys, scores.data());
  for (std::size_t i = 0; i < queries; ++i)
    factors[i] = online_softmax(scores.data() + i * block_max, keys.rows, scale, all[i]);
  add_values<queries>(values, scores.data(), factors.data(), o);
}

/// `queries` heads, all of one key head, over `slots` of its slots, the first at `first_key`.
HWY_NOINLINE inline void attend(const decode_attention_args& args,
                                std::size_t first_row,
                                std::size_t queries,
                                std::size_t first_key,
                                std::size_t slots) {
  const std::size_t dim = args.cache.head_dim;
  std::array<gathered, queries_max> all{};
  std::fill_n(args.o.data() + first_row * dim, queries * dim, 0.0F);
  const std::size_t block = block_keys(dim);
  for (std::size_t slot = 0; slot < slots; slot += block) {
    const std::size_t n = std::min(block, slots - slot);
    const std::size_t at = first_key + slot * dim;
    for (std::size_t i = 0; i < queries;) {
      const row_block keys = {args.keys.data() + at, n, dim, i == 0};
      const row_block values = {args.values.data() + at, n, dim, i == 0};
      const std::size_t row = (first_row + i) * dim;
      const float* q = args.q.data() + row;
      float* o = args.o.data() + row;
      if (queries - i >= 2) {
        visit<2>(keys, values, q, args.scale, &all[i], o);
        i += 2;
      } else {
        visit<1>(keys, values, q, args.scale, &all[i], o);
        i += 1;
      }
    }
  }
  for (std::size_t i = 0; i < queries; ++i)
    finish(all[i], dim, args.o.data() + (first_row + i) * dim, args.lse[first_row + i]);
}

}  // namespace decode_parts

void decode_attention_target(const decode_attention_args& args) {
  const std::size_t group = args.heads / args.cache.kv_heads;
  for (std::size_t s = 0; s < args.cache.sequences; ++s) {
    const std::size_t end = std::min(args.slots_end, args.cache.live(args.lengths[s]));
    const std::size_t slots = end - std::min(args.slots_begin, end);
    for (std::size_t head = 0; head < args.cache.kv_heads; ++head) {
      const std::size_t key = args.cache.at(s, head, args.slots_begin);
      for (std::size_t i = 0; i < group; i += decode_parts::queries_max) {
        const std::size_t row = s * args.heads + head * group + i;
        const std::size_t queries = std::min(decode_parts::queries_max, group - i);
        decode_parts::attend(args, row, queries, key, slots);
      }
    }
  }
}

void merge_attention_target(const merge_attention_args& args) {
  for (std::size_t row = 0; row < args.lse.size(); ++row) {
    const float one = args.lse[row];
    const float other = args.other_lse[row];
    const float largest = std::max(one, other);
    const bool nothing = largest == -std::numeric_limits<float>::infinity();
    const float one_weight = nothing ? 0.0F : std::exp(one - largest);
    const float other_weight = nothing ? 0.0F : std::exp(other - largest);
    const float sum = nothing ? 1.0F : one_weight + other_weight;
    args.lse[row] = nothing ? largest : largest + std::log(sum);
    const float a = one_weight / sum;
    const float b = other_weight / sum;
    float* o = args.o.data() + row * args.dim;
    const float* other_o = args.other_o.data() + row * args.dim;
    for_columns(0, args.dim, [a, b, o, other_o](auto d, std::size_t c) HWY_ATTR {
      const auto scaled = hn::Mul(hn::Set(d, b), hn::LoadU(d, other_o + c));
      hn::StoreU(hn::MulAdd(hn::Set(d, a), hn::LoadU(d, o + c), scaled), d, o + c);
    });
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(decode_attention_target);
HWY_EXPORT(merge_attention_target);

void decode_attention_cpu(const decode_attention_args& args) {
  check_decode_attention(args);
  HWY_DYNAMIC_DISPATCH(decode_attention_target)(args);
}

void merge_attention_cpu(const merge_attention_args& args) {
  check_merge_attention(args);
  HWY_DYNAMIC_DISPATCH(merge_attention_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
