#include "bench/attention/own_points.hpp"

#include "bench/attention/gated_attention.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace headrace::bench {
namespace {

using testing::HasSubstr;

const layer_run quick = {.threads = 2, .seconds = 0, .rounds = 3};

TEST(AttentionBench, ComparesAWindowWithFullAttention) {
  const own_point point = measure_window(500, quick);
  // Of 500 rows, all i + 1 keys up to the 264th, and 264 from there on.
  EXPECT_DOUBLE_EQ(point.kept, (264 * 265 / 2 + 236 * 264) / (500.0 * 501 / 2));
  EXPECT_EQ(point.same_bits, true);
  EXPECT_EQ(point.both.size(), 3U);
  EXPECT_EQ(point.whole_forward.size(), 3U);
}

TEST(AttentionBench, ComparesGatedHeadsWithAll) {
  const own_point point = measure_gate({.batch = 10, .seq = 9, .dim = 16, .heads = 4}, 0.35, quick);
  EXPECT_DOUBLE_EQ(point.kept, 0.35);
  EXPECT_EQ(point.same_bits, true);
}

TEST(AttentionBench, LeavesClosedHeadsOut) {
  constexpr own_attention_shape shape = {.batch = 5, .seq = 3, .heads = 4, .head_dim = 2};
  for (const double share : {0.0, 0.25, 1.0}) {
    gated_attention gated(shape, share, 2);
    gated.forward();
    gated.backward();
    EXPECT_DOUBLE_EQ(gated.active_share(), share);
    std::size_t closed = 0;
    const auto o = gated.heads().o();
    for (std::size_t at = 0; at < o.size(); at += 2) closed += o[at] == 0 && o[at + 1] == 0;
    EXPECT_EQ(closed, static_cast<std::size_t>((1 - share) * 5 * 3 * 4));
    const auto gradients = gated.heads().gradients();
    EXPECT_EQ(std::ranges::count(gradients, 0.0F) == static_cast<long>(gradients.size()),
              share == 0);
  }
}

TEST(AttentionBench, GivesRatiosOfItsOwnPoints) {
  const own_point point = {.point = "window",
                           .words = "a window",
                           .whole = "full attention",
                           .threads = 2,
                           .forward = {0.5, 0.25, 0.5},
                           .whole_forward = {8, 8, 8},
                           .both = {1, 1, 1},
                           .whole_both = {20, 10, 40},
                           .kept = 0.03,
                           .same_bits = false};
  const std::string line = to_json(point, {});
  EXPECT_THAT(line, HasSubstr(R"("forward_ratio":16,"ratio":20,)"));
  EXPECT_THAT(line, HasSubstr(R"("share":0.05,"same_bits":false)"));
  EXPECT_THAT(to_table(point), HasSubstr("DIFFERENT BITS"));
}

}  // namespace
}  // namespace headrace::bench
