#include "base/json_line.hpp"
#include "base/units.hpp"
#include "cli/feature_key.hpp"
#include "cli/job_inspection.hpp"
#include "cli/state_samples.hpp"
#include "cli/verbs.hpp"
#include "schemas/hash.hpp"
#include "storage/checkpoint_manifest.hpp"
#include "storage/file_io.hpp"

#include <CLI/CLI.hpp>

#include <cinttypes>
#include <cstdio>
#include <memory>
#include <vector>

namespace headrace::cli {
namespace {

struct inspect_flags {
  std::filesystem::path state;
  bool json = false;
  std::uint32_t shard = 0;
  std::uint64_t from = 1;
  std::uint64_t limit = 20;
  std::string table = "embedding";
  std::optional<std::uint64_t> key;
  std::string feature;
  std::string ttl;
  std::uint32_t count = 0;
  std::string by;
};

std::string_view name_of(storage::record_kind kind) {
  switch (kind) {
    case storage::record_kind::push:
      return "push";
    case storage::record_kind::advance:
      return "advance";
    case storage::record_kind::voided:
      return "void";
    case storage::record_kind::config:
      return "config";
    case storage::record_kind::epoch:
      return "epoch";
    case storage::record_kind::sample:
      return "sample";
    case storage::record_kind::removal:
      return "removal";
    case storage::record_kind::install:
      return "install";
    case storage::record_kind::events:
      return "events";
  }
  return "unknown";
}

int inspect_digest(const inspect_flags& flags) {
  const auto inspection = job_inspection::open(flags.state);
  if (!inspection) return report_error(inspection.error());
  const auto report = inspection->digest();
  if (!report) return report_error(report.error());
  if (flags.json) {
    json_line line;
    line.add("job", inspection->description().name)
        .add("digest_tables", report->tables)
        .add("digest_replayed", report->replayed)
        .add("digest_weights", report->weights)
        .add("rows", report->rows)
        .add("records", report->records)
        .add("batches", report->batches)
        .add("dense_batches", report->dense_batches)
        .add("sealed", report->sealed)
        .add("gaps", report->gaps)
        .add("duplicates", report->duplicates)
        .add("voids", report->voids);
    std::puts(line.text().c_str());
  } else {
    std::printf("tables    %s   %" PRIu64 " rows\n", report->tables.c_str(), report->rows);
    std::printf("replayed  %s   %" PRIu64 " records\n",
                report->replayed.value_or("unknown: " + report->why_not_replayed).c_str(),
                report->records);
    std::printf("weights   %s\n", report->weights.c_str());
    std::printf("batches %" PRIu64 " of %" PRIu64 " sealed, gaps %" PRIu64 ", duplicates %" PRIu64
                ", voids %" PRIu64 "\n",
                report->batches,
                report->sealed.value_or(report->batches),
                report->gaps,
                report->duplicates,
                report->voids);
  }
  const bool differs = report->replayed && *report->replayed != report->tables;
  return !differs && report->gaps + report->duplicates == 0 ? exit_done : exit_failed;
}

void print_record(const storage::log_record& record, bool json) {
  const auto section = schemas::decode_push(record.payload);
  std::uint64_t rows = 0;
  std::string source = "-";
  if (section) {
    source = schemas::to_string(section->source);
    for (const auto& block : section->blocks) rows += block.keys.size();
  }
  const std::uint64_t batch = section ? section->batch.value : 0;
  const std::uint64_t prev = section ? section->prev.value : 0;
  if (json) {
    json_line line;
    line.add("lsn", record.lsn.value)
        .add("kind", name_of(record.kind))
        .add("source", source)
        .add("batch", batch)
        .add("prev", prev)
        .add("rows", rows)
        .add("bytes", record.payload.size())
        .add("stamp_ms", record.stamp_ms)
        .add("epoch", record.epoch.value)
        .add("reason", name(record.reason));
    std::puts(line.text().c_str());
  } else {
    std::printf("%10" PRIu64 "  %-8s %-20s (%" PRIu64 ", %" PRIu64 "]  %" PRIu64
                " rows  %zu bytes  %s\n",
                record.lsn.value,
                std::string(name_of(record.kind)).c_str(),
                source.c_str(),
                prev,
                batch,
                rows,
                record.payload.size(),
                record.reason == errc::ok ? "" : std::string(name(record.reason)).c_str());
  }
}

int inspect_log(const inspect_flags& flags) {
  const auto inspection = job_inspection::open(flags.state);
  if (!inspection) return report_error(inspection.error());
  if (flags.shard >= inspection->description().schema.shards) {
    return report_error({errc::bad_config,
                         "--shard " + std::to_string(flags.shard) + ": the job has shards 0 to " +
                             std::to_string(inspection->description().schema.shards - 1)});
  }
  std::uint64_t shown = 0;
  const auto read = inspection->read_log(
      shard_id{flags.shard}, lsn{flags.from}, [&](const storage::log_record& record) {
        print_record(record, flags.json);
        return ++shown < flags.limit;
      });
  return read ? exit_done : report_error(read.error());
}

void print_row(
    row_key key, std::uint32_t count, std::span<const float> floats, std::uint32_t dim, bool json) {
  if (json) {
    json_line line;
    line.add("key", std::to_string(key.value)).add("count", count);
    line.begin_array("weights");
    for (std::size_t i = 0; i < dim; ++i) line.add_item(static_cast<double>(floats[i]));
    line.end().begin_array("state");
    for (std::size_t i = dim; i < floats.size(); ++i) line.add_item(static_cast<double>(floats[i]));
    line.end();
    std::puts(line.text().c_str());
    return;
  }
  std::printf("%20" PRIu64 "  %8u times ", key.value, count);
  for (std::size_t i = 0; i < dim; ++i) std::printf(" %+.4f", static_cast<double>(floats[i]));
  std::printf("\n");
}

result<std::optional<row_key>> wanted_key(const inspect_flags& flags, const job& job) {
  if (flags.key) return std::optional(row_key{*flags.key});
  if (flags.feature.empty()) return std::optional<row_key>{};
  const auto key = feature_key(job.source, flags.feature);
  if (!key) return key.error();
  return std::optional(*key);
}

int inspect_rows(const inspect_flags& flags) {
  const auto inspection = job_inspection::open(flags.state);
  if (!inspection) return report_error(inspection.error());
  const job& job = inspection->description();
  const schemas::table_spec* table = nullptr;
  for (const auto& spec : job.schema.tables) {
    if (spec.name == flags.table) table = &spec;
  }
  if (table == nullptr)
    return report_error(
        {errc::bad_config, "--table " + flags.table + ": the job has no such table"});
  const auto key = wanted_key(flags, job);
  if (!key) return report_error(key.error());
  std::uint64_t shown = 0;
  for (std::uint32_t s = 0; s < job.schema.shards && shown < flags.limit; ++s) {
    if (*key && schemas::shard_of(**key, job.schema.shards).value != s) continue;
    const auto tables = inspection->live_tables(shard_id{s});
    if (!tables) return report_error(tables.error());
    (*tables)->visit(table->id,
                     [&](row_key at, std::uint32_t count, std::span<const float> floats) {
                       if (shown == flags.limit || (*key && at != **key)) return;
                       ++shown;
                       print_row(at, count, floats, table->dim, flags.json);
                     });
  }
  if (*key && shown == 0)
    return report_error({errc::not_found, "no such row: it was never pushed to"});
  return exit_done;
}

result<std::uint64_t> wanted_ttl_ms(const inspect_flags& flags) {
  if (flags.ttl.empty()) return std::uint64_t{0};
  const auto ns = parse_duration_ns(flags.ttl);
  if (!ns || *ns < 1e6)
    return error{errc::bad_config, "--ttl " + flags.ttl + ": a duration of 1ms or more, as 30d"};
  return static_cast<std::uint64_t>(*ns / 1e6);
}

int inspect_dry_run(const inspect_flags& flags) {
  const auto ttl_ms = wanted_ttl_ms(flags);
  if (!ttl_ms) return report_error(ttl_ms.error());
  if (*ttl_ms == 0 && flags.count == 0)
    return report_error({errc::bad_config, "give --ttl, --count or both"});
  const auto inspection = job_inspection::open(flags.state);
  if (!inspection) return report_error(inspection.error());
  const schemas::job_schema& schema = inspection->description().schema;
  std::vector<ps::shard::census> sums(schema.tables.size());
  for (std::uint32_t s = 0; s < schema.shards; ++s) {
    const auto tables = inspection->live_tables(shard_id{s});
    if (!tables) return report_error(tables.error());
    for (std::size_t t = 0; t < sums.size(); ++t) {
      const auto found = (*tables)->count_rows(schema.tables[t].id, *ttl_ms, flags.count);
      sums[t].rows += found.rows;
      sums[t].idle += found.idle;
      sums[t].rare += found.rare;
    }
  }
  for (std::size_t t = 0; t < sums.size(); ++t) {
    const std::string& name = schema.tables[t].name;
    if (flags.json) {
      json_line line;
      line.add("table", name)
          .add("rows", sums[t].rows)
          .add("would_expire", sums[t].idle)
          .add("would_not_be_admitted", sums[t].rare);
      std::puts(line.text().c_str());
    } else {
      std::printf("%-16s %10" PRIu64 " rows; %10" PRIu64 " would expire, %10" PRIu64
                  " would not have been admitted\n",
                  name.c_str(),
                  sums[t].rows,
                  sums[t].idle,
                  sums[t].rare);
    }
  }
  return exit_done;
}

int inspect_samples(const inspect_flags& flags) {
  const auto found = read_sealed_samples(flags.state, flags.by);
  if (!found) return report_error(found.error());
  if (flags.json) {
    json_line line;
    line.add("source", found->source)
        .add("first_batch", found->first_batch)
        .add("last_batch", found->last_batch)
        .add("samples", found->samples)
        .add("history", found->history)
        .add("set", found->set)
        .add("by", flags.by)
        .add("keys", found->keys)
        .add("order", found->order);
    std::puts(line.text().c_str());
    return exit_done;
  }
  std::printf("%s: %" PRIu64 " samples in batches %" PRIu64 " to %" PRIu64,
              found->source.c_str(),
              found->samples,
              found->first_batch,
              found->last_batch);
  if (found->history > 0) std::printf(", and %" PRIu64 " of history", found->history);
  std::printf("\n");
  std::printf("set    %s\norder  %s   ", found->set.c_str(), found->order.c_str());
  if (flags.by.empty()) {
    std::printf("of all\n");
  } else {
    std::printf("of each of %" PRIu64 " %s\n", found->keys, flags.by.c_str());
  }
  return exit_done;
}

int inspect_checkpoint(const inspect_flags& flags) {
  const auto folder = storage::job_folder::open_read_only(flags.state);
  if (!folder) return report_error(folder.error());
  const auto manifest = storage::read_manifest((*folder)->checkpoint());
  if (!manifest) return report_error(manifest.error());
  if (!flags.json) {
    std::fputs(storage::format_manifest(*manifest).c_str(), stdout);
    return exit_done;
  }
  json_line line;
  line.add("job", manifest->job).add("written_ms", manifest->written_ms).begin_array("shards");
  for (const auto& shard : manifest->shards) {
    line.begin_object_item()
        .add("id", shard.id.value)
        .add("flushed", shard.flushed.value)
        .add("version", shard.version)
        .add("rows", shard.rows)
        .end();
  }
  line.end().begin_array("watermarks");
  for (const auto& mark : manifest->watermarks) {
    line.begin_object_item()
        .add("source", mark.source)
        .add("lane", mark.lane)
        .add("batch_min", mark.batch_min.value)
        .add("batch_max", mark.batch_max.value)
        .end();
  }
  line.end();
  std::puts(line.text().c_str());
  return exit_done;
}

}  // namespace

void add_inspect(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<inspect_flags>();
  auto* verb = app.add_subcommand("inspect", "read what a job left behind, changing nothing");
  verb->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, int (*act)(const inspect_flags&)) {
    auto* part = verb->add_subcommand(name, what);
    part->add_option("--state", flags->state, "state folder")->required();
    part->add_flag("--json", flags->json, "JSON, one object a line");
    part->callback([flags, act, &context] { context.status = act(*flags); });
    return part;
  };
  auto* log = add("log", "records of a shard's update log", inspect_log);
  log->add_option("--shard", flags->shard, "which shard");
  log->add_option("--from", flags->from, "first record");
  log->add_option("--limit", flags->limit, "at most so many");
  auto* rows = add("rows", "rows of a table with their weights and optimizer state", inspect_rows);
  rows->add_option("--table", flags->table, "table, e.g. embedding or bias");
  rows->add_option("--key", flags->key, "one row by its 64-bit key");
  rows->add_option("--feature", flags->feature, "one row by feature and value: user=42");
  rows->add_option("--limit", flags->limit, "at most so many");
  add("digest",
      "digest of the live tables and of a replay of their logs; fails if they differ",
      inspect_digest);
  auto* samples =
      add("samples",
          "how many samples were sealed, and digests to compare two runs by: of the set, "
          "and of the order",
          inspect_samples);
  samples->add_option("--by", flags->by, "the order of each key of this feature (default: of all)");
  add("checkpoint", "what the rows on disk cover", inspect_checkpoint);
  auto* dry_run = add("dry-run",
                      "how many rows an expiry or a count of admission would leave out",
                      inspect_dry_run);
  dry_run->add_option("--ttl", flags->ttl, "rows idle for longer expire, e.g. 30d");
  dry_run->add_option("--count", flags->count, "rows pushed less often are not admitted");
}

}  // namespace headrace::cli
