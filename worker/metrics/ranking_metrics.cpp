#include "worker/metrics/ranking_metrics.hpp"

#include "base/check.hpp"
#include "kernels/ranking/ranking.hpp"

#include <array>
#include <cmath>

namespace headrace::worker {

ranking_metrics::ranking_metrics(std::span<const std::size_t> cutoffs)
    : workspace_(kernels::ranking_workspace(1)) {
  for (const std::size_t k : cutoffs) {
    CHECK(k >= 1);
    sums_.push_back({.k = k});
  }
}

// A score is the product of a user (1) and an item (the score), so the kernel's rules of ties and
// of NaN are these.
void ranking_metrics::add(std::span<const float> scores,
                          std::uint32_t positive,
                          std::span<const std::uint32_t> excluded) {
  CHECK(positive < scores.size());
  const std::array one{1.0F};
  const std::array offsets{0U, static_cast<std::uint32_t>(excluded.size())};
  std::array<double, 1> rank{};
  kernels::ranking({.x = one,
                    .items = scores,
                    .dim = 1,
                    .positives = std::span(&positive, 1),
                    .excluded = excluded,
                    .excluded_offsets = offsets,
                    .ranks = rank,
                    .workspace = workspace_});
  add_rank(rank[0]);
}

void ranking_metrics::add_rank(double rank) {
  CHECK(rank >= 1.0);
  ++cases_;
  ranks_ += rank;
  reciprocals_ += 1.0 / rank;
  for (sums& each : sums_) {
    if (rank > static_cast<double>(each.k)) continue;
    ++each.hits;
    each.gain += 1.0 / std::log2(rank + 1.0);
  }
}

std::vector<ranking_metrics::at> ranking_metrics::figures() const {
  std::vector<at> made;
  for (const sums& each : sums_)
    made.push_back({each.k, mean(static_cast<double>(each.hits)), mean(each.gain)});
  return made;
}

}  // namespace headrace::worker
