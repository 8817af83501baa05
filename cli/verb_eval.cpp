#include "base/clock.hpp"
#include "base/json_line.hpp"
#include "cli/job/read_text.hpp"
#include "cli/job_server.hpp"
#include "cli/state_eval.hpp"
#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace headrace::cli {
namespace {

using figures = worker::windowed_metrics::figures;

struct eval_flags {
  std::filesystem::path state;
  std::string data;
  std::string archive;
  std::vector<std::string> overrides;
  std::vector<std::string> versions{"now"};
  eval_order order;
  bool ranking = false;
  eval_order::ranking rank;
  bool json = false;
};

/// The job of the state folder with the source that the flags say.
result<job> job_of(const eval_flags& flags, const job& kept) {
  std::vector<std::string> overrides = flags.overrides;
  if (!flags.data.empty()) overrides.push_back("source.uri=" + flags.data);
  const auto file = flags.state / "job.toml";
  const auto text = read_text(file, "job file");
  if (!text) return text.error();
  auto described = parse_job(*text, file.string(), overrides);
  if (!described) return described.error();
  if (identity(*described) == identity(kept)) return described;
  return error{errc::wrong_job,
               "--set has other tables than the state has: only the source may differ"};
}

void add_figures(json_line& line, const figures& of) {
  line.add("first_row", of.first_row)
      .add("last_row", of.last_row)
      .add("samples", of.samples)
      .add("auc", of.auc)
      .add("logloss", of.logloss)
      .add("calibration", of.calibration)
      .add("label_1", of.positive_share)
      .add("not_finite", of.not_finite);
}

void add_windows(json_line& line, const std::vector<figures>& windows) {
  line.begin_array("windows");
  for (const figures& window : windows) {
    line.begin_object_item();
    add_figures(line, window);
    line.end();
  }
  line.end();
}

/// The first label's figures stand on the line itself; where there are several, each in `heads`.
std::string to_json(const std::string& job, const evaluation& one) {
  json_line line;
  line.add("job", job)
      .add("version", one.version)
      .add("pushes", one.pushes)
      .add("rows", one.rows)
      .add("bad_rows", one.bad_rows);
  add_figures(line, one.heads.front().all);
  if (one.ranking) {
    line.begin_object("ranking")
        .add("cases", one.ranking->cases())
        .add("candidates", one.candidates)
        .add("mrr", one.ranking->mean_reciprocal_rank())
        .add("mean_rank", one.ranking->mean_rank())
        .begin_array("at");
    for (const auto& at : one.ranking->figures())
      line.begin_object_item().add("k", at.k).add("hr", at.hit_rate).add("ndcg", at.ndcg).end();
    line.end().end();
  }
  add_windows(line, one.heads.front().windows);
  if (one.heads.size() == 1) return line.text();
  line.begin_array("heads");
  for (const auto& head : one.heads) {
    line.begin_object_item().add("label", head.name);
    add_figures(line, head.all);
    add_windows(line, head.windows);
    line.end();
  }
  return line.end().text();
}

std::string rows_text(const figures& of) {
  return std::to_string(of.first_row) + "-" + std::to_string(of.last_row);
}

void print_line(int width, const std::string& version, const std::string& rows, const figures& of) {
  std::printf("%-*s %21s %10" PRIu64 "  %.4f   %.4f  %11.3f  %7.4f\n",
              width,
              version.c_str(),
              rows.c_str(),
              of.samples,
              of.auc,
              of.logloss,
              of.calibration,
              of.positive_share);
}

void print_rankings(int width, const std::vector<evaluation>& all) {
  std::printf(
      "\n%-*s %10s %10s  %9s  %6s", width, "version", "cases", "candidates", "mean rank", "MRR");
  for (const auto& at : all.front().ranking->figures())
    std::printf("  %8s  %8s",
                ("HR@" + std::to_string(at.k)).c_str(),
                ("NDCG@" + std::to_string(at.k)).c_str());
  for (const evaluation& one : all) {
    std::printf("\n%-*s %10" PRIu64 " %10zu  %9.1f  %.4f",
                width,
                one.version.c_str(),
                one.ranking->cases(),
                one.candidates,
                one.ranking->mean_rank(),
                one.ranking->mean_reciprocal_rank());
    for (const auto& at : one.ranking->figures())
      std::printf("  %8.4f  %8.4f", at.hit_rate, at.ndcg);
  }
  std::puts("");
}

/// One head, window by window, in each the versions below one another; then all of it.
void print_head(int columns, const std::vector<evaluation>& all, std::size_t head) {
  std::printf("%-*s %21s %10s  %6s  %7s  %11s  %7s\n",
              columns,
              "version",
              "rows",
              "samples",
              "AUC",
              "logloss",
              "calibration",
              "label 1");
  for (std::size_t w = 0; w < all.front().heads[head].windows.size(); ++w) {
    for (const evaluation& one : all) {
      const figures& window = one.heads[head].windows[w];
      print_line(columns, one.version, rows_text(window), window);
    }
  }
  for (const evaluation& one : all) print_line(columns, one.version, "all", one.heads[head].all);
}

void print(const job& described, const std::vector<evaluation>& all) {
  std::size_t width = 7;
  for (const evaluation& one : all) width = std::max(width, one.version.size());
  const int columns = static_cast<int>(width);
  std::printf("%s, events of %s\n", described.name.c_str(), described.source.uri.c_str());
  const auto& heads = all.front().heads;
  for (std::size_t h = 0; h < heads.size(); ++h) {
    if (heads.size() > 1) std::printf("%slabel %s\n", h > 0 ? "\n" : "", heads[h].name.c_str());
    print_head(columns, all, h);
  }
  if (all.front().ranking) print_rankings(columns, all);
  if (all.front().bad_rows > 0)
    std::printf("%" PRIu64 " bad rows left out\n", all.front().bad_rows);
}

int eval(eval_flags& flags, stop_signals& signals) {
  const auto state = state_versions::open(flags.state, flags.archive);
  if (!state) return report_error(state.error());
  const auto described = job_of(flags, state->description());
  if (!described) return report_error(described.error());
  flags.order.source = described->source;
  flags.order.stopped = [&signals] { return signals.wait(std::chrono::milliseconds(0)); };
  if (flags.ranking) flags.order.rank = flags.rank;
  if (auto good = check_order(*described, flags.order); !good) return report_error(good.error());
  const system_clock time;
  std::vector<evaluation> all;
  for (const std::string& name : flags.versions) {
    const auto version = state->at(name, time);
    if (!version) return report_error(version.error());
    auto made = evaluate(*described, *version, flags.order);
    if (!made && made.error().code == errc::cancelled) return exit_interrupted;
    if (!made) return report_error(made.error());
    if (flags.json) std::puts(to_json(described->name, *made).c_str());
    all.push_back(std::move(*made));
  }
  if (!flags.json) print(*described, all);
  return exit_done;
}

}  // namespace

void add_eval(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<eval_flags>();
  flags->rank.cutoffs = {10, 20};
  auto* verb = app.add_subcommand(
      "eval", "score what a job learned on events, without learning from them or changing it");
  verb->add_option("--state", flags->state, "state folder")->required();
  verb->add_option("--data", flags->data, "file of events in place of the job's source");
  verb->add_option("--set", flags->overrides, "source.KEY=VALUE in place of the job's value");
  verb->add_option("--at",
                   flags->versions,
                   "versions: now, lsn:N, 2026-11-26T10:00:00Z, 15m (ago), a checkpoint's id")
      ->delimiter(',');
  verb->add_option("--archive", flags->archive, "archive of the checkpoints (default: the job's)");
  verb->add_option("--from", flags->order.from, "first record of the source, from 0");
  verb->add_option("--to", flags->order.to, "the record behind the last");
  verb->add_option("--window", flags->order.window, "samples of a window; 0 = no windows")
      ->capture_default_str();
  auto* ranking = verb->add_flag(
      "--ranking", flags->ranking, "rank what comes next in a list, or the value of a feature");
  verb->add_option("--rank-feature", flags->rank.feature, "whose values are ranked")
      ->needs(ranking);
  verb->add_option("--held-out",
                   flags->rank.held_out,
                   "which id of a list comes next, from its end: 1 = the test's, 2 = validation's")
      ->check(CLI::Range(1, 1'000))
      ->needs(ranking)
      ->capture_default_str();
  verb->add_option("--rank-by", flags->rank.by, "one case for each value of this: leave one out")
      ->needs(ranking);
  verb->add_option("--rank-cases",
                   flags->rank.cases_max,
                   "at most so many, evenly spread (default: 1000 of a feature, all of a list)")
      ->check(CLI::Range(1, 100'000'000));
  verb->add_option("--k", flags->rank.cutoffs, "of HR@k and NDCG@k")
      ->delimiter(',')
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  verb->add_flag("--json", flags->json, "one line of JSON for each version");
  verb->callback([flags, &context] { context.status = eval(*flags, context.signals); });
}

}  // namespace headrace::cli
