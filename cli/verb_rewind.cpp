#include "base/json_line.hpp"
#include "base/parse_number.hpp"
#include "cli/job_flags.hpp"
#include "cli/moment.hpp"
#include "cli/open_archive.hpp"
#include "cli/state_folder.hpp"
#include "cli/state_rewind.hpp"
#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <cinttypes>
#include <cstdio>
#include <memory>

/// `rewind` and `undo`: rows of another history under the same log.
namespace headrace::cli {
namespace {

struct rewind_flags : job_flags {
  std::string to;
  std::string source;
  std::string since;  // --from
  std::string archive;
  std::filesystem::path state;
  bool retrain = false;
  bool dry_run = false;
  bool json = false;
};

result<rewind_order> order_of(const rewind_flags& flags, std::uint64_t now_ms) {
  constexpr std::string_view record = "lsn:";
  rewind_order order;
  order.retrain = flags.retrain;
  order.dry_run = flags.dry_run;
  order.without = flags.source;
  if (!flags.since.empty()) {
    const auto ms = parse_moment(flags.since, "--from", now_ms);
    if (!ms) return ms.error();
    order.from_ms = *ms;
  }
  if (flags.to.starts_with(record)) {
    const auto at = parse_number<std::uint64_t>(std::string_view(flags.to).substr(record.size()));
    if (!at) return error{errc::bad_config, "--to '" + flags.to + "' names no record: write lsn:N"};
    order.to_lsn = lsn{*at};
  } else if (!flags.to.empty()) {
    const auto ms = parse_moment(flags.to, "--to", now_ms);
    if (!ms) return ms.error();
    order.to_ms = *ms;
  }
  return order;
}

void print(const rewound& done, const rewind_flags& flags) {
  if (flags.json) {
    json_line line;
    line.add("base", done.base)
        .add("digest_tables", done.digest)
        .add("rows", done.rows)
        .add("dry_run", flags.dry_run)
        .begin_array("shard");
    for (const auto& shard : done.shards) {
      line.begin_object_item()
          .add("id", shard.id.value)
          .add("through", shard.through.value)
          .add("end", shard.end.value)
          .add("left_out", shard.left_out)
          .end();
    }
    std::puts(line.end().text().c_str());
    return;
  }
  std::printf("%s %s\n",
              flags.dry_run ? "would begin from" : "begun from",
              done.base.empty() ? "nothing, with the whole log" : done.base.c_str());
  for (const auto& shard : done.shards) {
    std::printf("shard %u: records 1 … %" PRIu64 " of %" PRIu64,
                shard.id.value,
                shard.through.value,
                shard.end.value);
    if (!flags.source.empty()) std::printf(", without %" PRIu64 " pushes", shard.left_out);
    std::puts("");
  }
  std::printf("tables %s, %" PRIu64 " rows\n", done.digest.c_str(), done.rows);
  if (!flags.dry_run) std::puts("start the server on it, then its workers; take a checkpoint soon");
}

int rewind(const rewind_flags& flags) {
  int status = exit_done;
  const auto job = flags.load_to_run(status);
  if (!job) return status;
  const system_clock time;
  const auto order = order_of(flags, time.now_ms());
  if (!order) return report_error(order.error());
  const std::string archive_uri = flags.archive.empty() ? job->checkpoint.to : flags.archive;
  std::unique_ptr<storage::checkpoint_archive> archive;
  if (!archive_uri.empty()) {
    auto opened = open_archive(archive_uri, time);
    if (!opened) return report_error(opened.error());
    archive = std::move(*opened);
  }
  const auto state = flags.state.empty() ? default_state(job->name) : flags.state;
  const auto done = rewind_state(*job, state, archive.get(), *order, time);
  if (!done) return report_error(done.error());
  print(*done, flags);
  return exit_done;
}

void add_shared(CLI::App& verb, rewind_flags& flags) {
  flags.add_to(verb);
  verb.add_option("--archive", flags.archive, "archive (default: checkpoint.to of the job file)");
  verb.add_option("--state", flags.state, "state folder (default: ~/.local/state/headrace/JOB)");
  verb.add_flag(
      "--retrain", flags.retrain, "sources go on from where they were then, and learn again");
  verb.add_flag("--dry-run", flags.dry_run, "say what would come of it and change nothing");
  verb.add_flag("--json", flags.json, "one line of JSON on standard output");
}

}  // namespace

void add_rewind(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<rewind_flags>();
  auto* verb =
      app.add_subcommand("rewind", "have a stopped job go on with its rows of an earlier time");
  add_shared(*verb, *flags);
  verb->add_option("--to", flags->to, "2026-11-26T10:00:00Z, 15m (ago), or lsn:N of each shard")
      ->required();
  verb->callback([flags, &context] { context.status = rewind(*flags); });
}

void add_undo(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<rewind_flags>();
  auto* verb = app.add_subcommand(
      "undo", "have a stopped job go on as if a source had never sent what it sent");
  add_shared(*verb, *flags);
  verb->add_option("--source", flags->source, "the source's name")->required();
  verb->add_option("--from", flags->since, "only what it sent since then (default: all of it)");
  verb->callback([flags, &context] { context.status = rewind(*flags); });
}

}  // namespace headrace::cli
