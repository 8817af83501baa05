#include "base/json_line.hpp"
#include "cli/crossed_job.hpp"
#include "cli/job/read_text.hpp"
#include "cli/job_flags.hpp"
#include "cli/verbs.hpp"
#include "storage/file_io.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <system_error>

namespace headrace::cli {
namespace {

struct cross_flags : job_flags {
  cross_order order;
  std::size_t shown = 20;
  std::filesystem::path write;
  std::size_t table_mib = 256;
  bool json = false;
};

std::string to_json(const std::string& job, const cross_report& found) {
  json_line line;
  line.add("job", job)
      .add("events", found.events)
      .add("bad_rows", found.bad_rows)
      .add("base_auc", found.base_auc)
      .add("base_logloss", found.base_logloss)
      .add("z_min", found.z_min)
      .add("slots", found.slots)
      .add("bytes", found.bytes)
      .begin_array("pairs");
  for (const crossed_pair& pair : found.pairs) {
    line.begin_object_item()
        .add("name", pair.name)
        .begin_array("of")
        .add_item(pair.first)
        .add_item(pair.second)
        .end()
        .add("gain", pair.gain)
        .add("standard_error", pair.standard_error)
        .add("z", pair.z)
        .add("distinct", std::round(pair.distinct))
        .add("crowded", pair.crowded)
        .add("worth_it", pair.worth_it)
        .add("chosen", pair.chosen)
        .end();
  }
  return line.end().text();
}

void print(const std::string& job, const cross_report& found, std::size_t shown) {
  std::printf("%s: %" PRIu64 " events; without a cross AUC %.4f   logloss %.5f\n",
              job.c_str(),
              found.events,
              found.base_auc,
              found.base_logloss);
  std::size_t width = 4;
  for (const crossed_pair& pair : found.pairs)
    width = std::max(width, pair.first.size() + pair.second.size() + 3);
  const int columns = static_cast<int>(width);
  std::printf("   %-*s  %9s  %9s  %7s  %10s\n", columns, "pair", "gain", "+/-", "z", "distinct");
  for (std::size_t i = 0; i < std::min(shown, found.pairs.size()); ++i) {
    const crossed_pair& pair = found.pairs[i];
    std::printf(" %s %-*s  %9.6f  %9.6f  %7.2f  %s%9.0f\n",
                pair.chosen     ? "+"
                : pair.worth_it ? "="
                                : " ",
                columns,
                (pair.first + " x " + pair.second).c_str(),
                pair.gain,
                pair.standard_error,
                pair.z,
                pair.crowded ? ">" : " ",
                pair.distinct);
  }
  const auto count = [&](bool crossed_pair::*is) {
    return static_cast<std::size_t>(std::ranges::count_if(found.pairs, is));
  };
  std::printf(
      "%zu of %zu pairs are worth a cross (z of %.2f or more), %zu chosen (+); tables of %zu "
      "slots, "
      "%.0f MB\n",
      count(&crossed_pair::worth_it),
      found.pairs.size(),
      found.z_min,
      count(&crossed_pair::chosen),
      found.slots,
      static_cast<double>(found.bytes) / 1e6);
}

/// The file's text as it stands; with flags in place of its values, the resolved configuration.
result<void> write(const cross_flags& flags, const job& described, const cross_report& found) {
  std::string text = described.text;
  if (flags.all_overrides().empty()) {
    const auto as_it_stands = read_text(flags.file, "job file");
    if (!as_it_stands) return as_it_stands.error();
    text = *as_it_stands;
  }
  const auto made = with_crosses(text, flags.write.string(), found.pairs);
  if (!made) return made.error();
  return storage::replace_file(flags.write, *made);
}

int cross(cross_flags& flags, stop_signals& signals) {
  int status = exit_done;
  const auto job = flags.load_to_run(status);
  if (!job) return status;
  std::error_code absent;
  if (!flags.write.empty() && std::filesystem::exists(flags.write, absent)) {
    return report_error(
        {errc::bad_config, "--write '" + flags.write.string() + "' is there: name a new file"});
  }
  flags.order.table_bytes = flags.table_mib << 20;
  flags.order.stopped = [&signals] { return signals.wait(std::chrono::milliseconds(0)); };
  const auto found = find_crosses(*job, flags.order);
  if (!found && found.error().code == errc::cancelled) return exit_interrupted;
  if (!found) return report_error(found.error());
  const bool some = std::ranges::any_of(found->pairs, &crossed_pair::chosen);
  if (!flags.write.empty() && some) {
    if (auto written = write(flags, *job, *found); !written) return report_error(written.error());
  }
  if (flags.json) {
    std::puts(to_json(job->name, *found).c_str());
    return exit_done;
  }
  print(job->name, *found, flags.shown);
  if (!flags.write.empty())
    std::printf(some ? "%s has them\n" : "%s is not written: nothing to add\n",
                flags.write.c_str());
  return exit_done;
}

}  // namespace

void add_cross(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<cross_flags>();
  auto* verb = app.add_subcommand(
      "cross", "find pairs of features whose combination is worth a feature of its own");
  flags->add_to(*verb);
  verb->add_option("--top", flags->order.top, "so many are chosen at most")->capture_default_str();
  verb->add_option("--pairs", flags->order.pairs_max, "so many are tried at most")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  verb->add_option("--features", flags->order.features, "only pairs of these")->delimiter(',');
  verb->add_option("--samples", flags->order.events_max, "events of the source, from its first")
      ->check(CLI::Range(std::uint64_t{1}, UINT64_MAX));
  verb->add_option("--memory", flags->table_mib, "MiB for the tables of the pairs")
      ->check(CLI::Range(1, 65'536))
      ->capture_default_str();
  verb->add_option("--show", flags->shown, "lines of the table")->capture_default_str();
  verb->add_option("--write", flags->write, "a new job file with what was chosen");
  verb->add_flag("--json", flags->json, "one line of JSON on standard output");
  verb->callback([flags, &context] { context.status = cross(*flags, context.signals); });
}

}  // namespace headrace::cli
