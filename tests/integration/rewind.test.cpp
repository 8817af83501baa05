#include "tests/support/child_process.hpp"
#include "tests/support/serving.hpp"
#include "tests/support/small_job.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

/// `rewind` and `undo`: other rows under the same log. Rows count events in whole numbers, so that
/// what comes out can be compared with a run that learned nothing else.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr auto patience = 180s;
constexpr std::uint64_t batch = 8;

/// The first `rows` events of a file, as a file of their own.
std::string head_of(const std::string& file, std::uint64_t rows, const std::string& into) {
  std::ifstream in(file);
  std::ofstream out(into);
  std::string line;
  for (std::uint64_t i = 0; i <= rows && std::getline(in, line); ++i) out << line << '\n';
  return into;
}

class Rewind : public testing::Test {
 protected:
  Rewind() {
    small_job described;
    write_zipf_events(folder_ / "a.csv", 3'200, 1);
    described.events = folder_ / "a.csv";
    // Keys that come once in one stream and once in another get their row by both.
    described.more = "[tables.embedding.admit]\ncount = 2\n";
    job_ = described.write(folder_);
  }

  finished headrace(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), headrace_binary());
    arguments.insert(arguments.end(), {"--set", "shards.count=2"});
    return run_program(std::move(arguments), patience);
  }
  finished learn(const std::string& state, const std::string& source, const std::string& file) {
    auto done = headrace({"run",
                          job_,
                          "--state",
                          folder_ / state,
                          "--json",
                          "--speed",
                          "max",
                          "--set",
                          "source.name=" + source,
                          "--set",
                          "source.uri=file://" + file});
    EXPECT_EQ(done.status, 0) << done.errors;
    return done;
  }
  /// Of tables read back whole, with every log and block checked.
  std::string digest(const std::string& state) const {
    const auto verified =
        run_program({headrace_binary(), "verify", "--state", folder_ / state, "--json"}, patience);
    EXPECT_EQ(verified.status, 0) << verified.output << verified.errors;
    return json_field(verified.output, "digest_tables");
  }
  finished rewind(const std::string& state, std::vector<std::string> flags) const {
    std::vector<std::string> words{"rewind", job_, "--state", folder_ / state, "--json"};
    words.insert(words.end(), flags.begin(), flags.end());
    return headrace(std::move(words));
  }
  finished undo(const std::string& state, std::vector<std::string> flags) const {
    std::vector<std::string> words{"undo", job_, "--state", folder_ / state, "--json"};
    words.insert(words.end(), flags.begin(), flags.end());
    return headrace(std::move(words));
  }

  temporary_folder folder_;
  std::string job_;
};

TEST_F(Rewind, RowsAreThoseOfThatRecordAndTheLogGoesOn) {
  const std::uint64_t records = 150;
  learn("whole", "a", folder_ / "a.csv");
  learn("half", "a", head_of(folder_ / "a.csv", records * batch, folder_ / "half.csv"));
  const std::string whole = digest("whole");
  const auto done = rewind("whole", {"--to", "lsn:" + std::to_string(records)});
  ASSERT_EQ(done.status, 0) << done.errors;
  EXPECT_EQ(json_field(done.output, "digest_tables"), digest("half"));
  EXPECT_EQ(digest("whole"), digest("half"));
  // What came before counts as learned; a new source goes on from here.
  learn("whole", "a", folder_ / "a.csv");
  EXPECT_EQ(digest("whole"), digest("half"));
  write_zipf_events(folder_ / "b.csv", 400, 2);
  learn("whole", "b", folder_ / "b.csv");
  learn("half", "b", folder_ / "b.csv");
  EXPECT_EQ(digest("whole"), digest("half"));
  // And back to where it was before, from the same log.
  const auto again = rewind("whole", {"--to", "lsn:400"});
  ASSERT_EQ(again.status, 0) << again.errors;
  EXPECT_EQ(digest("whole"), whole);
}

TEST_F(Rewind, RetrainingLearnsAgainWhatWasTakenBack) {
  learn("state", "a", folder_ / "a.csv");
  const std::string learned = digest("state");
  ASSERT_EQ(rewind("state", {"--to", "lsn:100", "--retrain"}).status, 0);
  EXPECT_NE(digest("state"), learned);
  learn("state", "a", folder_ / "a.csv");
  EXPECT_EQ(digest("state"), learned);
}

TEST_F(Rewind, ADryRunChangesNothing) {
  learn("state", "a", folder_ / "a.csv");
  const std::string learned = digest("state");
  const auto told = rewind("state", {"--to", "lsn:100", "--dry-run"});
  ASSERT_EQ(told.status, 0) << told.errors;
  EXPECT_EQ(digest("state"), learned);
  ASSERT_EQ(rewind("state", {"--to", "lsn:100"}).status, 0);
  EXPECT_EQ(digest("state"), json_field(told.output, "digest_tables"));
}

TEST_F(Rewind, CutOffBeforeTheRowsAreInPlaceItIsRunAgain) {
  learn("state", "a", folder_ / "a.csv");
  fs::copy(folder_ / "state/rows", folder_ / "rows-before", fs::copy_options::recursive);
  ASSERT_EQ(rewind("state", {"--to", "lsn:100"}).status, 0);
  const std::string rewound = digest("state");
  fs::remove_all(folder_ / "state/rows");
  fs::rename(folder_ / "rows-before", folder_ / "state/rows");
  const auto refused = headrace({"run", job_, "--state", folder_ / "state", "--json"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.errors.find("run it again"), std::string::npos) << refused.errors;
  const auto done = rewind("state", {"--to", "lsn:100"});
  ASSERT_EQ(done.status, 0) << done.errors;
  EXPECT_EQ(digest("state"), rewound);
  learn("state", "a", folder_ / "a.csv");
  EXPECT_EQ(digest("state"), rewound);
}

TEST_F(Rewind, WhatCannotBeReachedIsSaid) {
  learn("state", "a", folder_ / "a.csv");
  const std::string learned = digest("state");
  const auto wrong = rewind("state", {"--to", "yesterday"});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_NE(wrong.errors.find("2026-11-26T10:00:00Z"), std::string::npos) << wrong.errors;
  ASSERT_EQ(rewind("state", {"--to", "lsn:100"}).status, 0);
  const auto behind = rewind("state", {"--to", "lsn:1000000"});
  EXPECT_EQ(behind.status, 1) << behind.output;
  EXPECT_NE(behind.errors.find("put in place"), std::string::npos) << behind.errors;
}

// What the log no longer holds can't be guessed from its stamps.
TEST_F(Rewind, ToATimeThatTheLogDoesNotReachIsRefused) {
  const std::vector<std::string> cut{"--set", "durability.keep_log=needed"};
  std::vector<std::string> learning{
      "run", job_, "--state", folder_ / "state", "--json", "--speed", "max"};
  learning.insert(learning.end(), cut.begin(), cut.end());
  for (const char* source : {"first", "second"}) {
    auto words = learning;
    words.insert(words.end(), {"--set", std::string("source.name=") + source});
    ASSERT_EQ(headrace(words).status, 0);
  }
  const std::string learned = digest("state");
  // Its log is cut at the latest by the second start.
  fs::remove_all(folder_ / "state/log/shard-0000");
  fs::remove_all(folder_ / "state/log/shard-0001");
  auto third = learning;
  third.insert(third.end(), {"--set", "source.name=third"});
  ASSERT_EQ(headrace(third).status, 0);
  const std::string more = digest("state");
  ASSERT_NE(more, learned);
  const auto refused = rewind("state", {"--to", "30d"});
  EXPECT_EQ(refused.status, 1) << refused.output;
  EXPECT_NE(refused.errors.find("begins at record"), std::string::npos) << refused.errors;
  EXPECT_EQ(digest("state"), more);
}

TEST_F(Rewind, NotUnderARunningServer) {
  learn("state", "a", folder_ / "a.csv");
  child_process server({headrace_binary(),
                        "server",
                        job_,
                        "--state",
                        folder_ / "state",
                        "--listen",
                        "tcp://127.0.0.1:*",
                        "--set",
                        "shards.count=2"});
  ASSERT_TRUE(server.wait_for_text("listening on", patience)) << server.errors();
  const auto refused = rewind("state", {"--to", "lsn:100"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.errors.find("is in use"), std::string::npos) << refused.errors;
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait_for(patience), 0);
}

TEST_F(Rewind, UndoneIsAsIfTheSourceHadNeverBeen) {
  write_zipf_events(folder_ / "b.csv", 800, 2);
  write_zipf_events(folder_ / "c.csv", 1'600, 3);
  for (const char* source : {"a", "b", "c"})
    learn("three", source, folder_ / (std::string(source) + ".csv"));
  for (const char* source : {"a", "c"})
    learn("two", source, folder_ / (std::string(source) + ".csv"));
  ASSERT_NE(digest("three"), digest("two"));
  const auto done = undo("three", {"--source", "b"});
  ASSERT_EQ(done.status, 0) << done.errors;
  EXPECT_EQ(json_field(done.output, "digest_tables"), digest("two"));
  EXPECT_EQ(digest("three"), digest("two"));
  learn("three", "b", folder_ / "b.csv");
  EXPECT_EQ(digest("three"), digest("two")) << "the source counts as learned";
}

TEST_F(Rewind, UndoBeginsFromACheckpointWhereTheLogIsCut) {
  write_zipf_events(folder_ / "b.csv", 800, 2);
  write_zipf_events(folder_ / "c.csv", 1'600, 3);
  const std::vector<std::string> kept{"--set",
                                      "durability.keep_log=needed",
                                      "--set",
                                      "checkpoint.keep_log=true",
                                      "--set",
                                      "checkpoint.every=0s",
                                      "--set",
                                      "checkpoint.to=" + folder_ / "archive"};
  learn("two", "a", folder_ / "a.csv");
  learn("two", "c", folder_ / "c.csv");
  const auto serve = [&] {
    std::vector<std::string> words{headrace_binary(),
                                   "server",
                                   job_,
                                   "--state",
                                   folder_ / "cut",
                                   "--listen",
                                   "tcp://127.0.0.1:*",
                                   "--set",
                                   "shards.count=2"};
    words.insert(words.end(), kept.begin(), kept.end());
    return std::make_unique<child_process>(words);
  };
  auto server = serve();
  ASSERT_TRUE(server->wait_for_text("listening on", patience)) << server->errors();
  const std::string said = server->output();
  const auto at = said.find("tcp://");
  const std::string endpoint = said.substr(at, said.find_first_of(", \n", at) - at);
  const auto send = [&](const std::string& source) {
    const auto done = headrace({"worker",
                                job_,
                                "--state",
                                folder_ / ("worker-" + source),
                                "--connect",
                                endpoint,
                                "--json",
                                "--speed",
                                "max",
                                "--set",
                                "source.name=" + source,
                                "--set",
                                "source.uri=file://" + folder_ / (source + ".csv")});
    ASSERT_EQ(done.status, 0) << done.errors;
  };
  send("a");
  const auto taken = headrace({"checkpoint", job_, "--connect", endpoint, "--wait", "--json"});
  ASSERT_EQ(taken.status, 0) << taken.errors << server->errors();
  send("b");
  send("c");
  server->signal(SIGTERM);
  ASSERT_EQ(server->wait_for(patience), 0) << server->errors();
  std::vector<std::string> flags{"--source", "b"};
  flags.insert(flags.end(), kept.begin(), kept.end());
  const auto done = undo("cut", flags);
  ASSERT_EQ(done.status, 0) << done.errors;
  EXPECT_EQ(json_field(done.output, "base"), json_field(taken.output, "id"));
  EXPECT_EQ(digest("cut"), digest("two"));
}

}  // namespace
}  // namespace headrace::tests
