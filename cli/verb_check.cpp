#include "cli/verb_check.hpp"

#include "base/config.hpp"
#include "base/json_line.hpp"
#include "base/units.hpp"
#include "cli/job/model_section.hpp"
#include "cli/job_flags.hpp"
#include "cli/verbs.hpp"
#include "worker/events/event_schema.hpp"
#include "worker/ingest/event_source.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace headrace::cli {
namespace {

constexpr std::uint64_t rows_looked_at = 1'000;

struct first_rows {
  std::uint64_t records = 0;  // good and bad
  std::uint64_t good = 0;
  std::uint64_t positive = 0;
  std::uint64_t bad = 0;
  std::string first_bad;
  std::size_t features = 0;
};

result<first_rows> read_first_rows(worker::source_spec spec) {
  spec.sort_by_time = false;  // sorting would read the whole file
  auto source = worker::make_source(spec);
  if (!source) return source.error();
  first_rows seen;
  worker::event event;
  while ((*source)->position() < rows_looked_at) {
    const auto more = (*source)->next(event);
    if (!more) return more.error();
    if (!*more) break;
    ++seen.good;
    if (event.label > 0.5F) ++seen.positive;
  }
  seen.records = (*source)->position();
  seen.bad = (*source)->bad().total();
  seen.first_bad = (*source)->bad().first();
  seen.features = (*source)->features();
  if (seen.good == 0) {
    const std::string why = seen.bad > 0 ? "no usable row among the first " +
                                               std::to_string(seen.records) + ": " + seen.first_bad
                                         : "it has no rows";
    return error{errc::bad_input, "source '" + spec.uri + "': " + why};
  }
  return seen;
}

result<first_rows> bind_live(const job& job) {
  const auto actions = job.join ? job.join->actions : std::vector<std::string>();
  const auto schema = worker::event_schema::bind(job.source, actions);
  if (!schema) return schema.error();
  first_rows none;
  none.features = schema->features() + job.source.crosses.size();
  return none;
}

std::string describe_features(const worker::source_spec& source, std::size_t features) {
  std::ostringstream out;
  out << "\n  features  " << features;
  for (std::size_t i = 0; i < source.features.size(); ++i)
    out << (i == 0 ? ": " : ", ") << source.features[i].name;
  for (std::size_t i = 0; i < source.crosses.size(); ++i)
    out << (i == 0 ? "; crosses: " : ", ") << source.crosses[i].name;
  return out.str();
}

// Of live events nothing can be read ahead.
std::string describe_live(const job& job, std::size_t features) {
  std::ostringstream out;
  const auto& source = job.source;
  out << "  source    " << source.uri << ", live";
  for (const auto& http : source.live.http) out << ", http://" << http;
  for (const auto& zmq : source.live.zmq) out << ", " << zmq;
  for (std::size_t t = 0; t < source.live.topics.size(); ++t)
    out << (t == 0 ? ": " : ", ") << source.live.topics[t];
  if (worker::is_of_broker(source.arrives)) out << " as " << source.live.group;
  out << "\n  gate      "
      << (job.gate.token_env.empty() && job.gate.token_file.empty() ? "no token needed"
                                                                    : "a token needed")
      << ", the newest " << job.gate.gate.duplicate_ids << " ids known";
  if (job.join) {
    out << "\n  join      within " << format_duration(job.join->how.window_ms * 1'000'000) << ":";
    for (const auto& action : job.join->actions) out << ' ' << action;
  }
  out << describe_features(source, features);
  return out.str();
}

std::string describe_source(const job& job, const first_rows& seen) {
  if (worker::is_live(job.source.arrives)) return describe_live(job, seen.features);
  std::ostringstream out;
  const auto& source = job.source;
  const bool generated = source.generate != worker::generator::none;
  out << "  source    " << source.uri;
  if (generated) out << ", " << source.rows << " rows";
  if (source.sort_by_time) out << ", sorted by " << source.time_column;
  out << (job.pace_duration_ns > 0 ? ", paced over " + format_duration(job.pace_duration_ns)
                                   : ", as fast as it can be read");
  out << "\n  rows      first " << seen.records << " read: " << seen.good << " good ("
      << seen.positive << " with label 1), " << seen.bad << " bad";
  if (seen.bad > 0) out << "; first: " << seen.first_bad;
  out << describe_features(source, seen.features);
  return out.str();
}

std::string describe_training(const job& job) {
  std::ostringstream out;
  const auto& train = job.train;
  out << "  model     " << job.model_name << ", " << job.model->nodes().size() << " layers";
  if (job.model->heads().size() > 1) {
    std::string names;
    for (const auto& head : job.model->heads()) names += (names.empty() ? "" : ", ") + head.name;
    out << "; predicts " << names;
  }
  for (const auto& note : label_notes(job)) out << "\n  note      " << note;
  for (const auto& table : job.schema.tables) {
    out << "\n  table     " << table.name << ": rows of " << table.dim
        << (table.dim == 1 ? " value, " : " values, ") << name(table.optimizer.kind);
    if (table.optimizer.kind != schemas::optimizer_kind::add)
      out << ", lr " << table.optimizer.rate;
    if (table.optimizer.first_rate != table.optimizer.rate)
      out << ", first_lr " << table.optimizer.first_rate;
  }
  out << "\n  train     batches of " << train.batch_max << " or "
      << format_duration(train.batch_wait_ns) << ", " << train.in_flight
      << " in flight, twin frozen at " << train.freeze_at * 100 << " %";
  if (train.mix_history > 0.0) out << ", " << train.mix_history * 100 << " % history";
  out << "\n  server    " << job.schema.shards << " shards at " << job.listen << ", log "
      << name(job.durability.log) << ", rows written each "
      << format_duration(job.durability.flush_interval_ms * 1'000'000);
  return out.str();
}

std::string to_json(const job& job, const first_rows& seen) {
  json_line line;
  line.add("job", job.name).add("ok", true).add("source", job.source.uri);
  if (worker::is_live(job.source.arrives)) {
    line.add("live", true);
  } else {
    line.add("rows_read", seen.records).add("rows_good", seen.good).add("rows_bad", seen.bad);
    line.add("label_1", seen.positive);
  }
  line.add("features", seen.features);
  line.add("model", job.model_name)
      .add("dim", widest_lookup(*job.model))
      .add("shards", job.schema.shards);
  line.add("batch_max", job.train.batch_max).add("in_flight", job.train.in_flight);
  line.add("log", name(job.durability.log)).add("listen", job.listen);
  if (seen.bad > 0) line.add("first_bad", seen.first_bad);
  return line.text();
}

struct check_flags : job_flags {
  bool json = false;
};

int check(const check_flags& given) {
  const auto job = given.load();
  if (!job) return report_error(job.error());
  if (!given.print_config) return run_check(*job, given.json);
  std::fputs(job->text.c_str(), stdout);
  return exit_done;
}

}  // namespace

result<std::string> check_job(const job& job, bool json) {
  const auto seen = is_live(job.source.arrives) ? bind_live(job) : read_first_rows(job.source);
  if (!seen) return seen.error();
  if (json) return to_json(job, *seen);
  return job.name + ": good; `headrace run` would do this\n" + describe_source(job, *seen) + "\n" +
         describe_training(job);
}

int run_check(const job& job, bool json) {
  const auto said = check_job(job, json);
  if (!said) return report_error(said.error());
  std::printf("%s\n", said->c_str());
  return exit_done;
}

void add_check(CLI::App& app, verb_context& context) {
  CLI::App* verb = app.add_subcommand(
      "check", "Validates a job file and the first rows of its source; runs nothing");
  auto given = std::make_shared<check_flags>();
  given->add_to(*verb);
  verb->add_flag("--json", given->json, "one line of JSON on standard output");
  verb->callback([given, &context] { context.status = check(*given); });
}

}  // namespace headrace::cli
