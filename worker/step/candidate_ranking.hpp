#pragma once

#include "base/result.hpp"
#include "worker/ingest/event_source.hpp"
#include "worker/metrics/ranking_metrics.hpp"
#include "worker/step/batch_scorer.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace headrace::worker {

/// Full ranking of one feature's values by a model of columns: of a row with label 1, the value it
/// has is ranked among all values of that feature that the stream had, everything else of the row
/// as it was.
///
/// With `by` it is leave-one-out (He et al., WWW'17): of each value of that feature (a user) the
/// last row with label 1 is the case, and candidates that the user met in other rows don't compete.
/// Without it every row with label 1 is a case and all candidates compete. Of more cases than
/// `cases_max` so many are taken, evenly spread over the stream. Deterministic. Holds a row for
/// each case, and with `by` one for each user and four bytes for each event. Single-threaded.
class candidate_ranking {
 public:
  struct settings {
    std::uint32_t feature = 0;             // index of the feature whose values are ranked: an id
    std::optional<std::uint32_t> by = {};  // index of the feature that cases are one of each for
    std::size_t cases_max = 1'000;
    /// Called with the keys [features] of a row whose key of `feature` was exchanged, for keys that
    /// follow from others; may be empty.
    std::function<void(std::span<std::uint64_t>)> rekey = {};
  };
  explicit candidate_ranking(settings how);

  /// The next event of the stream.
  void add(const event& seen);

  std::size_t candidates() const { return candidates_.size(); }
  /// Ranks the cases with the rows of `scorer`, into `figures`. `stopped` is asked before each;
  /// true ends it. Fails: as batch_scorer::score, cancelled.
  result<void> rank(batch_scorer& scorer,
                    ranking_metrics& figures,
                    const std::function<bool()>& stopped = {}) const;

 private:
  struct test_case {
    event row;
    std::uint32_t positive = 0;  // index of its candidate
    std::size_t user = 0;        // into met_
  };
  void keep(const event& seen, std::uint32_t positive);
  std::vector<std::uint32_t> excluded(const test_case& of) const;
  result<void> score(const test_case& of, batch_scorer& scorer, std::vector<float>& scores) const;

  settings how_;
  std::vector<std::uint64_t> candidates_;                    // keys, in the order they were met
  std::unordered_map<std::uint64_t, std::uint32_t> places_;  // into candidates_
  // With `by`: of each user, in the order they were met.
  std::unordered_map<std::uint64_t, std::size_t> users_;
  std::vector<std::vector<std::uint32_t>> met_;
  std::vector<std::optional<test_case>> last_;
  // Without: every stride_-th of the rows with label 1.
  std::vector<test_case> spread_;
  std::size_t stride_ = 1;
  std::uint64_t positives_ = 0;
};

}  // namespace headrace::worker
