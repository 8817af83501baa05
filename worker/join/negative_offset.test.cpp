#include "worker/join/negative_offset.hpp"

#include "base/random.hpp"
#include "worker/join/test_joins.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

// Ten contexts with click rates from 1 % to 40 %, through a joiner that keeps a tenth of the
// negatives; a logistic model of one weight a context learns from what is left.
struct planted {
  static constexpr std::size_t contexts = 10;
  std::array<double, contexts> clicks{};
  std::array<double, contexts> seen{};
  std::array<std::array<double, 2>, contexts> kept{};  // negatives, positives

  explicit planted(float share) {
    join_spec how;
    how.window_ms = 10;
    how.negative_share = share;
    joiner join(how);
    std::vector<sent_sample> sent;
    random_stream draw(11);
    for (std::uint64_t i = 0; i < 200'000; ++i) {
      const std::size_t context = draw.next_below(contexts);
      const std::string key = "request " + std::to_string(i);
      join_call shown = impression(key, i);
      shown.payload = std::string(1, static_cast<char>(context));
      apply(join, shown);
      seen[context] += 1;
      const double rate = 0.01 + 0.39 * static_cast<double>(context) / (contexts - 1);
      if (draw.next_unit() < rate) {
        clicks[context] += 1;
        apply(join, action(key, i));
      }
      take_all(join, sent);
    }
    apply(join, finish());
    take_all(join, sent);
    for (const sent_sample& one : sent)
      kept[static_cast<std::size_t>(one.payload[0])][one.actions != 0 ? 1 : 0] += 1;
  }

  // The weight that fits best with `offset` in the logit: Newton steps on the log loss.
  double fit(std::size_t context, double offset) const {
    const auto& [negatives, positives] = kept[context];
    double weight = -offset;  // from a probability of one half Newton's steps don't run away
    for (int step = 0; step < 50; ++step) {
      const double p = sigmoid(weight + offset);
      weight += (positives - (negatives + positives) * p) / ((negatives + positives) * p * (1 - p));
    }
    return weight;
  }
};

TEST(NegativeOffset, MakesProbabilitiesTrueAgain) {
  constexpr float share = 0.1F;
  const planted stream(share);
  for (std::size_t c = 0; c < planted::contexts; ++c) {
    const double rate = stream.clicks[c] / stream.seen[c];
    // The negatives that are left are drawn: their number is off by 1 / sqrt(it), four times that.
    const double off = 4.0 * rate * (1 - rate) / std::sqrt(stream.kept[c][0]);
    const double corrected = sigmoid(stream.fit(c, negative_offset(share)));
    EXPECT_NEAR(corrected, rate, off) << c;
    const double plain = sigmoid(stream.fit(c, 0.0));
    EXPECT_GT(plain, rate + 3 * off) << c;  // what it would be without
    EXPECT_NEAR(without_sampling(plain, share), corrected, 1e-6) << c;
  }
}

TEST(NegativeOffset, IsNothingWhereAllNegativesAreKept) {
  EXPECT_EQ(negative_offset(1.0F), 0.0F);
  EXPECT_FLOAT_EQ(negative_offset(0.1F), 2.302585F);
}

}  // namespace
}  // namespace headrace::worker
