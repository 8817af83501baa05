#include "base/clock.hpp"
#include "base/json_line.hpp"
#include "cli/flag_choice.hpp"
#include "cli/generated_output.hpp"
#include "cli/verbs.hpp"
#include "worker/events/event_generator.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

namespace headrace::cli {
namespace {

constexpr std::uint64_t endless = 1'000'000'000'000;

struct generate_flags {
  worker::generator_spec spec;
  double delay_mean_s = 5.0;
  double live_rate = 0.0;  // 0: as fast as they are taken
  std::string out;
  std::string to;
  std::string token;
  generated_format format = generated_format::json;
  bool truth = false;
};

result<std::unique_ptr<generated_output>> open_output(const generate_flags& flags) {
  if (flags.to.empty()) return open_text_output(flags.out, flags.format, flags.spec.seed);
  if (!flags.out.empty()) return error{errc::bad_config, "--out and --to: give one of them"};
  return open_push_output(flags.to, flags.token, flags.spec.seed);
}

/// True when a signal asked for the end.
result<bool> write_all(worker::event_generator& made,
                       generated_output& output,
                       bool live,
                       verb_context& context) {
  const system_clock time;
  std::uint64_t count = 0;
  for (worker::generated_event one; made.next(one); ++count) {
    const std::uint64_t now = live ? time.now_ms() : one.time_ms;
    const std::uint64_t early = one.time_ms > now ? one.time_ms - now : 0;
    if (early > 0) {
      if (auto sent = output.flush(); !sent) return sent.error();
    }
    if (early > 0 || count % 1'024 == 0) {
      if (context.signals.wait(std::chrono::milliseconds(early))) return true;
    }
    if (auto added = output.add(one); !added) return added.error();
  }
  return false;
}

/// On standard error, so that the events stay alone.
void print_truth(const worker::generator_truth& truth) {
  json_line line;
  line.add("impressions", truth.impressions)
      .add("clicks", truth.clicks)
      .add("buys", truth.buys)
      .add("best_click_logloss", truth.click_logloss)
      .add("best_buy_logloss", truth.buy_logloss)
      .add("click_rate_logloss", truth.click_logloss_of_rate);
  std::fprintf(stderr, "%s\n", line.text().c_str());
}

int generate(generate_flags flags, verb_context& context) {
  const bool live = flags.live_rate != 0.0;
  flags.spec.delay_mean_ms =
      static_cast<std::uint64_t>(std::clamp(flags.delay_mean_s, 0.0, 1e9) * 1'000.0);
  if (live) {
    flags.spec.rate = flags.live_rate;
    flags.spec.start_ms = system_clock().now_ms();
  }
  if (flags.spec.events == 0) flags.spec.events = endless;
  if (auto fine = worker::check(flags.spec); !fine) return report_error(fine.error());
  auto output = open_output(flags);
  if (!output) return report_error(output.error());
  worker::event_generator made(flags.spec);
  const auto ended = write_all(made, **output, live, context);
  if (!ended) return report_error(ended.error());
  if (auto finished = (*output)->finish(); !finished) return report_error(finished.error());
  if (flags.truth) print_truth(made.truth());
  return *ended ? exit_interrupted : exit_done;
}

void add_stream(CLI::App& verb, worker::generator_spec& spec) {
  verb.add_option("--users", spec.users, "distinct users, by Zipf")->capture_default_str();
  verb.add_option("--items", spec.items, "distinct items, by Zipf")->capture_default_str();
  verb.add_option("--zipf", spec.zipf, "exponent of both")->capture_default_str();
  verb.add_option("--repeat", spec.repeat_share, "share of impressions that repeat a recent item")
      ->capture_default_str();
  verb.add_option("--drift-every",
                  spec.drift_every,
                  "impressions in which all popular items are others, one by one; 0: never")
      ->capture_default_str();
  verb.add_option("--click-rate", spec.click_rate, "clicks of an impression, on average")
      ->capture_default_str();
  verb.add_option("--buy-rate", spec.buy_rate, "purchases of a click, on average")
      ->capture_default_str();
  verb.add_option("--burst", spec.burst, "a second in ten is so many times as busy")
      ->capture_default_str();
  verb.add_option(
          "--shift-at", spec.shift_at, "impression from which on users like other things; 0: never")
      ->capture_default_str();
  verb.add_option("--seed", spec.seed, "the same seed gives the same events")
      ->capture_default_str();
}

}  // namespace

void add_generate(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<generate_flags>();
  auto* verb = app.add_subcommand(
      "generate", "print or push a made-up stream of impressions, clicks and purchases");
  verb->add_option(
          "--events", flags->spec.events, "impressions and actions together; 0: until Ctrl-C")
      ->capture_default_str();
  add_stream(*verb, flags->spec);
  verb->add_option(
          "--delay-mean", flags->delay_mean_s, "seconds to a click, on average; ten times to a buy")
      ->capture_default_str();
  verb->add_option("--rate",
                   flags->live_rate,
                   "events a second, live, with times of now; 0: at once, 1000 a second from "
                   "2026-01-01 on")
      ->capture_default_str();
  add_choice<generated_format>(*verb,
                               "--format",
                               flags->format,
                               {{"json", generated_format::json}, {"csv", generated_format::csv}},
                               "lines of what");
  verb->add_option("--out", flags->out, "file to write (default: standard output)");
  verb->add_option("--to", flags->to, "tcp://127.0.0.1:PORT or ipc:///PATH to push to");
  verb->add_option("--token", flags->token, "of the producer, with --to");
  verb->add_flag("--truth",
                 flags->truth,
                 "at the end, on standard error: the logloss of the true model, the best possible");
  verb->callback([flags, &context] { context.status = generate(*flags, context); });
}

}  // namespace headrace::cli
