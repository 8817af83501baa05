#include "base/clock.hpp"
#include "base/json_line.hpp"
#include "base/parse_number.hpp"
#include "cli/event_log_view.hpp"
#include "cli/replay_output.hpp"
#include "cli/standard_output.hpp"
#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace headrace::cli {
namespace {

constexpr double slowest = 1e-6;
constexpr double fastest = 1e9;
constexpr double longest_wait_ms = 3.6e6;  // asked again behind it

struct replay_flags {
  std::filesystem::path state;
  std::string source;
  std::string to;
  std::string speed = "max";
  std::string from;
  std::string until;
  std::string token;
  std::string producer;
  bool json = false;
};

/// What is replayed, and how fast.
struct replay_order {
  lsn from{1};
  lsn until;                    // the record behind the last
  std::optional<double> speed;  // times as fast as it came; none: as fast as it is taken
};

result<replay_order> order_of(const replay_flags& flags, const event_log_view& log) {
  replay_order order;
  order.until = lsn{log.last().value + 1};
  const std::uint64_t now_ms = system_clock().now_ms();
  if (!flags.from.empty()) {
    const auto from = log.point(flags.from, "--from", now_ms);
    if (!from) return from.error();
    order.from = *from;
  }
  if (!flags.until.empty()) {
    const auto until = log.point(flags.until, "--until", now_ms);
    if (!until) return until.error();
    order.until = std::min(order.until, *until);
  }
  if (flags.speed == "max") return order;
  order.speed = parse_number<double>(flags.speed);
  if (order.speed && *order.speed >= slowest && *order.speed <= fastest) return order;
  return error{
      errc::bad_config,
      "--speed '" + flags.speed + "': write 1 (as it came), 10 (ten times as fast), 0.5, or max"};
}

/// Holds records back until they are due.
class replay_pace {
 public:
  replay_pace(std::optional<double> speed, stop_signals& signals)
      : speed_(speed), signals_(signals) {}

  /// True when a signal asked for the end. `output` gets what was gathered before a pause.
  result<bool> wait_for(std::uint64_t arrived_ms, replay_output& output) {
    if (signals_.wait(std::chrono::milliseconds(0))) return true;
    if (!speed_) return false;
    const system_clock time;
    if (!first_ms_) {
      first_ms_ = arrived_ms;
      begun_ns_ = time.steady_ns();
    }
    const double due_ms = static_cast<double>(arrived_ms - *first_ms_) / *speed_;
    while (true) {
      const double early_ms =
          std::ceil(due_ms - static_cast<double>(time.steady_ns() - begun_ns_) / 1e6);
      if (early_ms <= 0.0) return false;
      if (auto sent = output.flush(); !sent) return sent.error();
      const auto wait_ms = static_cast<std::int64_t>(std::min(early_ms, longest_wait_ms));
      if (signals_.wait(std::chrono::milliseconds(wait_ms))) return true;
    }
  }

 private:
  std::optional<double> speed_;
  stop_signals& signals_;
  std::optional<std::uint64_t> first_ms_;
  std::uint64_t begun_ns_ = 0;
};

/// True when a signal asked for the end.
result<bool> replay_all(event_log_view& log,
                        const replay_order& order,
                        replay_output& output,
                        stop_signals& signals) {
  if (order.from >= order.until) return false;
  if (auto begun = log.begin_at(order.from); !begun) return begun.error();
  replay_pace pace(order.speed, signals);
  bool ended = false;
  auto read = log.read([&](const event_log_view::record& record) -> result<bool> {
    if (record.position >= order.until) return false;
    if (record.passed_over > 0)
      std::fprintf(stderr,
                   "headrace: %" PRIu64 " records before record %" PRIu64 " are no longer kept\n",
                   record.passed_over,
                   record.position.value);
    const auto stop = pace.wait_for(record.arrived_ms, output);
    if (!stop) return stop.error();
    ended = *stop;
    if (ended) return false;
    if (auto added = output.add(record); !added) return added.error();
    return true;
  });
  if (!read) return read.error();
  return ended;
}

/// On standard error, so that events stay alone.
void print_end(const replay_output::counters& count, bool json) {
  if (json) {
    json_line line;
    line.add("accepted", count.accepted)
        .add("duplicates", count.duplicates)
        .add("refused", count.refused);
    std::fprintf(stderr, "%s\n", line.text().c_str());
    return;
  }
  std::fprintf(stderr,
               "%" PRIu64 " events accepted, %" PRIu64 " there before, %" PRIu64 " refused\n",
               count.accepted,
               count.duplicates,
               count.refused);
}

void print_where(const replay_order& order, lsn reached) {
  const std::uint64_t next = std::max(order.from.value, reached.value + 1);
  std::fprintf(stderr,
               "headrace: stopped before record %" PRIu64 "; go on with --from %" PRIu64 "\n",
               next,
               next);
}

int replay(const replay_flags& flags, stop_signals& signals) {
  expect_closed_output();
  auto log = event_log_view::open(flags.state, flags.source);
  if (!log) return report_error(log.error());
  const auto order = order_of(flags, *log);
  if (!order) return report_error(order.error());
  const auto output = open_replay_output(
      {.uri = flags.to,
       .token = flags.token,
       .producer = flags.producer,
       .wait = [&signals](std::chrono::milliseconds ms) { return signals.wait(ms); }});
  if (!output) return report_error(output.error());
  const auto ended = replay_all(*log, *order, **output, signals);
  const auto finished = ended ? (*output)->finish() : result<void>(ended.error());
  const auto count = (*output)->count();
  const bool interrupted =
      (ended && *ended) || (!finished && finished.error().code == errc::cancelled);
  if (!flags.to.empty()) print_end(count, flags.json);
  if (finished && !interrupted) {
    if (count.refused == 0) return exit_done;
    return report_error(
        {errc::bad_input,
         std::to_string(count.refused) + " events were refused; the last: " + count.last_refusal});
  }
  if (interrupted && output_is_closed()) return exit_done;  // whoever read had enough
  print_where(*order, (*output)->reached());
  return interrupted ? exit_interrupted : report_error(finished.error());
}

}  // namespace

void add_replay(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<replay_flags>();
  auto* verb = app.add_subcommand(
      "replay", "push the events of a live job's log to another job, or print them");
  verb->add_option("state,--state", flags->state, "state folder of the job, running or not")
      ->required();
  verb->add_option("--to",
                   flags->to,
                   "http://HOST:PORT, zmq://HOST:PORT or zmq:///PATH of a running job (default: "
                   "JSON lines on standard output)");
  verb->add_option("--speed",
                   flags->speed,
                   "1: as they came, 10: ten times as fast; max: as fast as they are taken")
      ->capture_default_str();
  verb->add_option("--from",
                   flags->from,
                   "first record by its number, or what arrived at 2026-11-26T10:00:00Z, 15m (ago) "
                   "or later (default: the oldest)");
  verb->add_option("--until",
                   flags->until,
                   "the record behind the last, or the time before which it arrived (default: the "
                   "end of the log now)");
  verb->add_option("--token", flags->token, "of the producer, with --to")
      ->envname("HEADRACE_TOKEN");
  verb->add_option(
      "--producer", flags->producer, "who pushes, with --to (default: who pushed to the log)");
  verb->add_option("--source", flags->source, "whose log, where the folder has several");
  verb->add_flag("--json", flags->json, "what became of the events as a line of JSON, with --to");
  verb->callback([flags, &context] { context.status = replay(*flags, context.signals); });
}

}  // namespace headrace::cli
