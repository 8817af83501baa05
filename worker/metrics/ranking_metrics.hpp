#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::worker {

/// Figures of a ranking over test cases that have one right answer each (leave-one-out): where did
/// the model put it among all candidates?
///
/// A rank is 1 + #(higher) + #(as high) / 2, as kernels/ranking defines it: a model that scores all
/// alike gets the middle, not the top. HR@k is the share of cases with a rank of at most k, NDCG@k
/// the mean of 1 / log2(rank + 1) over those, 0 elsewhere (He et al., WWW'17), MRR the mean of
/// 1 / rank. Nothing here knows where the scores come from. Single-threaded.
class ranking_metrics {
 public:
  /// `cutoffs` are the k, each ≥ 1.
  explicit ranking_metrics(std::span<const std::size_t> cutoffs);

  /// One case: scores [candidates] of every candidate, and which of them is right. `excluded` are
  /// candidates that don't compete, ascending; the right one among them does.
  void add(std::span<const float> scores,
           std::uint32_t positive,
           std::span<const std::uint32_t> excluded = {});
  /// One case whose rank is known: kernels/ranking gives those of many users at once.
  void add_rank(double rank);

  struct at {
    std::size_t k = 0;
    double hit_rate = 0.0;
    double ndcg = 0.0;
  };
  /// One for each cutoff, in the order given; zeros without cases.
  std::vector<at> figures() const;
  double mean_reciprocal_rank() const { return mean(reciprocals_); }
  double mean_rank() const { return mean(ranks_); }
  std::uint64_t cases() const { return cases_; }

 private:
  struct sums {
    std::size_t k = 0;
    std::uint64_t hits = 0;
    double gain = 0.0;
  };
  double mean(double sum) const { return cases_ == 0 ? 0.0 : sum / static_cast<double>(cases_); }

  std::vector<sums> sums_;
  std::vector<float> workspace_;
  std::uint64_t cases_ = 0;
  double reciprocals_ = 0.0;
  double ranks_ = 0.0;
};

}  // namespace headrace::worker
