#include "cli/pages/dashboard.hpp"

#include "base/json_line.hpp"
#include "cli/pages/dashboard_page.hpp"

#include <utility>

namespace headrace::cli {
namespace {

constexpr std::size_t no_body = 0;
constexpr std::size_t page_bytes_max = std::size_t{512} << 10;  // about
constexpr double charts_every_seconds = 5;
constexpr double rates_over_seconds = 4;

}  // namespace

struct dashboard::shown {
  std::shared_ptr<actors::event_feed> feed = std::make_shared<actors::event_feed>();
  mutable std::mutex mutex;
  dashboard_view now;
  flow_counts before;
  std::vector<series_point> points;
  // Of the thread that shows.
  std::vector<flow_counts> counts;  // of the last seconds, oldest first
  double charts_at = -charts_every_seconds;
};

dashboard::dashboard() : shown_(std::make_shared<shown>()) {}
dashboard::~dashboard() = default;

void dashboard::show(dashboard_view now, const std::vector<series_point>& points) {
  auto& counts = shown_->counts;
  while (counts.size() > 1 && now.seconds - counts.front().seconds > rates_over_seconds)
    counts.erase(counts.begin());
  if (counts.empty()) counts.push_back(count_flow(now));
  const flow_counts before = counts.front();
  counts.push_back(count_flow(now));
  if (shown_->feed->listeners() > 0) {
    json_line line;
    for (const auto& part : figures_now(now, before)) line.add(part.id, part.html);
    if (now.seconds - shown_->charts_at >= charts_every_seconds || !now.stopped.empty()) {
      shown_->charts_at = now.seconds;
      for (const auto& part : charts_now(now, points)) line.add(part.id, part.html);
    }
    shown_->feed->publish(line.text());
  }
  const std::lock_guard lock(shown_->mutex);
  shown_->now = std::move(now);
  shown_->before = before;
  auto& kept = shown_->points;
  if (kept.size() > points.size()) kept.clear();
  kept.insert(kept.end(), points.begin() + static_cast<std::ptrdiff_t>(kept.size()), points.end());
}

std::vector<actors::http_route> dashboard::routes() const {
  const auto page = [shown = shown_](const actors::http_request&, const actors::http_reply& reply) {
    actors::http_answer answer;
    answer.content_type = "text/html; charset=utf-8";
    {
      const std::lock_guard lock(shown->mutex);
      answer.body = dashboard_page(shown->now, shown->before, shown->points);
    }
    reply(std::move(answer));
  };
  const auto script = [](const actors::http_request&, const actors::http_reply& reply) {
    actors::http_answer answer;
    answer.content_type = "text/javascript; charset=utf-8";
    answer.body = dashboard_script;
    reply(std::move(answer));
  };
  const auto events = [shown = shown_](const actors::http_request&,
                                       const actors::http_reply& reply) {
    actors::http_answer answer;
    answer.feed = shown->feed;
    reply(std::move(answer));
  };
  return {{"GET", "/", page, no_body, nullptr, page_bytes_max},
          {"GET", "/dashboard.js", script, no_body},
          {"GET", "/v1/dashboard/events", events, no_body}};
}

}  // namespace headrace::cli
