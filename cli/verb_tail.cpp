#include "base/clock.hpp"
#include "base/json_line.hpp"
#include "cli/event_log_view.hpp"
#include "cli/moment.hpp"
#include "cli/standard_output.hpp"
#include "cli/verbs.hpp"
#include "worker/events/event_text.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

namespace headrace::cli {
namespace {

constexpr std::uint64_t newest_events = 10;
constexpr std::chrono::milliseconds look_every{100};
constexpr std::size_t text_bytes = std::size_t{1} << 16;

struct tail_flags {
  std::filesystem::path state;
  std::string source;
  std::string from;
  std::uint64_t count = newest_events;
  bool counted = false;
  bool follow = false;
  bool json = false;
};

/// Prints events until it has printed enough.
class event_printer {
 public:
  event_printer(bool json, std::uint64_t skip, std::uint64_t most)
      : json_(json), skip_(skip), most_(most) {}

  /// False: enough.
  result<bool> print(const event_log_view::record& record) {
    if (record.passed_over > 0)
      std::fprintf(stderr,
                   "headrace: %" PRIu64 " records before record %" PRIu64 " are no longer kept\n",
                   record.passed_over,
                   record.position.value);
    for (std::size_t i = 0; i < record.batch->events.size() && most_ > 0; ++i) {
      if (!record.has(i)) continue;
      if (skip_ > 0) {
        --skip_;
        continue;
      }
      --most_;
      add(record, i);
    }
    if (text_.size() >= text_bytes) {
      if (auto flushed = flush(); !flushed) return flushed.error();
    }
    return most_ > 0;
  }
  result<void> flush() {
    auto wrote = write_output(text_);
    text_.clear();
    return wrote;
  }
  bool enough() const { return most_ == 0; }

 private:
  void add(const event_log_view::record& record, std::size_t i) {
    const schemas::event_batch& batch = *record.batch;
    const schemas::event_head& event = batch.events[i];
    if (json_) {
      text_ += "{\"record\":" + std::to_string(record.position.value) +
               ",\"place\":" + std::to_string(i) +
               ",\"arrived\":" + std::to_string(record.arrived_ms) + ",\"producer\":";
      append_json_string(text_, batch.producer);
      if (!batch.partition.empty()) {
        text_ += ",\"partition\":";
        append_json_string(text_, batch.partition);
      }
      text_ += ',';
    } else {
      text_ += std::to_string(record.position.value) + "." + std::to_string(i) + "  " +
               moment_text(record.arrived_ms) + "  {";
    }
    worker::append_event_members(batch, event, event.id, text_);
    text_ += "}\n";
  }

  bool json_;
  std::uint64_t skip_;
  std::uint64_t most_;
  std::string text_;
};

result<void> print_events(const tail_flags& flags, stop_signals& signals) {
  auto log = event_log_view::open(flags.state, flags.source);
  if (!log) return log.error();
  event_log_view::place begin;
  std::uint64_t most = UINT64_MAX;
  if (flags.from.empty()) {
    const auto newest = log->newest(flags.count);
    if (!newest) return newest.error();
    begin = *newest;
  } else {
    const auto from = log->point(flags.from, "--from", system_clock().now_ms());
    if (!from) return from.error();
    begin.from = *from;
    if (flags.counted) most = flags.count;
  }
  if (auto begun = log->begin_at(begin.from); !begun) return begun;
  event_printer printer(flags.json, begin.skip, most);
  while (!printer.enough()) {
    auto read = log->read([&](const event_log_view::record& record) -> result<bool> {
      const auto more = printer.print(record);
      if (!more) return more;
      return *more && !signals.wait(std::chrono::milliseconds(0));
    });
    if (auto wrote = printer.flush(); !wrote) return wrote;
    if (!read || !flags.follow) return read;
    if (signals.wait(look_every) || output_is_closed()) return {};
  }
  return {};
}

int tail(const tail_flags& flags, stop_signals& signals) {
  expect_closed_output();
  const auto done = print_events(flags, signals);
  if (!done && done.error().code != errc::cancelled) return report_error(done.error());
  return exit_done;
}

}  // namespace

void add_tail(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<tail_flags>();
  auto* verb = app.add_subcommand(
      "tail", "show the events of a live job's log, newest last, also while it runs");
  verb->add_option("state,--state", flags->state, "state folder")->required();
  verb->add_flag("-f,--follow", flags->follow, "go on with what comes, until Ctrl-C");
  verb->add_option("--from",
                   flags->from,
                   "begin at a record's number, or at what arrived at 2026-11-26T10:00:00Z, 15m "
                   "(ago) or later");
  auto* count = verb->add_option("-n,--events",
                                 flags->count,
                                 "so many of the newest; with --from at most so many from there")
                    ->capture_default_str();
  verb->add_option("--source", flags->source, "whose log, where the folder has several");
  verb->add_flag("--json", flags->json, "one line of JSON for each event");
  verb->callback([flags, count, &context] {
    flags->counted = count->count() > 0;
    context.status = tail(*flags, context.signals);
  });
}

}  // namespace headrace::cli
