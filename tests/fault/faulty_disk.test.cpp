#include "tests/support/faulty_disk.hpp"

#include "actors/control_client.hpp"
#include "actors/transport/context.hpp"
#include "schemas/pull.hpp"
#include "schemas/schema.hpp"
#include "tests/support/process_facts.hpp"
#include "tests/support/serving.hpp"
#include "tests/support/small_job.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <memory>

/// A server or a worker on a disk that fails, fills up, takes little at a time, or is slow.
/// Afterwards everything was learned once.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 180s;
constexpr std::uint32_t shards = 4;  // of a small_job

class FaultyDisk : public testing::Test {
 protected:
  void begin(const small_job& wanted, const std::string& broken_path) {
    job_ = wanted.write(folder_);
    const auto calm = calm_run(job_, folder_ / "calm");
    ASSERT_EQ(calm.status, 0) << calm.errors;
    expected_ = weights_in("calm");
    disk_ = std::make_unique<faulty_disk>(broken_path);
  }
  void start_server(bool on_faulty_disk) {
    const std::string address = endpoint_.empty() ? "tcp://127.0.0.1:*" : endpoint_;
    const auto environment = on_faulty_disk ? disk_->environment() : std::vector<std::string>();
    server_ = std::make_unique<serving>(job_, folder_ / "server", address, environment);
    ASSERT_NE(server_->endpoint, "") << server_->process.errors();
    endpoint_ = server_->endpoint;
  }
  void start_worker(bool on_faulty_disk) {
    worker_ = std::make_unique<child_process>(
        worker_command(job_, folder_ / "worker", endpoint_),
        on_faulty_disk ? disk_->environment() : std::vector<std::string>());
  }
  std::string weights_in(const std::string& name) {
    std::string why;
    const std::string inspected = audited(folder_ / name, why);
    EXPECT_NE(inspected, "") << why;
    return json_field(inspected, "digest_weights");
  }
  void expect_all_learned_once() {
    ASSERT_EQ(worker_->wait_for(patience), 0) << worker_->errors();
    server_->process.signal(SIGTERM);
    ASSERT_EQ(server_->process.wait_for(patience), 0) << server_->process.errors();
    EXPECT_EQ(weights_in("server"), expected_);
  }
  // A sync of rows fails.
  void expect_it_ends_and_starts_again() {
    start_server(true);
    if (HasFatalFailure()) return;
    start_worker(false);
    ASSERT_TRUE(eventually([&] { return (*disk_)->syncs > 10; }, patience));
    (*disk_)->sync_fails_at = (*disk_)->syncs + 1;
    ASSERT_TRUE(injected(1));
    const auto ended = server_->process.wait_for(30s);
    const std::string said = server_->process.errors();
    ASSERT_TRUE(ended) << "still running: " << said;
    EXPECT_NE(*ended, 0);
    EXPECT_NE(said.find(folder_ / "server/rows"), std::string::npos) << said;
    EXPECT_NE(said.find("Input/output error"), std::string::npos) << said;
    start_server(false);
    if (HasFatalFailure()) return;
    expect_all_learned_once();
  }
  bool injected(std::int64_t least) {
    return eventually([&] { return (*disk_)->injected >= least; }, patience);
  }
  // One row of each shard, as a reader asks for it.
  void expect_reads_answered() {
    actors::transport_context context;
    auto reader = actors::control_client::open(context, endpoint_, "reader");
    ASSERT_TRUE(reader) << describe(reader.error());
    for (std::uint32_t s = 0; s < shards; ++s) {
      std::uint64_t key = 1;
      while (schemas::shard_of(row_key{key}, shards).value != s) ++key;
      schemas::pull_section wanted;
      wanted.shard = shard_id{s};
      wanted.blocks = {{table_id{0}, schemas::value_codec::fp32, std::span(&key, 1)}};
      const auto answer = (*reader)->ask(
          schemas::message_kind::pull, shard_id{s}, schemas::encode(wanted), patience);
      ASSERT_TRUE(answer) << describe(answer.error());
      const auto rows = schemas::decode_pull_reply(*answer);
      ASSERT_TRUE(rows) << describe(rows.error());
      EXPECT_EQ(rows->status, errc::ok) << rows->detail;
      EXPECT_EQ(rows->blocks.size(), 1U);
    }
  }

  temporary_folder folder_;
  std::string job_;
  std::string expected_;
  std::string endpoint_;
  std::unique_ptr<faulty_disk> disk_;
  std::unique_ptr<serving> server_;
  std::unique_ptr<child_process> worker_;
};

small_job with_log(const std::string& mode) {
  small_job job;
  job.log = mode;
  job.rows = 8'000;
  job.duration = 4s;
  return job;
}

TEST_F(FaultyDisk, AServerWhoseLogCannotBeSyncedEndsAtOnceAndStartsAgain) {
  begin(with_log("fsync"), "/server/log/");
  if (HasFatalFailure()) return;
  (*disk_)->sync_fails_at = 100;
  start_server(true);
  if (HasFatalFailure()) return;
  start_worker(false);
  ASSERT_EQ(server_->process.wait_for(patience), 128 + SIGABRT) << server_->process.errors();
  const std::string said = server_->process.errors();
  EXPECT_NE(said.find("fdatasync of '" + (folder_ / "server/log/")), std::string::npos) << said;
  EXPECT_NE(said.find("Input/output error"), std::string::npos) << said;
  start_server(false);
  if (HasFatalFailure()) return;
  expect_all_learned_once();
}

TEST_F(FaultyDisk, AWorkerWhoseSampleLogCannotBeSyncedEndsAtOnceAndStartsAgain) {
  begin(with_log("fsync"), "/worker/samples/");
  if (HasFatalFailure()) return;
  (*disk_)->sync_fails_at = 100;
  start_server(false);
  if (HasFatalFailure()) return;
  start_worker(true);
  ASSERT_EQ(worker_->wait_for(patience), 128 + SIGABRT) << worker_->errors();
  EXPECT_NE(worker_->errors().find("fdatasync of '" + (folder_ / "worker/samples/")),
            std::string::npos)
      << worker_->errors();
  start_worker(false);
  expect_all_learned_once();
}

// RocksDB stays read-only after such an error: going on would let the unwritten tail grow for ever.
TEST_F(FaultyDisk, AServerWhoseRowsCannotBeSyncedEndsAndStartsAgain) {
  begin(with_log("os"), "/server/rows/");
  if (HasFatalFailure()) return;
  expect_it_ends_and_starts_again();
}

// The line about a new file may be in the manifest all the same: that file must be there.
TEST_F(FaultyDisk, AServerWhoseManifestOfRowsCannotBeSyncedEndsAndStartsAgain) {
  begin(with_log("os"), "/server/rows/MANIFEST-");
  if (HasFatalFailure()) return;
  expect_it_ends_and_starts_again();
}

TEST_F(FaultyDisk, AFullDiskRefusesPushesAnswersReadsAndResumesByItself) {
  begin(with_log("os"), "/server/log/");
  if (HasFatalFailure()) return;
  start_server(true);
  if (HasFatalFailure()) return;
  start_worker(false);
  ASSERT_TRUE(eventually([&] { return (*disk_)->writes > 100; }, patience));
  (*disk_)->disk_full_from = 1;
  ASSERT_TRUE(injected(20));  // refused, and tried again
  ASSERT_TRUE(server_->process.wait_for_text("shard.refuses", patience));
  EXPECT_NE(server_->process.errors().find("No space left on device; free space"),
            std::string::npos)
      << server_->process.errors();
  expect_reads_answered();
  ASSERT_FALSE(server_->process.wait_for(0ms)) << server_->process.errors();
  ASSERT_FALSE(worker_->wait_for(0ms)) << worker_->errors();
  (*disk_)->disk_full_from = 0;
  ASSERT_TRUE(server_->process.wait_for_text("shard.accepts_again", patience));
  expect_all_learned_once();
}

// RocksDB stops for good then (7.8), and is opened again.
TEST_F(FaultyDisk, AFullDiskUnderTheManifestOfRowsIsGotOver) {
  begin(with_log("os"), "/server/rows/MANIFEST-");
  if (HasFatalFailure()) return;
  start_server(true);
  if (HasFatalFailure()) return;
  start_worker(false);
  ASSERT_TRUE(eventually([&] { return (*disk_)->syncs > 10; }, patience));
  (*disk_)->disk_full_from = 1;
  ASSERT_TRUE(injected(5));
  expect_reads_answered();
  ASSERT_FALSE(server_->process.wait_for(0ms)) << server_->process.errors();
  (*disk_)->disk_full_from = 0;
  expect_all_learned_once();
}

TEST_F(FaultyDisk, AWorkersFullDiskStopsItsSourceUntilThereIsSpace) {
  begin(with_log("os"), "/worker/samples/");
  if (HasFatalFailure()) return;
  start_server(false);
  if (HasFatalFailure()) return;
  start_worker(true);
  ASSERT_TRUE(eventually([&] { return (*disk_)->writes > 50; }, patience));
  (*disk_)->disk_full_from = 1;
  ASSERT_TRUE(injected(5));
  ASSERT_FALSE(worker_->wait_for(0ms)) << worker_->errors();
  (*disk_)->disk_full_from = 0;
  expect_all_learned_once();
}

TEST_F(FaultyDisk, ShortWritesAreContinued) {
  begin(with_log("os"), "/log/");
  if (HasFatalFailure()) return;
  (*disk_)->write_bytes_max = 61;
  start_server(true);
  if (HasFatalFailure()) return;
  start_worker(false);
  expect_all_learned_once();
  EXPECT_GT((*disk_)->injected, 1'000);
}

TEST_F(FaultyDisk, ASlowSyncDelaysAcknowledgementsAndNothingElse) {
  small_job wanted = with_log("fsync");
  wanted.rows = 1'600;
  begin(wanted, "/server/log/");
  if (HasFatalFailure()) return;
  (*disk_)->sync_delay_ms = 40;
  start_server(true);
  if (HasFatalFailure()) return;
  start_worker(false);
  ASSERT_TRUE(injected(20));
  expect_reads_answered();
  expect_all_learned_once();
}

}  // namespace
}  // namespace headrace::tests
