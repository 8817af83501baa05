#pragma once

#include "worker/cross/gaussian_weight.hpp"
#include "worker/ingest/event_source.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::worker {

/// The model that crosses are tried beside: a logistic regression on the features of an event, and,
/// with `dim` > 0, a factorization machine's pairwise term on top (Rendle, ICDM'10; Adagrad).
///
/// Learns online from one pass. Rows lie in hashed tables of 2^20 slots, so memory is fixed:
/// 8 + 8 · dim bytes a slot, 72 MiB with dim 8; ids that share a slot share a row. Deterministic.
/// Single-threaded.
class base_model {
 public:
  static constexpr std::size_t slots = std::size_t{1} << 20;

  /// Of events with so many features.
  base_model(std::size_t features, std::size_t dim);

  /// Logit of the event's first label.
  double predict(const event& of);
  /// Learns from the event that was predicted last.
  void learn(const event& from);

  std::size_t bytes() const;

 private:
  float value(const event& of, std::size_t feature) const {
    return of.values.empty() ? 1.0F : of.values[feature];
  }
  double pairwise(const event& of);
  void learn_vectors(const event& from, double gradient);

  std::size_t dim_;
  gaussian_weight bias_;
  std::vector<gaussian_weight> weights_;  // [slots]
  std::vector<float> vectors_;            // [slots * dim]
  std::vector<float> squares_;            // [slots * dim] Adagrad's sums
  // Of the event that was predicted last.
  std::vector<std::size_t> slots_of_;  // [features]
  std::vector<double> sums_;           // [dim] Σ v x
  double logit_ = 0.0;
};

}  // namespace headrace::worker
