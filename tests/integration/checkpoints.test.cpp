#include "tests/support/child_process.hpp"
#include "tests/support/serving.hpp"
#include "tests/support/small_job.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

/// Checkpoints of a running server, and what comes back from them.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr auto patience = 180s;

finished headrace(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), headrace_binary());
  return run_program(std::move(arguments), patience);
}

/// A job whose checkpoints go to `folder`/archive, only when asked.
std::string checkpointed_job(const temporary_folder& folder) {
  write_zipf_events(folder / "events.csv", 8'000, 7);
  small_job described;
  described.events = folder / "events.csv";
  described.duration = 60s;
  described.more = "[checkpoint]\nto = \"" + folder / "archive" + "\"\nevery = \"0s\"\n";
  return described.write(folder);
}

/// The rest of the source at full speed.
finished learn_the_rest(const std::string& job,
                        const std::string& state,
                        const std::string& endpoint) {
  auto command = worker_command(job, state, endpoint);
  command.insert(command.end(), {"--speed", "max"});
  return run_program(command, patience);
}

finished take_checkpoint(const std::string& job, const serving& server) {
  return headrace({"checkpoint", job, "--connect", server.endpoint, "--wait", "--json"});
}

std::string digest_of(const std::string& state) {
  std::string why;
  const std::string report = audited(state, why);
  EXPECT_NE(report, "") << why;
  return json_field(report, "digest_tables");
}

TEST(Checkpoints, AreTakenWithoutStoppingAndBringBackWhatWasThere) {
  const temporary_folder folder;
  const std::string job = checkpointed_job(folder);
  serving server(job, folder / "server");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  child_process worker(worker_command(job, folder / "worker", server.endpoint));
  ASSERT_FALSE(worker.wait_for(1s)) << worker.errors();
  const auto first = take_checkpoint(job, server);
  ASSERT_EQ(first.status, 0) << first.errors << server.process.errors();
  const auto second = take_checkpoint(job, server);
  ASSERT_EQ(second.status, 0) << second.errors;
  EXPECT_FALSE(worker.wait_for(0ms)) << "the source must still be running";
  EXPECT_NE(json_field(second.output, "bytes_reused"), "0") << second.output;
  worker.signal(SIGTERM);
  ASSERT_TRUE(worker.wait_for(patience)) << worker.errors();
  const auto whole = learn_the_rest(job, folder / "worker", server.endpoint);
  ASSERT_EQ(whole.status, 0) << whole.errors;
  server.process.signal(SIGTERM);
  ASSERT_EQ(server.process.wait_for(patience), 0) << server.process.errors();
  const std::string learned = digest_of(folder / "server");

  // Each is a state folder with the digest that its manifest tells.
  for (const auto& taken : {first, second}) {
    const std::string id = json_field(taken.output, "id");
    const std::string state = folder / id;
    const auto restored =
        headrace({"restore", job, "--checkpoint", id, "--state", state, "--json"});
    ASSERT_EQ(restored.status, 0) << restored.errors;
    const auto verified = headrace({"verify", "--state", state, "--json"});
    EXPECT_EQ(verified.status, 0) << verified.output << verified.errors;
    const std::string digest = json_field(restored.output, "digest");
    EXPECT_NE(digest, "");
    EXPECT_EQ(json_field(verified.output, "digest_tables"), digest);
    EXPECT_NE(digest, learned) << "the checkpoint is of the middle of the stream";
  }

  // From the older one the source is learned again to the same sums.
  serving again(job, folder / json_field(first.output, "id"));
  ASSERT_NE(again.endpoint, "") << again.process.errors();
  const auto rest = learn_the_rest(job, folder / "worker", again.endpoint);
  ASSERT_EQ(rest.status, 0) << rest.errors;
  again.process.signal(SIGTERM);
  ASSERT_EQ(again.process.wait_for(patience), 0);
  const auto verified =
      headrace({"verify", "--state", folder / json_field(first.output, "id"), "--json"});
  EXPECT_EQ(json_field(verified.output, "digest_tables"), learned) << verified.errors;
}

TEST(Checkpoints, ADamagedArchiveIsToldAndNeverRestored) {
  const temporary_folder folder;
  const std::string job = checkpointed_job(folder);
  serving server(job, folder / "server");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  ASSERT_EQ(learn_the_rest(job, folder / "worker", server.endpoint).status, 0);
  ASSERT_EQ(take_checkpoint(job, server).status, 0);
  server.process.signal(SIGTERM);
  ASSERT_EQ(server.process.wait_for(patience), 0);
  const auto good = headrace({"verify", "--archive", folder / "archive", "--json"});
  ASSERT_EQ(good.status, 0) << good.output << good.errors;

  int flipped = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "archive")) {
    if (!entry.is_regular_file() || entry.file_size() == 0) continue;
    const auto at = static_cast<std::streamoff>(entry.file_size() / 2);
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const int was = file.get();
    const auto put = [&](int byte) {
      file.seekp(at);
      file.put(static_cast<char>(byte));
      file.flush();
    };
    put(was ^ 0x10);
    const auto verified = headrace({"verify", "--archive", folder / "archive", "--json"});
    EXPECT_EQ(verified.status, 1) << entry.path() << verified.output;
    const std::string state = folder / ("restored-" + std::to_string(++flipped));
    const auto restored = headrace({"restore", job, "--state", state});
    EXPECT_EQ(restored.status, 1) << entry.path() << restored.output;
    EXPECT_FALSE(fs::exists(state + "/JOB")) << "no server may take this for whole";
    put(was);
  }
  EXPECT_GE(flipped, 5);
  EXPECT_EQ(headrace({"restore", job, "--state", folder / "whole"}).status, 0);
}

TEST(Checkpoints, AnArchiveOfAnotherJobIsRefused) {
  const temporary_folder folder;
  const std::string job = checkpointed_job(folder);
  serving server(job, folder / "server");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  ASSERT_EQ(take_checkpoint(job, server).status, 0);
  server.process.signal(SIGTERM);
  ASSERT_EQ(server.process.wait_for(patience), 0);
  const auto other =
      headrace({"restore", job, "--set", "shards.count=3", "--state", folder / "other"});
  EXPECT_EQ(other.status, 1);
  EXPECT_NE(other.errors.find("give its job file"), std::string::npos) << other.errors;
  // Killed when all was in its place but for the folder it came in: asked again, it touches
  // nothing.
  ASSERT_EQ(headrace({"restore", job, "--state", folder / "whole"}).status, 0);
  fs::create_directory(folder / "whole/.restoring");
  EXPECT_EQ(headrace({"restore", job, "--state", folder / "whole"}).status, 1);
  EXPECT_EQ(headrace({"verify", "--state", folder / "whole"}).status, 0);
  const auto full = headrace({"restore", job, "--state", folder / "server"});
  EXPECT_EQ(full.status, 1) << "a folder that holds a state is not written over";
}

}  // namespace
}  // namespace headrace::tests
