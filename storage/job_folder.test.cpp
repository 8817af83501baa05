#include "storage/job_folder.hpp"

#include "base/check.hpp"
#include "storage/checkpoint_manifest.hpp"
#include "storage/file_io.hpp"
#include "storage/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace headrace::storage {
namespace {

namespace fs = std::filesystem;

const job_identity movielens{"movielens", 0x0123456789abcdef};

bool mentions(const error& failure, const std::string& what) {
  return failure.detail.find(what) != std::string::npos;
}

void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

TEST(JobFolder, LaysOutANewJobAndKnowsItAgain) {
  temporary_folder folder;
  const fs::path root = folder.path() / "state" / "movielens";
  {
    auto opened = job_folder::open(root, movielens, job_role::server);
    ASSERT_TRUE(opened.ok()) << opened.error().detail;
    const auto& job = **opened;
    EXPECT_EQ(job.root(), root);
    EXPECT_EQ(job.rows(), root / "rows");
    EXPECT_EQ(job.shard_log(shard_id{7}), root / "log" / "shard-0007");
    EXPECT_EQ(job.shard_log(shard_id{12345}), root / "log" / "shard-12345");
    EXPECT_EQ(job.sample_log("movielens#1"), root / "samples" / "movielens#1");
    EXPECT_EQ(job.sample_log("../a b"), root / "samples" / "%2e.%2fa%20b");
    EXPECT_EQ(job.sample_log("..").filename(), "%2e.");
    EXPECT_EQ(job.report(), root / "report.html");
    EXPECT_TRUE(fs::is_directory(job.worker()));
  }
  EXPECT_EQ(*read_text(root / "JOB"),
            "# State of a headrace job. Written once; do not edit.\n"
            "format 1\n"
            "job movielens\n"
            "fingerprint 0123456789abcdef\n");
  EXPECT_TRUE(job_folder::open(root, movielens, job_role::server).ok());
  auto looking = job_folder::open_read_only(root);
  ASSERT_TRUE(looking.ok());
  EXPECT_EQ((*looking)->job(), movielens);
}

TEST(JobFolder, ServerWorkerAndIngestShareItButNotTwoServers) {
  temporary_folder folder;
  auto server = job_folder::open(folder.path(), movielens, job_role::server);
  ASSERT_TRUE(server.ok());
  auto worker = job_folder::open(folder.path(), movielens, job_role::worker);
  ASSERT_TRUE(worker.ok());
  auto ingest = job_folder::open(folder.path(), movielens, job_role::ingest);
  ASSERT_TRUE(ingest.ok());
  const auto other = job_folder::open(folder.path(), movielens, job_role::ingest);
  EXPECT_EQ(other.error().code, errc::in_use);
  EXPECT_TRUE(mentions(other.error(), "as ingest")) << other.error().detail;
  const auto second = job_folder::open(folder.path(), movielens, job_role::server);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, errc::in_use);
  EXPECT_TRUE(mentions(second.error(), folder.path().string())) << second.error().detail;
  EXPECT_TRUE(mentions(second.error(), "process " + std::to_string(::getpid())))
      << second.error().detail;
  EXPECT_TRUE(job_folder::open_read_only(folder.path()).ok());
  server->reset();
  EXPECT_TRUE(job_folder::open(folder.path(), movielens, job_role::server).ok());
}

TEST(JobFolder, LockGoesWithAKilledProcess) {
  temporary_folder folder;
  const ::pid_t child = ::fork();
  if (child == 0) {
    auto held = job_folder::open(folder.path(), movielens, job_role::server);
    CHECK(held.ok());
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(job_folder::open(folder.path(), movielens, job_role::server).ok());
}

TEST(JobFolder, RefusesAnotherJobsFolder) {
  temporary_folder folder;
  ASSERT_TRUE(job_folder::open(folder.path(), movielens, job_role::server).ok());
  const auto other = job_folder::open(folder.path(), {"criteo", 1}, job_role::worker);
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().code, errc::wrong_job);
  for (const std::string what : {"movielens", "criteo", folder.path().c_str(), "--state"}) {
    EXPECT_TRUE(mentions(other.error(), what)) << other.error().detail;
  }
  const auto changed = job_folder::open(folder.path(), {"movielens", 1}, job_role::worker);
  ASSERT_FALSE(changed.ok());
  EXPECT_EQ(changed.error().code, errc::wrong_job);
}

TEST(JobFolder, PutsNothingIntoAFolderThatIsNotItsOwn) {
  temporary_folder folder;
  write_file(folder.path() / "thesis.txt", "text");
  const auto opened = job_folder::open(folder.path(), movielens, job_role::server);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, errc::wrong_job);
  EXPECT_TRUE(mentions(opened.error(), "thesis.txt"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
  EXPECT_EQ(job_folder::open_read_only(folder.path()).error().code, errc::not_found);
  EXPECT_EQ(job_folder::open_read_only(folder.path() / "absent").error().code, errc::not_found);
  EXPECT_EQ(
      job_folder::open(folder.path() / "thesis.txt", movielens, job_role::server).error().code,
      errc::io_error);
}

TEST(JobFolder, GoesOnAfterACrashBeforeTheManifest) {
  temporary_folder folder;
  write_file(folder.path() / "LOCK.server", "123\n");
  write_file(folder.path() / "JOB.77", "half");
  EXPECT_TRUE(job_folder::open(folder.path(), movielens, job_role::server).ok());
}

TEST(JobFolder, NamesADamagedManifest) {
  temporary_folder folder;
  ASSERT_TRUE(job_folder::open(folder.path(), movielens, job_role::server).ok());
  const fs::path file = folder.path() / "JOB";
  const std::string good = *read_text(file);
  std::vector<std::string> bad{"", "x", good + "more\n", good.substr(0, good.size() - 1)};
  for (std::size_t line = 0; line + 1 < good.size(); line = good.find('\n', line) + 1)
    bad.push_back(good.substr(0, line));
  for (const auto& text : bad) {
    write_file(file, text);
    const auto opened = job_folder::open(folder.path(), movielens, job_role::server);
    ASSERT_FALSE(opened.ok()) << text;
    EXPECT_EQ(opened.error().code, errc::corrupt) << text;
    EXPECT_TRUE(mentions(opened.error(), file.string()));
  }
  std::string later = good;
  later.replace(later.find("format 1"), 8, "format 2");
  write_file(file, later);
  EXPECT_TRUE(mentions(job_folder::open_read_only(folder.path()).error(), "format 2"));
}

checkpoint_manifest sample_manifest() {
  checkpoint_manifest manifest;
  manifest.job = "movielens \"small\"";
  manifest.fingerprint = 0xfedcba9876543210;
  manifest.schema_version = 3;
  manifest.written_ms = 1'700'000'000'123;
  manifest.shards = {{shard_id{0}, lsn{120}, epoch{1}, 118, 4031},
                     {shard_id{1}, lsn{119}, epoch{2}, 117, 0}};
  manifest.watermarks = {{"movielens#1", "rows", batch_number{120}, batch_number{122}}};
  return manifest;
}

// Golden: this text stays readable in every later version (docs/adr/0001).
constexpr const char* golden_manifest =
    "# Headrace checkpoint: what the rows of this folder hold. Written at each flush.\n"
    "format = 1\n"
    "job = \"movielens \\\"small\\\"\"\n"
    "fingerprint = \"fedcba9876543210\"\n"
    "schema_version = 3\n"
    "written_ms = 1700000000123\n"
    "log_format = 1\n"
    "row_format = 1\n"
    "\n"
    "[[shard]]\n"
    "id = 0\n"
    "flushed = 120\n"
    "epoch = 1\n"
    "version = 118\n"
    "rows = 4031\n"
    "\n"
    "[[shard]]\n"
    "id = 1\n"
    "flushed = 119\n"
    "epoch = 2\n"
    "version = 117\n"
    "rows = 0\n"
    "\n"
    "[[watermark]]\n"
    "source = \"movielens#1\"\n"
    "lane = \"rows\"\n"
    "batch_min = 120\n"
    "batch_max = 122\n"
    "\n"
    "# crc32c a1f637a4\n";

TEST(CheckpointManifest, WritesAndReadsTheFrozenText) {
  EXPECT_EQ(format_manifest(sample_manifest()), golden_manifest);
  const auto parsed = parse_manifest(golden_manifest, "here");
  ASSERT_TRUE(parsed.ok()) << parsed.error().detail;
  EXPECT_EQ(*parsed, sample_manifest());
}

TEST(CheckpointManifest, KeepsOddNamesAndEmptyLists) {
  checkpoint_manifest manifest;
  manifest.job = "a\\b\"c\n\x01\xC3\xA9 [[shard]]";
  const auto parsed = parse_manifest(format_manifest(manifest), "here");
  ASSERT_TRUE(parsed.ok()) << parsed.error().detail;
  EXPECT_EQ(*parsed, manifest);
}

TEST(CheckpointManifest, NamesEveryChangedByteAndEveryCut) {
  const std::string good = golden_manifest;
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    const auto parsed = parse_manifest(bad, "here");
    ASSERT_FALSE(parsed.ok()) << i;
    EXPECT_EQ(parsed.error().code, errc::corrupt);
    EXPECT_FALSE(parse_manifest(good.substr(0, i), "here").ok()) << i;
  }
}

TEST(CheckpointManifest, ReplacesTheFileAsAWhole) {
  temporary_folder folder;
  const fs::path file = folder.path() / "CHECKPOINT";
  EXPECT_EQ(read_manifest(file).error().code, errc::not_found);
  auto manifest = sample_manifest();
  for (std::uint64_t round = 1; round <= 3; ++round) {
    manifest.written_ms = round;
    ASSERT_TRUE(write_manifest(file, manifest).ok());
    EXPECT_EQ(*read_manifest(file), manifest);
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
  EXPECT_FALSE(write_manifest(folder.path() / "absent" / "CHECKPOINT", manifest).ok());
}

}  // namespace
}  // namespace headrace::storage
