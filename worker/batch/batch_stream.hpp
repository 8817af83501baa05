#pragma once

#include "base/frame.hpp"
#include "base/result.hpp"
#include "schemas/sample.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace headrace::worker {

using sample_batch_ptr = std::shared_ptr<const schemas::sample_batch>;

/// Sealed batches of one source in the order of their numbers, each once: what a worker trains on.
///
/// Implementations: sealed_stream.hpp, whose source and sample log are in this process, and
/// actors/fetched_stream.hpp, which asks the process that has them. Single-threaded: the ingest
/// actor owns it.
class batch_stream {
 public:
  static constexpr std::uint64_t never = UINT64_MAX;  // a live source wakes whoever waits

  struct pumped {
    sample_batch_ptr batch = nullptr;  // null: nothing ready
    std::uint64_t wake_ns = 0;  // when to ask again if nothing is ready; steady clock, or never
    bool finished = false;      // every batch was given out
    bool halted = false;        // every batch of the passes so far was given out
    frame bytes = {};           // as it lies in the sample log, where that is in this process
  };

  virtual ~batch_stream() = default;
  /// Of what `next` fails with: ask again later, nothing is lost.
  static constexpr bool is_passing(errc code) {
    return code == errc::disk_full || code == errc::unavailable;
  }
  /// The next batch. Fails: what is_passing; anything else is for good.
  virtual result<pumped> next() = 0;
  /// The source's last batch was given out, in this run or an earlier one.
  virtual bool finished() const = 0;
  /// So many more of the batches given out, in order, were acknowledged by every shard.
  virtual void learned(std::uint32_t batches) { static_cast<void>(batches); }
  /// Passes whose records were all sealed.
  virtual std::uint64_t passes() const { return 0; }
  /// After a halt: on with the next pass.
  virtual void go_on() {}
  /// Gives out what there is now and ends.
  virtual void finish_early() = 0;
  /// `wake` is called, on any thread, whenever there may be more. Empty ends that.
  virtual void on_more(const std::function<void()>& wake) = 0;
  /// Releases what it holds.
  virtual result<void> close() = 0;

  /// More may always follow.
  virtual bool live() const = 0;
  /// What the source could not read so far.
  struct refused_rows {
    std::uint64_t total = 0;
    std::string first;
    std::string reasons;  // such as "3 not_a_number, 1 too_long"
  };
  virtual refused_rows refused() const = 0;
};

}  // namespace headrace::worker
