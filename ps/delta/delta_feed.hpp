#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "ps/delta/pending_rows.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

namespace headrace::ps {

/// Where a shard is, as far as its subscribers may know.
struct feed_position {
  headrace::lsn lsn;
  std::uint64_t version = 0;
  std::uint64_t accepted_ms = 0;  // every event accepted before it is in that version
  friend bool operator==(const feed_position&, const feed_position&) = default;
};

/// What one delta is to carry: keys now, values when it is built (delta_builder.hpp).
struct delta_plan {
  std::uint64_t session = 0;
  std::uint64_t number = 0;
  std::uint64_t follows = 0;
  bool whole = false;
  feed_position said;                            // holds for the subscriber once it has this delta
  std::uint64_t head_version = 0;                // of the shard
  std::vector<std::vector<std::uint64_t>> keys;  // of each table, ascending
  std::size_t rows() const;
};

struct feed_limits {
  std::size_t delta_bytes_max = std::size_t{4} << 20;  // of rows in one delta
  std::size_t window_max = 8;                          // deltas sent and not acknowledged
  std::size_t pending_max =
      16'000'000;  // rows to tell of; with more (and twice the first ones) the session ends
};

/// One subscriber's session with one shard: what it has yet to be told, what is on its way, and
/// which version may be said.
///
/// A *generation* is the rows that changed between two plans; the first is every row there was.
/// Version V is said when every generation through V has been sent. A row that changes again before
/// it is sent stays in its older generation and is sent once, with the value it has then. Where
/// rows do not fit into a delta, half of it goes to the oldest generation, so that the version
/// said always moves on, and half to the largest changes of any, which the subscriber then has
/// before their version is said. The first generation is sent from its end, in steps of what is
/// sent; one of its rows that changes meanwhile is none of the largest changes.
///
/// A delta is taken by who has everything through the one it `follows`; what got lost is asked for
/// again by `resume`, and comes under new numbers with the values of then: an old delta that
/// arrives late is either the next one or behind, never instead of a newer one. Memory: 16 bytes,
/// 32 at most, for each distinct row that changed and was not acknowledged.
/// Single-threaded; no clock.
class delta_feed {
 public:
  /// `row_bytes` of each table: what one row takes in a delta.
  delta_feed(std::uint64_t session, std::vector<std::size_t> row_bytes, feed_limits limits);

  std::uint64_t session() const { return session_; }
  /// Number of the last delta planned.
  std::uint64_t newest() const { return number_; }
  /// Keys of the first generation, ascending; before the first plan, or until `all_known` where
  /// some rows lie elsewhere.
  void add_first(table_id table, std::span<const std::uint64_t> keys);
  /// More of the first generation comes by `add_first`: nothing is whole before `all_known`.
  void wait_for_more() { waiting_ = true; }
  void all_known() { waiting_ = false; }
  bool is_waiting() const { return waiting_; }

  /// Rows that changed since the last call, by key, each once; their generation is set here.
  void absorb(table_id table, std::vector<pending_row> changed);

  /// The next delta, or nothing: the window is full, the session has ended, or nothing changed
  /// (which `beat` sends all the same, so that a quiet shard's `accepted_ms` moves on).
  std::optional<delta_plan> plan(const feed_position& now, bool beat = false);
  /// The subscriber has everything through delta `number`.
  void acknowledge(std::uint64_t number);
  /// The subscriber has everything through delta `number` and asks for what follows again. Fails:
  /// gap (it was never sent, or more was acknowledged: begin a new session).
  result<void> resume(std::uint64_t number);

  /// More than `pending_max` rows wait: forget this session and begin a new one.
  bool has_lapsed() const { return lapsed_; }
  std::size_t pending_rows_at_most() const;
  std::size_t in_flight() const { return in_flight_.size(); }
  std::size_t bytes() const;

 private:
  using table_rows = std::vector<std::vector<pending_row>>;  // of each table
  struct sent_delta {
    std::uint64_t number = 0;
    std::uint32_t oldest = 0;  // generation of its rows
    table_rows rows;
  };

  std::uint32_t open_generation() const {
    return first_generation_ + static_cast<std::uint32_t>(generations_.size());
  }
  /// Takes rows out of `first_` and `pending_` for one delta.
  table_rows choose();
  /// Rows of `first_`; takes what they weigh from `bytes`.
  table_rows choose_first(std::size_t& bytes);
  table_rows choose_within(std::size_t bytes);
  std::uint32_t oldest_pending();
  void forget_generations();

  std::uint64_t session_;
  /// Of each table: what a row weighs, at least its share of the rows that a delta may have, so
  /// that what is within the bytes is within the rows.
  std::vector<std::size_t> row_bytes_;
  feed_limits limits_;
  std::vector<pending_rows> first_;        // of each table: of the first generation, never sent
  std::vector<pending_rows> pending_;      // of each table: all others
  std::deque<feed_position> generations_;  // closed ones: what holds once each is sent
  std::uint32_t first_generation_ = 0;     // number of generations_[0]
  std::uint32_t oldest_ = 0;               // of what was pending after the last plan
  std::deque<sent_delta> in_flight_;
  std::uint64_t number_ = 0;  // of the last delta sent
  std::uint64_t acknowledged_ = 0;
  std::uint64_t follows_ = 0;  // of the next delta
  delta_plan last_;            // the last one, without keys
  bool waiting_ = false;
  bool lapsed_ = false;
};

}  // namespace headrace::ps
