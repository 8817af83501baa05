#include "tests/support/child_process.hpp"
#include "tests/support/serving.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

/// The real binary as a person meets it: every mistake is one line that says what, where and what
/// to do.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 60s;

std::string write_file(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
  return path;
}

std::string generated_job(const temporary_folder& folder,
                          const std::string& name,
                          const std::string& more = "") {
  return write_file(folder / (name + ".toml"),
                    "[job]\nname = \"" + name +
                        "\"\n[source]\nuri = \"generate:planted\"\nrows = 4000\n" + more +
                        "[model]\narch = \"count\"\n[train]\nbatch_max = 16\npush = \"fp32\"\n"
                        "[shards]\ncount = 2\n[durability]\nlog = \"os\"\nkeep_log = \"all\"\n");
}

finished headrace(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), headrace_binary());
  return run_program(std::move(arguments), patience);
}

std::size_t lines_of(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

void expect_one_line(const finished& ended, int status, const std::vector<std::string>& says) {
  EXPECT_EQ(ended.status, status) << ended.errors;
  EXPECT_EQ(ended.output, "");
  EXPECT_EQ(lines_of(ended.errors), 1U) << ended.errors;
  for (const auto& word : says)
    EXPECT_NE(ended.errors.find(word), std::string::npos) << word << " in: " << ended.errors;
}

TEST(CommandLine, AWrongFlagIsWrongUsage) {
  const auto ended = headrace({"run", "--no-such-flag"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_NE(ended.errors.find("--help"), std::string::npos) << ended.errors;
}

TEST(CommandLine, AWordThatAFlagDoesNotKnowIsAnsweredWithThoseItKnows) {
  const auto op = headrace({"bench", "rows64", "--op", "pul"});
  EXPECT_EQ(op.status, 2);
  EXPECT_TRUE(op.errors.starts_with("--op: pul not in {pull,push}\n")) << op.errors;
  const auto precision = headrace({"bench", "deepfm", "--precision", "half"});
  EXPECT_EQ(precision.status, 2);
  EXPECT_TRUE(precision.errors.starts_with("--precision: half not in {auto,bf16,f32,fp16}\n"))
      << precision.errors;
}

TEST(CommandLine, HelpAndVersionAreNoErrors) {
  EXPECT_EQ(headrace({"--help"}).status, 0);
  EXPECT_EQ(headrace({"demo", "--help"}).status, 0);
  EXPECT_NE(headrace({"--version"}).output.find("headrace 0."), std::string::npos);
}

TEST(CommandLine, AMissingJobFileIsNamed) {
  expect_one_line(headrace({"run", "/no/such/job.toml"}), 1, {"/no/such/job.toml"});
}

TEST(CommandLine, AnUnknownKeyNamesItsLineAndTheNearestOne) {
  const temporary_folder folder;
  const auto job =
      write_file(folder / "typo.toml", "[job]\nname = \"typo\"\n[train]\nbatch_maxx = 4\n");
  expect_one_line(headrace({"check", job}), 2, {"batch_maxx", "batch_max", "typo.toml"});
}

TEST(CommandLine, AValueOutOfRangeNamesTheRange) {
  const temporary_folder folder;
  const auto job = generated_job(folder, "range");
  expect_one_line(headrace({"run", job, "--set", "train.batch_max=0"}), 2, {"batch_max", "0"});
}

TEST(CommandLine, AMissingSourceIsNamed) {
  const temporary_folder folder;
  const auto job =
      write_file(folder / "gone.toml",
                 "[job]\nname = \"gone\"\n[source]\nuri = \"file:///no/such/data.csv\"\n"
                 "label = \"y > 0\"\n[features.user]\nkind = \"id\"\n");
  expect_one_line(headrace({"run", job, "--state", folder / "state"}), 1, {"/no/such/data.csv"});
}

TEST(CommandLine, AListenAddressBeyondLoopbackIsRefused) {
  const temporary_folder folder;
  const auto job = generated_job(folder, "open");
  expect_one_line(
      headrace({"server", job, "--state", folder / "state", "--listen", "tcp://0.0.0.0:7999"}),
      2,
      {"0.0.0.0", "loopback", "keys"});
}

TEST(CommandLine, APortInUseIsNamed) {
  const temporary_folder folder;
  const auto job = generated_job(folder, "port");
  serving first(job, folder / "one");
  ASSERT_NE(first.endpoint, "") << first.process.errors();
  expect_one_line(headrace({"server", job, "--state", folder / "two", "--listen", first.endpoint}),
                  1,
                  {first.endpoint, "--set"});
  first.process.signal(SIGTERM);
  EXPECT_EQ(first.process.wait_for(patience), 0) << first.process.errors();
}

TEST(CommandLine, ASocketFileIsServedAsAPortIsAndReplacedAfterAKill) {
  const temporary_folder folder;
  const auto job = generated_job(folder, "socket");
  const std::string endpoint = "ipc://" + (folder / "socket");
  {
    serving killed(job, folder / "one", endpoint);
    ASSERT_EQ(killed.endpoint, endpoint) << killed.process.errors();
    expect_one_line(headrace({"server", job, "--state", folder / "two", "--listen", endpoint}),
                    1,
                    {endpoint, "stop it", "--set"});
    killed.process.signal(SIGKILL);
    EXPECT_NE(killed.process.wait_for(patience), 0);
  }
  serving next(job, folder / "one", endpoint);
  ASSERT_EQ(next.endpoint, endpoint) << next.process.errors();
  const auto trained =
      headrace({"worker", job, "--connect", endpoint, "--state", folder / "worker", "--json"});
  EXPECT_EQ(trained.status, 0) << trained.errors;
  EXPECT_EQ(json_field(trained.output, "samples"), "4000");
  next.process.signal(SIGTERM);
  EXPECT_EQ(next.process.wait_for(patience), 0) << next.process.errors();
  EXPECT_FALSE(std::filesystem::exists(folder / "socket"));
}

TEST(CommandLine, AStateFolderInUseOrOfAnotherJobIsRefused) {
  const temporary_folder folder;
  const auto job = generated_job(folder, "mine");
  serving first(job, folder / "state");
  ASSERT_NE(first.endpoint, "") << first.process.errors();
  expect_one_line(headrace({"run", job, "--state", folder / "state"}), 1, {folder / "state"});
  first.process.signal(SIGTERM);
  ASSERT_EQ(first.process.wait_for(patience), 0);
  const auto other = generated_job(folder, "other");
  expect_one_line(
      headrace({"run", other, "--state", folder / "state"}), 1, {folder / "state", "mine"});
}

TEST(CommandLine, AFinishedSourceHasNothingNewAndShowsItsLastFigures) {
  const temporary_folder folder;
  const auto job = generated_job(folder, "once");
  const auto first = headrace({"run", job, "--state", folder / "state", "--json"});
  ASSERT_EQ(first.status, 0) << first.errors;
  EXPECT_EQ(lines_of(first.output), 1U);
  EXPECT_EQ(json_field(first.output, "samples"), "4000");
  const auto again = headrace({"run", job, "--state", folder / "state", "--json"});
  EXPECT_EQ(again.status, 0) << again.errors;
  EXPECT_EQ(again.output, first.output);
  const auto shown = headrace({"run", job, "--state", folder / "state"});
  EXPECT_NE(shown.output.find("nothing new"), std::string::npos);
}

TEST(CommandLine, CtrlCEndsWithASummaryAndTheNextRunGoesOn) {
  const temporary_folder folder;
  const auto job = generated_job(folder, "pause", "duration = \"30s\"\n");
  child_process first({headrace_binary(), "run", job, "--state", folder / "state", "--json"});
  const auto learned = [&] {
    const auto inspected = headrace({"inspect", "digest", "--state", folder / "state", "--json"});
    return inspected.status == 0 && std::stoull("0" + json_field(inspected.output, "batches")) > 3;
  };
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (!learned() && std::chrono::steady_clock::now() < give_up) {
  }
  first.signal(SIGINT);
  ASSERT_EQ(first.wait_for(patience), 0) << first.errors();
  EXPECT_EQ(json_field(first.output(), "interrupted"), "true");
  EXPECT_NE(json_field(first.output(), "samples"), "4000");
  const auto second =
      headrace({"run", job, "--state", folder / "state", "--json", "--speed", "max"});
  ASSERT_EQ(second.status, 0) << second.errors;
  EXPECT_EQ(json_field(second.output, "samples"), "4000") << second.output;
  EXPECT_EQ(json_field(second.output, "resumed"), "true");
}

TEST(CommandLine, PredictionsOfAResumedRunFollowThoseBeforeIt) {
  const temporary_folder folder;
  const auto job = generated_job(folder, "told", "duration = \"30s\"\n");
  const std::vector<std::string> arguments{headrace_binary(),
                                           "run",
                                           job,
                                           "--state",
                                           folder / "state",
                                           "--json",
                                           "--predictions",
                                           folder / "p.tsv"};
  child_process first(arguments);
  while (!std::filesystem::exists(folder / "state/worker/scores.bin")) {
    ASSERT_FALSE(first.wait_for(1ms).has_value()) << first.errors();
  }
  // Beside a running server the audit sees a moment, and no damage.
  const auto audit = headrace({"inspect", "digest", "--state", folder / "state", "--json"});
  EXPECT_EQ(audit.status, 0) << audit.output << audit.errors;
  first.signal(SIGINT);
  ASSERT_EQ(first.wait_for(patience), 0) << first.errors();
  auto again = arguments;
  again.insert(again.end(), {"--speed", "max"});
  ASSERT_EQ(run_program(again, patience).status, 0);
  std::ifstream file(folder / "p.tsv");
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "row\tlabel\tonline\tfrozen");
  std::uint64_t rows = 0;
  for (; std::getline(file, line); ++rows) EXPECT_EQ(std::stoull(line), rows);
  EXPECT_EQ(rows, 4'000U);
}

TEST(CommandLine, DamagedFiguresAreRefusedByName) {
  const temporary_folder folder;
  const auto job = generated_job(folder, "figures");
  ASSERT_EQ(headrace({"run", job, "--state", folder / "state", "--json"}).status, 0);
  {
    std::fstream file(folder / "state/worker/scores.bin",
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(30);
    file.put('\x55');
  }
  expect_one_line(
      headrace({"run", job, "--state", folder / "state", "--json"}), 1, {"scores.bin", "remove"});
}

TEST(CommandLine, ASecondSignalEndsAtOnce) {
  const temporary_folder folder;
  const auto job = generated_job(folder, "hurry");
  // No server answers, so the worker is still asking when both signals come.
  child_process worker({headrace_binary(),
                        "worker",
                        job,
                        "--state",
                        folder / "w",
                        "--connect",
                        "tcp://127.0.0.1:9"});
  while (!std::ifstream(folder / "w/JOB")) {
    ASSERT_FALSE(worker.wait_for(1ms).has_value()) << worker.errors();
  }
  worker.signal(SIGINT);
  worker.signal(SIGTERM);
  EXPECT_EQ(worker.wait_for(patience), 130) << worker.errors();
}

TEST(CommandLine, BadRowsAreCountedByReasonAndFatalOnlyAboveTheLimit) {
  const temporary_folder folder;
  std::string rows = "user,item,clicked\n";
  for (int i = 0; i < 50; ++i)
    rows += "u" + std::to_string(i % 7) + ",i" + std::to_string(i % 5) + "," +
            std::to_string(i % 2) + "\n";
  rows += "u1,i1\nu1,i1,nan\nu1,i1,maybe\n";
  write_file(folder / "rows.csv", rows);
  const auto job =
      write_file(folder / "rows.toml",
                 "[job]\nname = \"rows\"\n[source]\nuri = \"file://" + (folder / "rows.csv") +
                     "\"\nlabel = \"clicked > 0\"\n[features.user]\nkind = \"id\"\n"
                     "[features.item]\nkind = \"id\"\n[model]\narch = \"fm\"\ndim = 4\n"
                     "[durability]\nlog = \"os\"\nkeep_log = \"all\"\n");
  const auto good = headrace({"run", job, "--state", folder / "good", "--json"});
  ASSERT_EQ(good.status, 0) << good.errors;
  EXPECT_EQ(json_field(good.output, "samples"), "50");
  EXPECT_EQ(json_field(good.output, "bad_rows"), "3");
  EXPECT_NE(good.errors.find("rows.csv"), std::string::npos)
      << "the first of each kind is logged with its file";
  const auto strict = headrace(
      {"run", job, "--state", folder / "strict", "--json", "--set", "source.max_bad_rows=2"});
  EXPECT_EQ(strict.status, 1);
  EXPECT_EQ(strict.output, "");
  EXPECT_NE(strict.errors.find("max_bad_rows"), std::string::npos) << strict.errors;
}

TEST(CommandLine, DamageInTheLogIsRefusedByNameWithTheWayOut) {
  const temporary_folder folder;
  const auto job = generated_job(folder, "damage");
  ASSERT_EQ(headrace({"run", job, "--state", folder / "state", "--json"}).status, 0);
  std::string segment;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "state/log/shard-0001"))
    segment = entry.path();
  {
    std::fstream file(segment, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(2'000);
    file.put('\x55');
    file.put('\x55');
  }
  const auto ended = headrace({"run", job, "--state", folder / "state", "--json"});
  EXPECT_EQ(ended.status, 1);
  EXPECT_EQ(ended.output, "");
  EXPECT_NE(ended.errors.find(segment), std::string::npos) << ended.errors;
}

TEST(CommandLine, ARunningServerForgetsRowsByFeatureAndKey) {
  const temporary_folder folder;
  std::string rows = "click,user,ad\n";
  for (int i = 0; i < 40; ++i)
    rows +=
        std::to_string(i % 2) + ",u" + std::to_string(i % 4) + ",a" + std::to_string(i % 3) + '\n';
  const auto events = write_file(folder / "clicks.csv", rows);
  const auto job = write_file(folder / "clicks.toml",
                              "[job]\nname = \"clicks\"\n[source]\nuri = \"file://" + events +
                                  "\"\nlabel = \"click > 0\"\n[features.user]\n[features.ad]\n"
                                  "[model]\narch = \"count\"\n[train]\nbatch_max = 8\n"
                                  "[shards]\ncount = 2\n[durability]\nlog = \"os\"\n");
  serving server(job, folder / "server");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  const auto trained = headrace(
      {"worker", job, "--connect", server.endpoint, "--state", folder / "worker", "--json"});
  ASSERT_EQ(trained.status, 0) << trained.errors;
  const auto forget = [&](std::vector<std::string> more) {
    std::vector<std::string> all{"forget", job, "--connect", server.endpoint};
    all.insert(all.end(), more.begin(), more.end());
    return headrace(std::move(all));
  };
  const auto looked = forget({"--feature", "user=u2", "--dry-run", "--json"});
  EXPECT_EQ(looked.status, 0) << looked.errors;
  EXPECT_EQ(json_field(looked.output, "found"), "true");
  EXPECT_EQ(json_field(looked.output, "lsn"), "0");
  const auto gone = forget({"--feature", "user=u2", "--json"});
  EXPECT_EQ(json_field(gone.output, "found"), "true");
  EXPECT_NE(json_field(gone.output, "lsn"), "0");
  const auto key = json_field(gone.output, "key");
  const auto again = forget({"--key", key, "--feature", "ad=a1"});
  EXPECT_EQ(again.status, 0) << again.errors;
  EXPECT_EQ(lines_of(again.output), 2U) << again.output;
  EXPECT_NE(again.output.find(key + "  no row; record "), std::string::npos) << again.output;
  EXPECT_NE(again.output.find("ad=a1: a row; record "), std::string::npos) << again.output;
  expect_one_line(forget({"--feature", "usr=u2"}), 2, {"usr", "did you mean 'user'"});
  expect_one_line(forget({"--table", "nobody", "--key", key}), 2, {"--table nobody"});
  expect_one_line(forget({}), 2, {"--key", "--feature"});
  expect_one_line(headrace({"release", job, "--connect", server.endpoint, "--source", "clicks"}),
                  1,
                  {"clicks", "quarantine"});
  server.process.signal(SIGTERM);
  EXPECT_EQ(server.process.wait_for(patience), 0) << server.process.errors();
}

TEST(CommandLine, ADryRunCountsWhatAPolicyWouldLeaveOut) {
  const temporary_folder folder;
  std::string rows = "click,user\n";
  for (int i = 0; i < 40; ++i)
    rows += std::to_string(i % 2) + (i < 30 ? ",often" : ",u" + std::to_string(i)) + '\n';
  const auto events = write_file(folder / "clicks.csv", rows);
  const auto job = write_file(folder / "clicks.toml",
                              "[job]\nname = \"clicks\"\n[source]\nuri = \"file://" + events +
                                  "\"\nlabel = \"click > 0\"\n[features.user]\n"
                                  "[model]\narch = \"count\"\n[durability]\nlog = \"os\"\n");
  ASSERT_EQ(headrace({"run", job, "--state", folder / "state", "--json"}).status, 0);
  const auto dry_run = [&](std::vector<std::string> more) {
    std::vector<std::string> all{"inspect", "dry-run", "--state", folder / "state"};
    all.insert(all.end(), more.begin(), more.end());
    return headrace(std::move(all));
  };
  const auto found = dry_run({"--ttl", "1h", "--count", "2", "--json"});
  EXPECT_EQ(found.status, 0) << found.errors;
  EXPECT_EQ(json_field(found.output, "rows"), "11");
  EXPECT_EQ(json_field(found.output, "would_expire"), "0");
  EXPECT_EQ(json_field(found.output, "would_not_be_admitted"), "10");
  expect_one_line(dry_run({}), 2, {"--ttl", "--count"});
  expect_one_line(dry_run({"--ttl", "soon"}), 2, {"--ttl soon", "30d"});
}

}  // namespace
}  // namespace headrace::tests
