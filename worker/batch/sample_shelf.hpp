#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/samples.hpp"
#include "storage/ordered_log.hpp"
#include "worker/batch/batch_stream.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>

namespace headrace::worker {

/// Sealed batches for a worker in another process: the newest from memory, earlier ones from the
/// sample log, as they lie there. Says what is answered to a request, and how far sealing may run
/// ahead of what is learned.
///
/// One worker at a time trains a source: what the newest request says is learned counts. No socket,
/// no clock. Single-threaded: whoever seals owns it.
class sample_shelf {
 public:
  struct settings {
    schemas::source_id source;
    std::uint64_t job_fingerprint = 0;
    std::uint64_t made_by = 0;
    std::uint64_t stream = 0;   // names the sample log, never 0
    std::uint64_t records = 0;  // of the source
    bool live = false;
    std::size_t memory_bytes = std::size_t{32} << 20;  // of newest batches; one is always kept
    std::size_t reply_bytes_max = std::size_t{8} << 20;
    /// Of batches that were sealed by this process and are not learned: then sealing waits, so that
    /// a worker that is away fills no disk and producers are told that there is no room.
    std::size_t ahead_bytes = std::size_t{256} << 20;
  };
  /// The sample log behind it.
  struct kept_log {
    std::function<batch_number()> oldest;
    std::function<result<void>(batch_number, const storage::ordered_log::visitor&)> read;
  };
  /// `newest`: sealed by earlier processes.
  sample_shelf(settings how, kept_log log, batch_number newest);

  /// A batch was sealed: the one behind the newest.
  void put(const frame& bytes);
  /// No batch will follow.
  void end() { ended_ = true; }
  void refused(batch_stream::refused_rows rows) { refused_ = std::move(rows); }

  /// Sealing may go on.
  bool has_room() const { return ahead_bytes_ < how_.ahead_bytes; }
  /// The answer to a request, a refusal included; nothing while it waits for a batch, unless it has
  /// waited long enough.
  std::optional<schemas::samples_reply> answer(const schemas::samples_request& request,
                                               bool waited);
  /// What is told who asked for something that could not be read.
  static schemas::samples_reply refusal(const error& why);

  batch_number newest() const { return newest_; }
  /// As the newest good request says.
  batch_number learned() const { return learned_; }
  batch_number covered() const { return covered_; }

 private:
  std::optional<error> unfit(const schemas::samples_request& request) const;
  result<void> follows(const schemas::samples_request& request);
  void note(const schemas::samples_request& request);
  result<void> gather(batch_number from, std::size_t bytes_max, schemas::samples_reply& into);
  result<void> gather_logged(batch_number from,
                             std::size_t bytes_max,
                             schemas::samples_reply& into);
  schemas::samples_reply about(const schemas::samples_request& request) const;

  settings how_;
  kept_log log_;
  batch_number newest_;
  batch_number given_;  // no later one can have been learned
  batch_number learned_;
  batch_number covered_;
  bool ended_ = false;
  batch_stream::refused_rows refused_;
  std::deque<schemas::sealed_bytes> held_;  // the newest ones; the last is newest_
  std::size_t held_bytes_ = 0;
  // Of an earlier one, the newest that was read: who waits or goes on behind it costs no other
  // read.
  batch_number read_;
  std::uint64_t read_hash_ = 0;
  struct unlearned {
    batch_number batch;
    std::size_t bytes = 0;
  };
  std::deque<unlearned> ahead_;  // sealed by this process, oldest first
  std::size_t ahead_bytes_ = 0;
};

}  // namespace headrace::worker
