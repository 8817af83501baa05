#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Rank of each user's positive among all items but the excluded ones, by the product ⟨x, item⟩:
/// rank = 1 + #(higher) + #(as high) / 2, the positive itself left out. 1 is best; a tie counts
/// half-way, so a model that scores everything alike gets (items + 1) / 2, not 1.
///
/// x [users, dim]; items [items, dim]; positives [users] < items. Of user u, excluded ids are
/// excluded[excluded_offsets[u] … excluded_offsets[u + 1]), ascending (a repeated one counts once),
/// < items; the positive among them isn't excluded. Without offsets nothing is. Out: ranks [users],
/// multiples of ½. A score that is NaN counts as higher, and against a positive that is NaN every
/// item does: a broken model ranks last.
///
/// The CPU version adds the products of a score in the order of k, wherever the item lies, so equal
/// items tie exactly; a score is within (dim + 1) * 2^-24 Σ|x e| and may decide otherwise than the
/// reference only where two scores are closer than both their bounds. Scores are never stored.
struct ranking_args {
  std::span<const float> x;
  std::span<const float> items;
  std::size_t dim = 0;
  std::span<const std::uint32_t> positives;
  std::span<const std::uint32_t> excluded = {};
  std::span<const std::uint32_t> excluded_offsets = {};  // [users + 1], or empty
  std::span<double> ranks;
  /// ranking_workspace(dim) values; the reference needs none.
  std::span<float> workspace = {};
};

/// Floats of workspace: the users of one group, transposed.
std::size_t ranking_workspace(std::size_t dim);

void ranking_ref(const ranking_args& args);
void ranking_cpu(const ranking_args& args);

inline void ranking(const ranking_args& args) { ranking_cpu(args); }

}  // namespace headrace::kernels
