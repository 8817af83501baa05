#pragma once

#include "actors/http/http_server.hpp"
#include "actors/http/serve_routes.hpp"
#include "actors/replica_follower.hpp"
#include "actors/transport/context.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "cli/job/job_file.hpp"
#include "cli/telemetry/job_metrics.hpp"
#include "cli/telemetry/serve_series.hpp"
#include "serve/replica.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace headrace::cli {

/// Answers the predictions of a job in this process: a replica that follows the shards behind one
/// endpoint, and HTTP in front of it (docs/serving.md). Keeps nothing on disk: a new one begins
/// with all rows, and is ready when it has them.
class job_serve {
 public:
  struct options {
    std::string endpoint;  // of the shards
    std::string http;      // host:port
  };
  /// Answers at once, and says that it isn't ready until it is. A server that is away is waited
  /// for. Fails: bad_config, in_use (the port).
  static result<std::unique_ptr<job_serve>> start(actors::transport_context& context,
                                                  const job& job,
                                                  const options& how,
                                                  const clock& time);
  ~job_serve();

  /// "http://host:port", as bound.
  std::string url() const { return "http://" + http_->endpoints().front(); }
  /// Empty when ready, else the reason. Any thread.
  std::string not_ready() const;
  /// Any thread.
  serve_figures figures() const;
  /// What it has and was asked, as one line of JSON. Any thread.
  std::string status() const;
  /// Answers nothing more. Idempotent; called by the destructor.
  void stop();

 private:
  job_serve(const job& job, const clock& time) : spec_(job.serve), name_(job.name), time_(time) {}
  std::vector<actors::http_route> routes();

  const serve_spec spec_;
  const std::string name_;
  const clock& time_;
  std::shared_ptr<serve::replica> replica_;
  std::unique_ptr<actors::replica_follower> follower_;
  std::unique_ptr<actors::serve_routes> answers_;
  job_metrics metrics_;
  // http_, once it is there: those who ask it are answered from before.
  std::atomic<const actors::http_server*> asked_{nullptr};
  std::unique_ptr<actors::http_server> http_;
};

}  // namespace headrace::cli
