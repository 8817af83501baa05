#pragma once

#include "actors/http/event_feed.hpp"
#include "actors/http/http_server.hpp"
#include "cli/pages/dashboard_view.hpp"

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace headrace::cli {

/// The page that shows a running job, and what keeps it up to date:
///
///   GET /                      the page as of the last `show`
///   GET /dashboard.js          its script
///   GET /v1/dashboard/events   parts that changed, as server-sent events
///
/// Thread-safe; the mutex guards what the page is made of. The page is written when it is asked
/// for, changes only while somebody listens.
class dashboard {
 public:
  dashboard();
  ~dashboard();
  dashboard(const dashboard&) = delete;
  dashboard& operator=(const dashboard&) = delete;

  /// The newest figures, about once a second, and all points so far. One thread.
  void show(dashboard_view now, const std::vector<series_point>& points);
  /// They share this; a route may outlive it.
  std::vector<actors::http_route> routes() const;

 private:
  struct shown;
  std::shared_ptr<shown> shown_;
};

}  // namespace headrace::cli
