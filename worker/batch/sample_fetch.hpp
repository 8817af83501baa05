#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/samples.hpp"
#include "worker/batch/batch_stream.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

namespace headrace::worker {

/// The asking side of sample_shelf.hpp: what to ask for when, and the batches that came, checked,
/// in order, each once.
///
/// The first request waits for nothing, so that whoever starts knows at once that somebody is
/// there. One request is under way at a time; it is sent again when no answer comes within what it
/// may wait and `patience_ms`, later and later up to `pause_ms_max`, for ever: a process that is
/// started anew goes on where the last one was. Damaged bytes are dropped and asked for again. No
/// socket, no clock. Single-threaded.
class sample_fetch {
 public:
  struct settings {
    /// What each request says; from, learned, covered and last_hash are filled in.
    schemas::samples_request about;
    std::size_t held_bytes_max = std::size_t{16} << 20;  // that wait to be taken, about
    std::uint64_t patience_ms = 1'000;
    std::uint64_t tell_ms = 1'000;    // at most between two requests, so that learned is known
    std::uint64_t idle_pause_ms = 5;  // behind an answer without batches
    std::uint64_t pause_ms_least = 50;
    std::uint64_t pause_ms_max = 2'000;
  };
  /// The next to be given out is `first`; all before it are learned.
  sample_fetch(settings how, batch_number first);

  struct request {
    std::uint64_t id = 0;
    schemas::samples_request asks;
  };
  /// What to send now, if anything. `covered`: see samples_request.
  std::optional<request> due(std::uint64_t now_ns, batch_number covered);
  /// An answer as it came; one to an earlier request is nothing. Fails for good: wrong_job,
  /// bad_protocol, corrupt, too_large and whatever else the other side says that asking again can't
  /// change.
  result<void> take(std::uint64_t id, const frame& bytes, std::uint64_t now_ns);
  /// The next batch, or null.
  sample_batch_ptr pop();
  /// When `due` may have something: steady clock, or never.
  std::uint64_t wake_ns() const;

  void learned(std::uint32_t batches) { learned_ = batch_number{learned_.value + batches}; }
  /// Gives out what is sealed by now and no more. Where nobody answers, what is held.
  void finish_early() { stopping_ = true; }
  /// Everything was given out.
  bool finished() const;

  /// An answer came.
  bool greeted() const { return greeted_; }
  /// Why there are no samples now, for people: nobody answers, damaged bytes. Empty: all is well.
  const std::string& trouble() const { return trouble_; }
  std::uint64_t stream() const { return stream_; }
  std::uint64_t records() const { return records_; }
  bool live() const { return live_; }
  const batch_stream::refused_rows& refused() const { return refused_; }

 private:
  struct held {
    sample_batch_ptr batch;
    std::size_t bytes = 0;
  };
  result<void> accept(const schemas::samples_reply& reply, std::uint64_t now_ns);
  result<void> add(const schemas::samples_reply& reply, std::uint64_t now_ns);
  void pause(std::string why, std::uint64_t now_ns);
  bool wants_more() const;

  settings how_;
  batch_number next_;            // to ask for
  std::uint64_t last_hash_ = 0;  // of the one before; 0: not known
  batch_number learned_;         // through
  std::deque<held> held_;
  std::size_t held_bytes_ = 0;
  std::uint64_t last_id_ = 0;
  std::uint64_t told_ns_ = 0;   // the newest request was sent then
  std::uint64_t act_ns_ = 0;    // when it is overdue, or when to ask
  std::uint64_t pause_ms_ = 0;  // the last one; 0: all was well
  std::string trouble_;
  std::uint64_t stream_ = 0;
  std::uint64_t records_ = 0;
  batch_stream::refused_rows refused_;
  std::optional<batch_number> last_;  // there is none behind it
  bool awaiting_ = false;             // the answer to last_id_
  bool live_ = false;
  bool greeted_ = false;
  bool stopping_ = false;
};

}  // namespace headrace::worker
