#pragma once

#include "worker/cross/base_model.hpp"
#include "worker/ingest/event_source.hpp"
#include "worker/metrics/progressive_metrics.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::worker {

/// Which pairs of id features are worth a feature of their own: one pass over a stream in which
/// each event is predicted before it is learned from (Blum, Kalai and Langford, COLT'99).
///
/// Beside one base model each pair has a table of one weight for each combination of its two ids,
/// learned on what the base model leaves: its logit is the base's plus that weight. The gain of a
/// pair is how much lower its loss is. A table of each feature alone is learned in the same way: a
/// combination can do what its parts alone do, so what the better of them gains counts against it.
///
/// Noise is judged by blocks of neighbouring events, of which there are 200 to 400 in a long
/// stream: z is the mean gain of a block over its standard error, the smallest of those against the
/// base and against either feature alone. A pair is worth it when z is at least `z_min()`: chosen
/// so that by the tail bound ½ exp(−z² / 2) less than one search in a hundred finds one among pairs
/// that gain nothing.
///
/// Memory is fixed: the base model's, and 8 bytes for each of `slots()` slots of each pair's and
/// each feature's table, as many as `table_bytes` allows for all of them; combinations that share a
/// slot share a weight. Deterministic. Single-threaded.
class cross_search {
 public:
  struct pair {
    std::uint32_t first = 0;  // places of features in an event
    std::uint32_t second = 0;
    friend bool operator==(const pair&, const pair&) = default;
  };
  struct settings {
    std::vector<pair> pairs;
    std::size_t features = 0;  // of an event
    std::size_t dim = 8;       // of the base model; 0 = a logistic regression
    std::size_t table_bytes = std::size_t{256} << 20;
  };
  explicit cross_search(settings how);

  /// The next event of the stream.
  void add(const event& seen);

  struct finding {
    pair of;
    double gain = 0.0;            // mean over all events, in nats; what is in the way taken off
    double standard_error = 0.0;  // of that
    double z = 0.0;
    double distinct = 0.0;  // combinations met, estimated; at least so many where `crowded`
    bool crowded = false;   // nearly all slots of its table are taken
    bool worth_it = false;
  };
  /// Every pair, by falling gain.
  std::vector<finding> findings() const;

  /// Figures of the base model's predictions.
  const progressive_metrics& base() const { return base_scores_; }
  std::uint64_t events() const { return events_; }
  std::size_t slots() const { return slots_; }
  double z_min() const;
  std::size_t bytes() const;

 private:
  /// Weights of the combinations of one pair, or of the ids of one feature.
  struct table {
    std::vector<gaussian_weight> weights;  // [slots]
    std::size_t taken = 0;
    double try_and_learn(bool label, double base_logit, double base_loss, std::size_t slot);
  };
  struct comparison {
    double mean = 0.0;            // of an event
    double standard_error = 0.0;  // of that
  };
  /// Of table `of`; where `against` is another one, of what it gains more.
  comparison compare(std::size_t of, std::size_t against) const;
  void close_block();

  settings how_;
  std::size_t slots_ = 0;
  base_model base_;
  progressive_metrics base_scores_;
  std::vector<std::uint32_t> features_;  // of any pair, ascending
  std::vector<std::size_t> places_;      // [feature] into features_
  std::vector<table> tables_;            // of the pairs, then of features_
  std::vector<std::uint64_t> hashes_;    // [features_] of the event at work
  std::vector<double> totals_;           // [tables] gain over all events
  std::vector<double> block_;            // [tables] gain in the block at work
  std::vector<double> blocks_;           // [blocks][tables] of those before
  std::uint64_t block_events_ = 100;
  std::uint64_t in_block_ = 0;
  std::uint64_t events_ = 0;
};

}  // namespace headrace::worker
