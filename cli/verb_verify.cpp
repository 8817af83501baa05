#include "base/json_line.hpp"
#include "cli/open_archive.hpp"
#include "cli/state_verify.hpp"
#include "cli/verbs.hpp"
#include "storage/archive_check.hpp"

#include <CLI/CLI.hpp>

#include <cinttypes>
#include <cstdio>
#include <memory>
#include <optional>
#include <system_error>
#include <unistd.h>

namespace headrace::cli {
namespace {

struct verify_flags {
  std::filesystem::path state;
  std::string archive;
  bool json = false;
};

void add_damage(json_line& line, const std::vector<error>& damaged) {
  line.add("good", damaged.empty()).begin_array("damaged");
  for (const error& one : damaged) line.add_item(describe(one));
  line.end();
}

int print(const state_findings& found, const verify_flags& flags) {
  if (flags.json) {
    json_line line;
    line.add("job", found.job)
        .add("state", flags.state.string())
        .add("logs", found.logs)
        .add("records", found.records)
        .add("rows", found.rows);
    if (found.digest.empty()) {
      line.add_null("digest_tables");
    } else {
      line.add("digest_tables", found.digest);
    }
    add_damage(line, found.damaged);
    std::puts(line.text().c_str());
  } else {
    std::printf("%s: %" PRIu64 " records in %" PRIu64 " logs, %" PRIu64 " rows, tables %s\n",
                flags.state.c_str(),
                found.records,
                found.logs,
                found.rows,
                found.digest.empty() ? "unknown" : found.digest.c_str());
  }
  for (const error& one : found.damaged) report_error(one);
  return found.damaged.empty() ? exit_done : exit_failed;
}

int print(const storage::archive_findings& found, const verify_flags& flags) {
  if (flags.json) {
    json_line line;
    line.add("archive", flags.archive)
        .add("checkpoints", found.checkpoints)
        .add("objects", found.objects)
        .add("bytes", found.bytes);
    add_damage(line, found.damaged);
    std::puts(line.text().c_str());
  } else {
    std::printf("%s: %" PRIu64 " checkpoints, %" PRIu64 " objects, %" PRIu64 " bytes\n",
                flags.archive.c_str(),
                found.checkpoints,
                found.objects,
                found.bytes);
  }
  for (const error& one : found.damaged) report_error(one);
  return found.damaged.empty() ? exit_done : exit_failed;
}

int verify_archive(const verify_flags& flags) {
  const system_clock time;
  auto archive = open_archive(flags.archive, time);
  if (!archive) return report_error(archive.error());
  auto store = storage::open_object_store(flags.archive);
  if (!store) return report_error(store.error());
  const auto scratch =
      std::filesystem::temp_directory_path() / ("headrace-verify-" + std::to_string(::getpid()));
  std::error_code failure;
  std::filesystem::create_directories(scratch, failure);
  if (failure)
    return report_error(
        {errc::io_error, "cannot create '" + scratch.string() + "': " + failure.message()});
  const auto found = storage::check_archive(**archive, **store, scratch);
  std::filesystem::remove_all(scratch, failure);
  return found ? print(*found, flags) : report_error(found.error());
}

int verify(const verify_flags& flags) {
  if (flags.state.empty() && flags.archive.empty())
    return report_error({errc::bad_config, "say what to verify: --state DIR, --archive URI"});
  int status = exit_done;
  if (!flags.state.empty()) {
    const auto found = verify_state(flags.state);
    status = found ? print(*found, flags) : report_error(found.error());
  }
  if (!flags.archive.empty()) status = std::max(status, verify_archive(flags));
  return status;
}

}  // namespace

void add_verify(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<verify_flags>();
  auto* verb = app.add_subcommand(
      "verify", "read every byte of a state folder or an archive back and check it");
  verb->add_option("--state", flags->state, "state folder");
  verb->add_option("--archive", flags->archive, "archive of checkpoints");
  verb->add_flag("--json", flags->json, "one line of JSON for each");
  verb->callback([flags, &context] { context.status = verify(*flags); });
}

}  // namespace headrace::cli
