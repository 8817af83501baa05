#pragma once

#include "base/result.hpp"
#include "worker/ingest/event_source.hpp"
#include "worker/metrics/ranking_metrics.hpp"
#include "worker/model/model_graph.hpp"
#include "worker/step/batch_scorer.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <unordered_map>
#include <vector>

namespace headrace::worker {

/// Where a model of op `next_item` has what a ranking needs.
struct next_item_parts {
  std::size_t states = 0;       // node: [tokens, dim], what is multiplied with the items' vectors
  std::size_t table = 0;        // of the items' rows
  std::size_t first_order = 0;  // columns in front of a row's vector
  std::uint32_t list = 0;       // of the source's lists
};
/// Nothing for a model without such a loss.
std::optional<next_item_parts> find_next_item(const model_graph& graph);

/// Full ranking of what came next, leave-one-out, by a model of op `next_item`: one id of each list
/// is held out, the model reads those in front of it, and the product of its newest state with each
/// id's vector orders all ids that the source's lists have.
///
/// Ids in front of the held-out one don't compete, those behind it do, as in S3-Rec (Zhou et al.,
/// CIKM'20, full ranking with seen items masked). Ties count half-way (kernels/ranking). A list
/// with nothing in front of the held-out id is no case. Deterministic. Holds four bytes for each id
/// of a list, and the newest `history_max` of each case. Single-threaded.
class next_item_ranking {
 public:
  struct settings {
    std::size_t held_out = 1;      // which id: 1 = the last of a list, 2 = the one before it
    std::size_t history_max = 50;  // ids that the model reads, the newest, at least 1
    std::size_t cases_max = std::numeric_limits<std::size_t>::max();  // of more, evenly spread
  };
  /// The model of `parts` has `settings.history_max` at least in its lists.
  next_item_ranking(next_item_parts parts, settings how);

  /// The next event; its lists are whole.
  void add(const event& whole);

  std::size_t candidates() const { return candidates_.size(); }
  std::size_t cases() const { return cases_.size(); }
  /// Ranks the cases with the rows of `scorer`, into `figures`. `stopped` is asked before each
  /// batch; true ends it. Fails: as batch_scorer, cancelled.
  result<void> rank(batch_scorer& scorer,
                    ranking_metrics& figures,
                    const std::function<bool()>& stopped = {}) const;

 private:
  struct test_case {
    event row;  // its list cut to what the model reads
    std::uint32_t positive = 0;
    std::vector<std::uint32_t> seen;  // candidates in front of it, ascending, each once
  };
  std::uint32_t candidate(std::uint64_t key);
  result<void> read_items(batch_scorer& scorer, std::vector<float>& items) const;
  schemas::sample_batch batch_of(std::span<const test_case* const> cases) const;
  std::vector<float> newest_of(const schemas::sample_batch& batch,
                               std::span<const float> states) const;

  next_item_parts parts_;
  settings how_;
  std::vector<std::uint64_t> candidates_;                    // keys, in the order they were met
  std::unordered_map<std::uint64_t, std::uint32_t> places_;  // into candidates_
  std::vector<test_case> cases_;
};

}  // namespace headrace::worker
