#pragma once

#include "base/random.hpp"
#include "base/zipf.hpp"
#include "worker/ingest/event_source.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace headrace::worker {

/// The planted CTR set of notes/baselines.md §3a, to the digit: 26 Zipf ids and 13 dense values
/// whose true model is a factorization machine, so that a learner's logloss can be compared with
/// the best possible one (0.43885; drift variant 0.43758) and with other systems' on the same rows.
///
/// The conversion variant has the rows and clicks of the first, and a second label: a click
/// converts with a probability from a second factorization machine over the same values, whose
/// parameters correlate with the first one's by 0.5. Without a click there is no conversion, so the
/// true p(conversion) of an event is the product. Over the default seed's first 200,000 rows 30.3 %
/// are clicks and 9.5 % conversions, and the best possible loglosses are 0.43713 and 0.20628.
///
/// 39 features an event. Row key of id `i` of field f: ((f + 1) << 40) | i, value 1. Dense value j
/// is the row (27 + j) << 40 times the value, so the two never meet.
class planted_source final : public event_source {
 public:
  static constexpr std::size_t id_fields = 26;
  static constexpr std::size_t dense_fields = 13;

  static constexpr std::uint64_t ids_max = std::uint64_t{1} << 40;  // ids are below
  static constexpr std::uint64_t key_of(std::size_t field, std::uint64_t id) {
    return (std::uint64_t{field + 1} << 40) | id;
  }

  /// `kind` is one of the planted.
  planted_source(std::uint64_t rows, std::uint64_t seed, generator kind);

  result<bool> next(event& into) override;
  result<void> skip(std::uint64_t through) override;
  std::uint64_t position() const override { return position_; }
  result<std::uint64_t> count_records() const override { return rows_; }
  const bad_rows& bad() const override { return bad_; }
  std::size_t features() const override { return id_fields + dense_fields; }

  /// True probability of label 1 of the last event.
  double truth() const { return truth_; }
  /// The same of a conversion; 0 where there is none.
  double conversion_truth() const { return conversion_truth_; }

 private:
  double logit_of_ids(const event& drawn) const;
  double conversion_logit(const event& drawn) const;
  void draw_conversion(event& into);

  std::uint64_t rows_;
  std::uint64_t seed_;
  generator kind_;
  random_stream random_;
  std::vector<zipf_rejection_inversion> ranks_;  // by f mod 5
  std::array<double, dense_fields> dense_weights_{};
  std::uint64_t position_ = 0;
  double truth_ = 0.0;
  double conversion_truth_ = 0.0;
  bad_rows bad_{0};  // there are none
};

}  // namespace headrace::worker
