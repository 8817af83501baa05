#pragma once

#include "worker/events/event_intake.hpp"
#include "worker/events/event_reader.hpp"
#include "worker/events/event_schema.hpp"
#include "worker/events/join_board.hpp"
#include "worker/events/stream_cut.hpp"
#include "worker/events/text_board.hpp"
#include "worker/events/window_board.hpp"
#include "worker/ingest/event_source.hpp"
#include "worker/ingest/window_features.hpp"
#include "worker/join/joiner.hpp"
#include "worker/text/text_filter.hpp"

#include <cstdint>
#include <deque>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace headrace::worker {

/// The samples of a live stream: what the event log holds, joined where the job joins, in log
/// order.
///
/// An event whose texts the job doesn't learn from is left out before windows and join see it, as a
/// row of a file is: an action of it finds no impression.
///
/// A record here is a sample, counted since the log was begun; row numbers are those counts. The
/// same log gives the same samples, so a position is enough to go on after a restart: reading
/// begins at the last *cut* (stream_cut.hpp), which is kept in a file once everything that was made
/// of it is sealed, and the log before it is given up as far as retention allows. One thread (the
/// ingest actor's), beside the intake's.
class live_source final : public event_source {
 public:
  struct settings {
    std::optional<join_spec> join = {};
    std::shared_ptr<storage::spill_store> spill = {};  // of the join; empty
    std::shared_ptr<join_board> board = {};            // where the join's figures go
    std::shared_ptr<window_board> of_windows = {};     // those of the windows
    std::shared_ptr<text_board> of_texts = {};         // and those of the texts
    source_spec source = {};  // the schema's: has its window features and its texts
    std::filesystem::path cut_file = {};
    std::uint64_t cut_bytes = std::uint64_t{64} << 20;  // of the log between two cuts, about
    bool may_lose_ends =
        false;  // of both logs, by their mode: then a cut may be ahead of what is sealed
    // What is kept of the log behind the newest cut: at most so much, and so old; 0 = no bound.
    std::uint64_t keep_bytes = 0;
    std::uint64_t keep_ms = 0;
  };
  /// What an earlier run kept in `file`; an empty cut where there is none. Fails: corrupt,
  /// io_error.
  static result<stream_cut> load_cut(const std::filesystem::path& file);

  /// Reads behind `from`; `intake` was opened with it. Fails: corrupt (the cut's joiner, windows or
  /// texts), wrong_job (impressions wait in it that another join, or one of other features, actions
  /// or texts, took).
  static result<std::unique_ptr<live_source>> open(std::shared_ptr<event_intake> intake,
                                                   event_schema schema,
                                                   settings how,
                                                   stream_cut from);
  ~live_source() override;

  result<bool> next(event& into) override;
  /// Where the log gives fewer samples, its end was lost (a power cut in a mode that allows it):
  /// counting goes on at `through`, with a line in the log. Fails also: corrupt when the cut begins
  /// behind `through`; wrong_job when samples up to there were made by another join than this one:
  /// it would make others of the same log. A stream that joins nothing has a sample for each event
  /// that was let in, whatever the job's columns are: those that no longer fit are bad rows.
  result<void> skip(std::uint64_t through) override;
  std::uint64_t position() const override { return position_; }
  /// Nobody knows: endless_records.
  result<std::uint64_t> count_records() const override { return endless_records; }
  const bad_rows& bad() const override { return bad_; }
  std::size_t features() const override { return schema_.features(); }
  bool live() const override { return true; }
  void on_more(const std::function<void()>& wake) override;
  /// Begins to write a cut that is due, on a thread of its own, and looks what became of the last
  /// one: a joiner's state is megabytes, and the disk may owe more. Fails as that did.
  result<void> sealed(std::uint64_t through) override;

  const joiner* join() const { return joiner_ ? &*joiner_ : nullptr; }
  const window_features& windows() const { return windows_; }
  const text_filter& texts() const { return filter_; }

 private:
  live_source(std::shared_ptr<event_intake> intake,
              event_schema schema,
              settings how,
              stream_cut from);
  result<void> load_windows(std::span<const std::byte> saved);
  result<void> load_texts(std::span<const std::byte> saved);
  result<bool> next_record();
  bool next_event(event& into);
  bool fits(std::size_t i);
  bool takes_texts(std::size_t i);
  result<void> claim(std::uint64_t through);
  error made_by_another() const;
  void feed_join(std::size_t i);
  bool take_joined(event& into);
  void tell_boards();
  void keep_time(std::uint64_t stamp_ms);
  std::uint64_t log_time() const { return cut_.stamp_ms - cut_.unwritten_ms; }
  result<void> end_record();
  result<stream_cut> state() const;
  result<void> cut(std::uint64_t stamp_ms);
  result<void> go_on_at(std::uint64_t through);
  result<void> give_up(const stream_cut& kept);

  std::shared_ptr<event_intake> intake_;
  event_schema schema_;
  settings how_;
  event_reader reader_;
  std::optional<joiner> joiner_;  // uses how_.spill
  window_features windows_;
  text_filter filter_;
  std::uint64_t position_ = 0;
  std::uint64_t read_until_ = UINT64_MAX;  // position: `skip` stops there
  std::uint64_t made_by_ = 0;              // this job's

  // The record at work.
  logged_events_ptr record_;
  schemas::event_batch batch_;
  event_schema::names names_;
  std::size_t place_ = 0;  // of the next event in it

  stream_cut cut_;  // as of the records that were read; joiner and marks aside
  std::uint64_t bytes_since_cut_ = 0;
  std::uint64_t log_bytes_ = 0;
  std::deque<stream_cut::mark> marks_;
  std::optional<stream_cut> waiting_cut_;    // until what was made of it is sealed
  std::future<result<stream_cut>> writing_;  // its file; the cut without its states
  std::uint64_t next_cut_bytes_;

  event parsed_;
  std::vector<window_input> fed_;
  std::vector<std::string> texts_;  // of the event at work, clean
  std::vector<std::byte> kept_;
  windows_figures windows_now_;
  std::vector<std::byte> packed_;
  bad_rows bad_{UINT64_MAX};  // the gate lets none in, but that of another job file did
};

}  // namespace headrace::worker
