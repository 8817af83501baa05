#pragma once

#include "schemas/hash.hpp"
#include "schemas/sample.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace headrace::worker {

/// Whether two runs learned the same samples: a digest of what was sealed, however it was cut into
/// batches, and whenever.
///
/// A sample is its labels, keys, values (1 where there are none) and lists; record numbers and
/// times are not of it, for each way in has its own, and history, which is drawn from them, is not
/// counted. Two runs have one `set` when they have the
/// same samples, each as often, in any order, and one `order` when besides the samples of each key
/// of feature `by` stand in the same order. Without `by` that is the order of all. Holds 24 bytes
/// and more for each such key.
class sample_digest {
 public:
  /// `by`: a place among the keys of a sample.
  explicit sample_digest(std::optional<std::size_t> by = std::nullopt) : by_(by) {}

  /// `by` is one of the batch's features (CHECKed).
  void add(const schemas::sample_batch& batch);

  std::uint64_t samples() const { return samples_; }
  /// Keys of `by`; 1 or 0 without.
  std::uint64_t keys() const { return ends_.size(); }
  const schemas::hash128& set() const { return set_; }
  schemas::hash128 order() const;

 private:
  std::optional<std::size_t> by_;
  std::uint64_t samples_ = 0;
  schemas::hash128 set_;
  std::unordered_map<std::uint64_t, schemas::hash128> ends_;  // of each key's chain of samples
  std::vector<std::byte> bytes_;                              // of the sample at work
};

}  // namespace headrace::worker
