#pragma once

#include <cstddef>
#include <span>

namespace headrace::kernels {

/// Means over users of what ranking() gave: 1 is the best rank, halves are ties. 0 of no users.
/// With a tie the rank is the mean of the places that the tied items share; a rank of k + ½ isn't
/// among the first k.

/// HR@k: the share of ranks <= k.
double hit_rate(std::span<const double> ranks, std::size_t k);
/// NDCG@k with one relevant item: 1 / log2(1 + rank) for ranks <= k, else 0 (Järvelin & Kekäläinen
/// 2002; the ideal is 1).
double ndcg(std::span<const double> ranks, std::size_t k);
/// MRR: 1 / rank.
double mean_reciprocal_rank(std::span<const double> ranks);

}  // namespace headrace::kernels
