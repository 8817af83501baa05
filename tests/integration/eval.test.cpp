#include "tests/support/child_process.hpp"
#include "tests/support/serving.hpp"
#include "tests/support/small_job.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

/// `headrace eval`: what a job learned, scored on events.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr auto patience = 120s;

finished headrace(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), headrace_binary());
  return run_program(std::move(arguments), patience);
}

finished eval(const std::string& state, std::vector<std::string> more) {
  std::vector<std::string> all{"eval", "--state", state};
  all.insert(all.end(), more.begin(), more.end());
  return headrace(std::move(all));
}

double figure(const std::string& json, const std::string& key) {
  const std::string text = json_field(json, key);
  return text.empty() ? NAN : std::stod(text);
}

std::string line_of(const std::string& text, int line) {
  std::istringstream lines(text);
  std::string found;
  for (int i = 0; i <= line; ++i) std::getline(lines, found);
  return found;
}

/// Every file with its size and when it was last written.
std::map<std::string, std::pair<std::uintmax_t, fs::file_time_type>> files_of(
    const std::string& state) {
  std::map<std::string, std::pair<std::uintmax_t, fs::file_time_type>> found;
  for (const auto& entry : fs::recursive_directory_iterator(state)) {
    if (entry.is_regular_file()) found[entry.path()] = {entry.file_size(), entry.last_write_time()};
  }
  return found;
}

/// 3,000 events of 20 users and 15 ads; a user clicks an ad where both are even or both odd, nine
/// times of ten.
std::string clicks(const temporary_folder& folder) {
  std::ofstream out(folder / "clicks.csv");
  out << "click,user,ad\n";
  std::uint32_t draw = 12'345;
  const auto next = [&](std::uint32_t below) {
    draw = draw * 1'664'525U + 1'013'904'223U;
    return (draw >> 8) % below;
  };
  for (int i = 0; i < 3'000; ++i) {
    const auto user = next(20);
    const auto ad = next(15);
    const bool likes = user % 2 == ad % 2;
    out << ((likes == (next(10) > 0)) ? 1 : 0) << ",u" << user << ",a" << ad << '\n';
  }
  return folder / "clicks.csv";
}

std::string clicks_job(const temporary_folder& folder, const std::string& more = "") {
  const std::string file = folder / "clicks.toml";
  std::ofstream(file) << "[job]\nname = \"clicks\"\n[source]\nuri = \"file://" << clicks(folder)
                      << "\"\nlabel = \"click > 0\"\n[features.user]\n[features.ad]\n"
                         "[model]\narch = \"fm\"\ndim = 4\n"
                         "[tables.embedding]\ninit = { scale = 0.1 }\n"
                         "[train]\nbatch_max = 8\nin_flight = 1\n[shards]\ncount = 2\n"
                         "[durability]\nlog = \"os\"\nkeep_log = \"all\"\n"
                      << more;
  return file;
}

TEST(Eval, ScoresWhatWasLearnedByWindowsAndChangesNothing) {
  const temporary_folder folder;
  const auto job = clicks_job(folder);
  const auto run = headrace({"run", job, "--state", folder / "state", "--json"});
  ASSERT_EQ(run.status, 0) << run.errors;
  const auto before = files_of(folder / "state");
  const auto scored = eval(folder / "state", {"--window", "1000", "--json"});
  ASSERT_EQ(scored.status, 0) << scored.errors;
  EXPECT_EQ(files_of(folder / "state"), before);
  EXPECT_EQ(json_field(scored.output, "samples"), "3000");
  EXPECT_GT(figure(scored.output, "auc"), 0.85);
  EXPECT_GT(figure(scored.output, "auc"), figure(run.output, "auc")) << "it has seen them all";
  EXPECT_NEAR(figure(scored.output, "calibration"), 1.0, 0.1);
  const auto windows = scored.output.substr(scored.output.find("\"windows\""));
  EXPECT_EQ(json_field(windows, "first_row"), "0");
  EXPECT_NE(windows.find("\"first_row\":2000,\"last_row\":2999,\"samples\":1000"),
            std::string::npos)
      << windows;
  EXPECT_EQ(eval(folder / "state", {"--window", "1000", "--json"}).output, scored.output);
  const auto part = eval(folder / "state", {"--from", "500", "--to", "700", "--json"});
  EXPECT_EQ(json_field(part.output, "first_row"), "500");
  EXPECT_EQ(json_field(part.output, "samples"), "200");
}

TEST(Eval, PutsVersionsSideBySideAndKeysNeverSeenHaveTheirInitialValues) {
  const temporary_folder folder;
  const auto job = clicks_job(folder);
  ASSERT_EQ(headrace({"run", job, "--state", folder / "state", "--json"}).status, 0);
  const auto scored = eval(folder / "state", {"--at", "lsn:0,lsn:40,now", "--json"});
  ASSERT_EQ(scored.status, 0) << scored.errors;
  const auto nothing = line_of(scored.output, 0);
  const auto some = line_of(scored.output, 1);
  const auto all = line_of(scored.output, 2);
  EXPECT_EQ(json_field(nothing, "version"), "lsn:0");
  EXPECT_EQ(json_field(nothing, "rows"), "0");
  // Vectors of ± 0.1 and no weights: next to nothing, but not nothing.
  EXPECT_NEAR(figure(nothing, "logloss"), std::log(2.0), 1e-3);
  EXPECT_NE(figure(nothing, "logloss"), std::log(2.0));
  EXPECT_EQ(json_field(some, "pushes"), "80") << some;
  EXPECT_LT(figure(some, "auc"), figure(all, "auc"));
  const auto text = eval(folder / "state", {"--at", "lsn:40", "--at", "now", "--window", "0"});
  EXPECT_NE(text.output.find("lsn:40"), std::string::npos) << text.output;
  // New events: of ids that nobody learned anything of.
  std::ofstream(folder / "new.csv") << "click,user,ad\n1,new,new2\n0,new3,new4\n";
  const auto fresh = eval(folder / "state", {"--data", folder / "new.csv", "--json"});
  EXPECT_EQ(json_field(fresh.output, "samples"), "2") << fresh.errors;
}

TEST(Eval, ReadsAStateThatWasKilledAndOneWhoseServerRuns) {
  const temporary_folder folder;
  const auto job = clicks_job(folder);
  child_process run(
      {headrace_binary(), "run", job, "--state", folder / "state", "--set", "source.duration=60s"});
  const auto learned = [&] {
    const auto scored = eval(folder / "state", {"--json"});
    return scored.status == 0 && figure(scored.output, "pushes") > 20;
  };
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (!learned() && std::chrono::steady_clock::now() < give_up) {
    ASSERT_FALSE(run.wait_for(1ms).has_value()) << run.errors();
  }
  run.signal(SIGKILL);
  ASSERT_EQ(run.wait_for(patience), 128 + SIGKILL);
  const auto scored = eval(folder / "state", {"--json"});
  ASSERT_EQ(scored.status, 0) << scored.errors;
  EXPECT_GT(figure(scored.output, "pushes"), 20.0);
  EXPECT_EQ(json_field(scored.output, "samples"), "3000");
}

TEST(Eval, ReadsACheckpointAsTheStateThatItWas) {
  const temporary_folder folder;
  const auto job =
      clicks_job(folder, "[checkpoint]\nto = \"" + (folder / "archive") + "\"\nevery = \"0s\"\n");
  serving server(job, folder / "state");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  ASSERT_EQ(run_program(worker_command(job, folder / "worker", server.endpoint), patience).status,
            0);
  const auto taken =
      headrace({"checkpoint", job, "--connect", server.endpoint, "--wait", "--json"});
  ASSERT_EQ(taken.status, 0) << taken.errors;
  server.process.signal(SIGTERM);
  ASSERT_EQ(server.process.wait_for(patience), 0);
  const auto id = json_field(taken.output, "id");
  const auto scored = eval(folder / "state", {"--at", id, "--at", "now", "--json"});
  ASSERT_EQ(scored.status, 0) << scored.errors;
  const auto then = line_of(scored.output, 0);
  EXPECT_EQ(json_field(then, "version"), id);
  EXPECT_EQ(json_field(then, "logloss"), json_field(line_of(scored.output, 1), "logloss"));
  EXPECT_GT(figure(then, "auc"), 0.85);
}

TEST(Eval, RanksTheValuesOfAFeature) {
  const temporary_folder folder;
  const auto job = clicks_job(folder);
  ASSERT_EQ(headrace({"run", job, "--state", folder / "state", "--json"}).status, 0);
  const auto at = [&](const std::string& version, std::vector<std::string> more) {
    std::vector<std::string> all{
        "--at", version, "--ranking", "--rank-feature", "ad", "--k", "8,15", "--json"};
    all.insert(all.end(), more.begin(), more.end());
    const auto scored = eval(folder / "state", all);
    EXPECT_EQ(scored.status, 0) << scored.errors;
    return scored.output.substr(scored.output.find("\"ranking\""));
  };
  // Of 15 ads 8 are even: who knows the users puts nearly all of theirs among the first 8.
  const auto learned = at("now", {});
  EXPECT_EQ(json_field(learned, "cases"), "1000");
  EXPECT_EQ(json_field(learned, "candidates"), "15");
  EXPECT_GT(figure(learned, "hr"), 0.8) << learned;
  EXPECT_NE(learned.find("\"k\":15,\"hr\":1,"), std::string::npos) << learned;
  EXPECT_LT(figure(at("lsn:0", {}), "hr"), 0.7);
  // Every user met every ad: nothing is left to compete with.
  const auto alone = at("now", {"--rank-by", "user"});
  EXPECT_EQ(json_field(alone, "cases"), "20");
  EXPECT_EQ(json_field(alone, "mrr"), "1");
}

TEST(Eval, RefusesInOneLineWhatItCannotDo) {
  const temporary_folder folder;
  const auto job = clicks_job(folder);
  const auto says = [&](std::vector<std::string> more, int status, const std::string& word) {
    const auto ended = eval(folder / "state", std::move(more));
    EXPECT_EQ(ended.status, status) << ended.errors;
    EXPECT_EQ(ended.output, "");
    EXPECT_EQ(std::count(ended.errors.begin(), ended.errors.end(), '\n'), 1) << ended.errors;
    EXPECT_NE(ended.errors.find(word), std::string::npos) << word << " in: " << ended.errors;
  };
  says({}, 1, folder / "state");
  ASSERT_EQ(headrace({"run", job, "--state", folder / "state", "--json"}).status, 0);
  says({"--at", "yesterday"}, 2, "lsn:N");
  says({"--at", "2020-01-01T00:00:00Z", "--to", "0"}, 2, "--from");
  says({"--at", "20200101T000000.000Z-clicks"}, 2, "--archive");
  says({"--ranking"}, 2, "--ranking needs --rank-feature");
  says({"--ranking", "--rank-by", "ad"}, 2, "--rank-feature");
  says({"--ranking", "--rank-feature", "da"}, 2, "da");
  says({"--ranking", "--rank-feature", "adv"}, 2, "did you mean 'ad'");
  says({"--ranking", "--rank-feature", "ad", "--rank-by", "ad"}, 2, "--rank-by");
  says({"--data", "/no/such/file.csv"}, 1, "/no/such/file.csv");
  says({"--set", "shards.count=3"}, 1, "source");
  says({"--from", "4000"}, 1, "3000");
}

}  // namespace
}  // namespace headrace::tests
