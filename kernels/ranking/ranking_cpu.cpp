#include "base/check.hpp"
#include "kernels/ranking/ranking.hpp"

#include <algorithm>
#include <array>
#include <utility>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ranking/ranking_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

#ifndef HEADRACE_KERNELS_RANKING_SIZES
#define HEADRACE_KERNELS_RANKING_SIZES
namespace headrace::kernels {
namespace {

/// Users whose rows are transposed together; a multiple of every target's tile.
constexpr std::size_t group_users = 256;
/// Items that pass all tiles of a group while they are in cache.
constexpr std::size_t block_items = 240;

}  // namespace
}  // namespace headrace::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

using float_tag = hn::CappedTag<float, lanes_max>;
using count_tag = hn::RebindToSigned<float_tag>;
using float_vector = hn::Vec<float_tag>;
using count_vector = hn::Vec<count_tag>;

/// Users of a tile: two vectors, by step_items items, make 12 sums, of 16 registers.
constexpr std::size_t lanes = hn::MaxLanes(float_tag());
constexpr std::size_t tile_users = 2 * lanes;
constexpr std::size_t step_items = 6;

/// Calls step(i) with i = 0 … n − 1 as constants, so that sums stay in registers.
template <std::size_t n, class Step>
HWY_INLINE void repeat(const Step& step) {
  [&step]<std::size_t... i>(std::index_sequence<i...>) HWY_ATTR {
    (step(std::integral_constant<std::size_t, i>()), ...);
  }
  (std::make_index_sequence<n>());
}

/// Scores of n items of one user, each added up as in count_items, so with the same bits.
template <std::size_t n>
HWY_INLINE void scores_of(const float* x,
                          const std::array<const float*, n>& items,
                          std::size_t dim,
                          std::array<float, n>& scores) {
  const hn::CappedTag<float, 1> d;
  std::array<hn::Vec<decltype(d)>, n> sums;
  repeat<n>([&](auto i) HWY_ATTR { sums[i] = hn::Zero(d); });
  for (std::size_t k = 0; k < dim; ++k) {
    const auto left = hn::Set(d, x[k]);
    repeat<n>([&](auto i)
                  HWY_ATTR { sums[i] = hn::MulAdd(left, hn::Set(d, items[i][k]), sums[i]); });
  }
  repeat<n>([&](auto i) HWY_ATTR { scores[i] = hn::GetLane(sums[i]); });
}

HWY_INLINE float score_of(const float* x, const float* item, std::size_t dim) {
  std::array<float, 1> score;
  scores_of<1>(x, {item}, dim, score);
  return score[0];
}

/// 2 for a higher score, 1 for an equal one; 2 where either is NaN.
HWY_INLINE std::uint64_t points_against(float score, float own) {
  return 2U - (score <= own ? 1U : 0U) - (score < own ? 1U : 0U);
}

/// What a tile of users is compared by, and what is counted for it: 2 for each item below the
/// positive, 1 for each as high.
struct tile_counts {
  std::array<float_vector, 2> own;
  std::array<count_vector, 2> below;
};

/// Counts `n` items, whose rows are at `items`, for the tile whose rows, transposed, are at
/// `users`.
template <std::size_t n>
HWY_INLINE void count_items(const float* users,
                            const float* items,
                            std::size_t dim,
                            tile_counts& counts) {
  const float_tag d;
  const count_tag bits;
  std::array<std::array<float_vector, 2>, n> sums;
  repeat<n>([&](auto i) HWY_ATTR {
    sums[i][0] = hn::Zero(d);
    sums[i][1] = hn::Zero(d);
  });
  for (std::size_t k = 0; k < dim; ++k) {
    const auto first = hn::LoadU(d, users + k * tile_users);
    const auto second = hn::LoadU(d, users + k * tile_users + lanes);
    repeat<n>([&](auto i) HWY_ATTR {
      const auto value = hn::Set(d, items[i * dim + k]);
      sums[i][0] = hn::MulAdd(first, value, sums[i][0]);
      sums[i][1] = hn::MulAdd(second, value, sums[i][1]);
    });
  }
  repeat<n>([&](auto i) HWY_ATTR {
    repeat<2>([&](auto half) HWY_ATTR {
      const auto score = sums[i][half];
      const auto low = hn::VecFromMask(d, hn::Lt(score, counts.own[half]));  // −1 where true
      const auto not_high = hn::VecFromMask(d, hn::Le(score, counts.own[half]));
      const auto both = hn::Add(hn::BitCast(bits, low), hn::BitCast(bits, not_high));
      counts.below[half] = hn::Sub(counts.below[half], both);
    });
  });
}

/// A group of users on their way through the items.
struct user_group {
  std::size_t begin = 0;
  std::size_t users = 0;
  std::array<float, group_users> own{};            // scores of the positives
  std::array<std::uint64_t, group_users> below{};  // as in tile_counts
};

/// Transposes the group's rows, tile by tile; missing users of the last tile are zeros.
void pack(const ranking_args& args, const user_group& group) {
  float* to = args.workspace.data();
  for (std::size_t tile = 0; tile < group.users; tile += tile_users) {
    const std::size_t there = std::min(tile_users, group.users - tile);
    const float* from = args.x.data() + (group.begin + tile) * args.dim;
    for (std::size_t k = 0; k < args.dim; ++k) {
      for (std::size_t u = 0; u < there; ++u) to[u] = from[u * args.dim + k];
      std::fill(to + there, to + tile_users, 0.0F);
      to += tile_users;
    }
  }
}

/// Adds the items [begin, end) to group.below of the tile's users.
void count_block(const ranking_args& args,
                 std::size_t begin,
                 std::size_t end,
                 std::size_t tile,
                 user_group& group) {
  const float_tag d;
  const count_tag bits;
  tile_counts counts;
  repeat<2>([&](auto half) HWY_ATTR {
    counts.own[half] = hn::LoadU(d, group.own.data() + tile + half * lanes);
    counts.below[half] = hn::Zero(bits);
  });
  const float* users = args.workspace.data() + tile * args.dim;
  std::size_t item = begin;
  for (; item + step_items <= end; item += step_items) {
    count_items<step_items>(users, args.items.data() + item * args.dim, args.dim, counts);
  }
  for (; item < end; ++item) {
    count_items<1>(users, args.items.data() + item * args.dim, args.dim, counts);
  }
  std::array<std::int32_t, tile_users> below;
  repeat<2>([&](auto half)
                HWY_ATTR { hn::StoreU(counts.below[half], bits, below.data() + half * lanes); });
  for (std::size_t u = 0; u < tile_users; ++u) {
    group.below[tile + u] += static_cast<std::uint64_t>(below[u]);
  }
}

/// Points of the excluded items of one user, eight at a time: a score is a chain of additions.
std::uint64_t excluded_points(const ranking_args& args, std::size_t user, float own) {
  if (args.excluded_offsets.empty()) return 0;
  constexpr std::size_t together = 8;
  const float* x = args.x.data() + user * args.dim;
  std::array<const float*, together> rows;
  std::array<float, together> scores;
  std::size_t held = 0;
  std::uint64_t points = 0;
  const auto take = [&] {
    for (std::size_t i = held; i < together; ++i) rows[i] = rows[0];
    scores_of<together>(x, rows, args.dim, scores);
    for (std::size_t i = 0; i < held; ++i) points += points_against(scores[i], own);
    held = 0;
  };
  const std::size_t begin = args.excluded_offsets[user];
  for (std::size_t i = begin; i < args.excluded_offsets[user + 1]; ++i) {
    const std::uint32_t item = args.excluded[i];
    CHECK(i == begin || args.excluded[i - 1] <= item);
    CHECK(item < args.items.size() / args.dim);
    const bool repeated = i > begin && args.excluded[i - 1] == item;
    if (repeated || item == args.positives[user]) continue;
    rows[held] = args.items.data() + item * args.dim;
    if (++held == together) take();
  }
  if (held > 0) take();
  return points;
}

void ranking_target(const ranking_args& args) {
  const std::size_t items = args.items.size() / args.dim;
  for (std::size_t begin = 0; begin < args.ranks.size(); begin += group_users) {
    user_group group = {.begin = begin, .users = std::min(group_users, args.ranks.size() - begin)};
    pack(args, group);
    for (std::size_t u = 0; u < group.users; ++u) {
      group.own[u] = score_of(args.x.data() + (begin + u) * args.dim,
                              args.items.data() + args.positives[begin + u] * args.dim,
                              args.dim);
    }
    for (std::size_t item = 0; item < items; item += block_items) {
      const std::size_t end = std::min(item + block_items, items);
      for (std::size_t tile = 0; tile < group.users; tile += tile_users) {
        count_block(args, item, end, tile, group);
      }
    }
    for (std::size_t u = 0; u < group.users; ++u) {
      const float own = group.own[u];
      const std::uint64_t points = 2 * items - group.below[u] - points_against(own, own) -
                                   excluded_points(args, begin + u, own);
      args.ranks[begin + u] = 1.0 + 0.5 * static_cast<double>(points);
    }
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(ranking_target);

std::size_t ranking_workspace(std::size_t dim) { return group_users * dim; }

void ranking_cpu(const ranking_args& args) {
  CHECK(args.dim > 0);
  CHECK(args.items.size() % args.dim == 0);
  CHECK(args.x.size() == args.ranks.size() * args.dim);
  CHECK(args.positives.size() == args.ranks.size());
  CHECK(args.excluded_offsets.empty() || args.excluded_offsets.size() == args.ranks.size() + 1);
  CHECK(args.excluded_offsets.empty() || args.excluded_offsets.back() <= args.excluded.size());
  CHECK(args.workspace.size() >= ranking_workspace(args.dim));
  for (const std::uint32_t positive : args.positives) {
    CHECK(positive < args.items.size() / args.dim);
  }
  HWY_DYNAMIC_DISPATCH(ranking_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
