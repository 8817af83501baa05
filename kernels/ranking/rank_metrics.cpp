#include "kernels/ranking/rank_metrics.hpp"

#include <cmath>

namespace headrace::kernels {
namespace {

template <class Gain>
double mean(std::span<const double> ranks, const Gain& gain) {
  double sum = 0.0;
  for (const double rank : ranks) sum += gain(rank);
  return ranks.empty() ? 0.0 : sum / static_cast<double>(ranks.size());
}

}  // namespace

double hit_rate(std::span<const double> ranks, std::size_t k) {
  return mean(ranks, [k](double rank) { return rank <= static_cast<double>(k) ? 1.0 : 0.0; });
}

double ndcg(std::span<const double> ranks, std::size_t k) {
  return mean(ranks, [k](double rank) {
    return rank <= static_cast<double>(k) ? 1.0 / std::log2(1.0 + rank) : 0.0;
  });
}

double mean_reciprocal_rank(std::span<const double> ranks) {
  return mean(ranks, [](double rank) { return 1.0 / rank; });
}

}  // namespace headrace::kernels
