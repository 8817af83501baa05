#include "cli/telemetry/shard_series.hpp"

#include "base/result.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace headrace::cli {
namespace {

// What pushes are refused for in ordinary life: each has its series from the start.
constexpr std::array usual_refusals{errc::gap,
                                    errc::overloaded,
                                    errc::stale_gradient,
                                    errc::quarantined,
                                    errc::norm_exceeded,
                                    errc::not_finite};

void say_rows(const schemas::status_reply& now, const std::string& shard, metrics_page& page) {
  const metric_labels labels{{"shard", shard}};
  page.measure("headrace_shard_rows", "Live rows.", now.rows, labels);
  page.measure(
      "headrace_shard_memory_bytes", "Held by the tables, index included.", now.bytes, labels);
  page.count("headrace_shard_pushes_applied_total",
             "Pushes applied, over all runs of the state folder.",
             now.version,
             labels);
  page.count("headrace_shard_records_total",
             "Records of the update log that were applied, over all runs.",
             now.lsn.value,
             labels);
  page.measure("headrace_shard_unflushed_records",
               "Records applied that the row store does not have yet.",
               now.lsn.value - now.flushed.value,
               labels);
  page.measure(
      "headrace_shard_tail_rows", "Learned and not in the store yet.", now.tail_rows, labels);
  page.measure(
      "headrace_shard_tail_bytes", "The same as bytes of the log.", now.tail_bytes, labels);
  const auto read = [&](const char* from, std::uint64_t rows) {
    page.count("headrace_shard_rows_read_total",
               "Rows asked for, by where they lay.",
               rows,
               {{"shard", shard}, {"from", from}});
  };
  read("memory", now.hits);
  read("store", now.fetched);
  read("nowhere", now.absent);
  page.count("headrace_shard_rows_evicted_total", "Rows left to the store.", now.evicted, labels);
}

void say_trouble(const actors::shard_figures& now, const std::string& shard, metrics_page& page) {
  const metric_labels labels{{"shard", shard}};
  page.measure("headrace_shard_refusing",
               "1 while the log refuses pushes.",
               now.log_refuses ? 1 : 0,
               labels);
  page.measure("headrace_shard_rows_not_written",
               "1 while rows cannot be written to the store.",
               now.rows_not_written ? 1 : 0,
               labels);
  page.measure("headrace_shard_log_not_cut",
               "1 while records that nobody needs cannot be dropped.",
               now.log_not_cut ? 1 : 0,
               labels);
  page.measure("headrace_shard_quarantined_sources",
               "Sources whose pushes are voided until they are released.",
               now.quarantined,
               labels);
  auto refused = now.refused;
  for (const errc usual : usual_refusals) refused.try_emplace(usual, 0);
  for (const auto& [reason, pushes] : refused) {
    page.count("headrace_pushes_refused_total",
               "Pushes refused, by reason.",
               pushes,
               {{"shard", shard}, {"reason", std::string(name(reason))}});
  }
}

void say_transport(const actors::router::counters& now, metrics_page& page) {
  page.count(
      "headrace_transport_requests_total", "Requests of peers that were taken.", now.messages);
  const auto refused = [&page](const char* reason, std::uint64_t count) {
    page.count("headrace_transport_refused_total",
               "Requests, sections of them and answers that came to nothing, by reason.",
               count,
               {{"reason", reason}});
  };
  refused("malformed", now.malformed);
  refused("undeliverable", now.undeliverable);
  refused("overloaded", now.overloaded);
  refused("over_credit", now.refused);
}

void say_archive(const archive_figures& now, metrics_page& page) {
  const auto taken = [&page](const char* outcome, std::uint64_t count) {
    page.count("headrace_checkpoints_total",
               "Checkpoints of this process, by outcome.",
               count,
               {{"outcome", outcome}});
  };
  taken("taken", now.taken);
  taken("failed", now.failed);
  page.measure("headrace_checkpoint_duration_seconds",
               "What the newest one of this process took.",
               static_cast<double>(now.took_ms) / 1'000);
  if (!now.age_ms) return;
  page.measure("headrace_checkpoint_age_seconds",
               "Of the newest in the archive.",
               static_cast<double>(*now.age_ms) / 1'000);
}

}  // namespace

void say_shards(const server_figures& now, metrics_page& page) {
  for (const auto& each : now.shards) {
    const std::string shard = std::to_string(each.status.shard.value);
    const metric_labels labels{{"shard", shard}};
    page.measure(
        "headrace_shard_up", "0 while it is being started again.", each.is_up ? 1 : 0, labels);
    page.count(
        "headrace_shard_restarts_total", "Times it was started again.", each.restarts, labels);
    if (each.heard_ns == 0) continue;
    page.measure("headrace_shard_heard_age_seconds",
                 "How old its figures are.",
                 static_cast<double>(now.now_ns - std::min(now.now_ns, each.heard_ns)) / 1e9,
                 labels);
    say_rows(each.status, shard, page);
    say_trouble(each, shard, page);
  }
  say_transport(now.transport, page);
  if (now.archive) say_archive(*now.archive, page);
}

}  // namespace headrace::cli
