#pragma once

#include "actors/event_front.hpp"
#include "actors/feed_front.hpp"
#include "actors/http/event_routes.hpp"
#include "actors/http/http_server.hpp"
#include "actors/progress_board.hpp"
#include "actors/transport/context.hpp"
#include "actors/transport/router.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "cli/job/job_file.hpp"
#include "cli/live_metrics.hpp"
#include "storage/job_folder.hpp"
#include "worker/events/event_intake.hpp"
#include "worker/events/join_board.hpp"
#include "worker/events/live_source.hpp"
#include "worker/events/text_board.hpp"
#include "worker/events/window_board.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace headrace::cli {

/// The front half of a job whose events come live: the event log, the intake that fills it, and the
/// ways events come in. Goes on where an earlier run of the state folder ended.
class live_stream {
 public:
  /// Opens the event log in `folder`; nothing comes in yet. Fails: corrupt, io_error, bad_config.
  static result<std::unique_ptr<live_stream>> open(const job& job,
                                                   const storage::job_folder& folder,
                                                   const clock& time);
  ~live_stream();

  /// What training reads; once. Opens the join's spill store, which goes with the source. Fails:
  /// corrupt, in_use, disk_full, io_error.
  result<std::unique_ptr<worker::event_source>> source();
  /// Lets events in and answers who asks how it goes; `board` is looked at for the status, and
  /// ended when a broker fails for good. Fails: bad_config, in_use.
  result<void> serve(actors::transport_context& context,
                     std::shared_ptr<actors::progress_board> board);
  /// Where events are taken, as bound.
  const std::vector<std::string>& endpoints() const { return endpoints_; }

  worker::event_intake& intake() { return *intake_; }
  /// What was taken, refused and why, as one line of JSON.
  std::string status() const;
  /// Lets nothing more in; what was acknowledged is in the log. Idempotent.
  void close();
  /// `close`, then ends the intake.
  result<void> stop();

 private:
  explicit live_stream(const job& job) : job_(job) {}
  result<void> serve_http();
  std::vector<actors::http_route> routes();
  std::string not_ready() const;
  bool still_refuses(const worker::event_intake::refusal& last) const;
  live_figures figures() const;
  result<void> serve_zmq(actors::transport_context& context);
  result<void> fetch();

  job job_;
  std::filesystem::path cut_file_;
  std::filesystem::path log_folder_;
  std::filesystem::path spill_folder_;
  worker::stream_cut cut_;
  const clock* time_ = nullptr;
  std::shared_ptr<actors::progress_board> board_;
  std::shared_ptr<worker::join_board> join_board_ = std::make_shared<worker::join_board>();
  std::shared_ptr<worker::window_board> window_board_ = std::make_shared<worker::window_board>();
  std::shared_ptr<worker::text_board> text_board_ = std::make_shared<worker::text_board>();
  std::vector<worker::producer_token> tokens_;
  std::shared_ptr<worker::event_intake> intake_;
  live_metrics metrics_;
  std::vector<std::string> endpoints_;
  // Fronts, which offer to the intake.
  std::unique_ptr<actors::event_routes> routes_;
  std::unique_ptr<actors::http_server> http_;
  std::unique_ptr<actors::event_front> front_;
  std::shared_ptr<actors::router> router_;
  std::unique_ptr<actors::feed_front> feed_;
};

}  // namespace headrace::cli
