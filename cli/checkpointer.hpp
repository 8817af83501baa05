#pragma once

#include "actors/server_node.hpp"
#include "base/result.hpp"
#include "cli/checkpoint_cut.hpp"
#include "cli/job/checkpoint_section.hpp"
#include "cli/log_holds.hpp"
#include "schemas/control.hpp"
#include "storage/checkpoint_archive.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace headrace::cli {

/// Takes checkpoints of a running server on a thread of its own: by time, by batches, when asked.
///
/// A checkpoint that fails costs nothing but itself: it is logged, counted and tried again, at the
/// latest a minute later. One that would say what the newest says already is left out, unless
/// somebody asked for it.
class checkpointer {
 public:
  /// Opens the archive of `how.to`. `of.node` is not needed yet. Until the archive was listed, logs
  /// are held whole where `how.keep_log` wants them for it. Fails: bad_config, io_error.
  static result<std::unique_ptr<checkpointer>> open(cut_parts of, checkpoint_spec how);
  ~checkpointer() { stop(); }

  /// Begins. The node must outlive `stop`.
  void begin(actors::server_node& node);
  /// Gives up what is under way and ends the thread. Idempotent.
  void stop();

  /// Asks for a checkpoint, or how far one is: a token is one request. Any thread.
  schemas::checkpoint_reply ask(const schemas::checkpoint_request& request);
  /// When the newest one in the archive was taken; 0 = none, or not known yet. Any thread.
  std::uint64_t newest_ms() const { return newest_ms_; }
  /// Of this process. Any thread.
  std::uint64_t taken() const { return taken_; }
  std::uint64_t failed() const { return failed_; }
  /// What the newest of them took; 0: none.
  std::uint64_t took_ms() const { return took_ms_; }

 private:
  checkpointer(cut_parts of, checkpoint_spec how, std::unique_ptr<storage::object_store> store);
  void run();
  result<void> learn_archive();
  bool due();
  void take();
  result<schemas::checkpoint_reply> take_one();
  void release_logs();
  std::optional<std::vector<lsn>> applied();
  void answer(const std::vector<std::uint64_t>& tokens, const schemas::checkpoint_reply& reply);
  /// Requests without an answer.
  std::vector<std::uint64_t> waiting();
  std::filesystem::path scratch_home() const { return of_.folder->root() / "checkpoint.tmp"; }

  cut_parts of_;
  checkpoint_spec how_;
  storage::checkpoint_archive archive_;
  std::atomic<std::uint64_t> newest_ms_{0};
  std::atomic<std::uint64_t> taken_{0};
  std::atomic<std::uint64_t> failed_{0};
  std::atomic<std::uint64_t> took_ms_{0};
  std::atomic<bool> stopping_{false};
  // Of the thread.
  bool archive_known_ = false;
  std::vector<lsn> last_cut_;       // of the newest one that this process took
  std::uint64_t try_again_ns_ = 0;  // after a failure
  std::uint64_t looked_ns_ = 0;     // when records were last counted
  std::uint64_t scratches_ = 0;
  // Shared with those who ask.
  std::mutex mutex_;
  std::condition_variable asked_;
  std::map<std::uint64_t, std::optional<schemas::checkpoint_reply>> requests_;  // by token
  std::thread thread_;
};

}  // namespace headrace::cli
