#include "storage/checkpoint_archive.hpp"

#include "base/random.hpp"
#include "base/sha256.hpp"
#include "storage/local_object_store.hpp"
#include "storage/test_s3_server.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <map>

namespace headrace::storage {
namespace {

namespace fs = std::filesystem;
using contents = std::map<std::string, std::string>;  // path → bytes

std::uint64_t test_seed() {
  if (const char* given = std::getenv("HEADRACE_SEED")) return std::strtoull(given, nullptr, 10);
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

std::string bytes_of(std::uint64_t seed, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(counter_draw(seed, 1, i));
  return bytes;
}

void write_file(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// As if written an hour ago, so that its hash is remembered.
void age(const fs::path& path) {
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(1));
}

void write_folder(const fs::path& folder, const contents& files) {
  fs::create_directories(folder);
  for (const auto& [path, bytes] : files) write_file(folder / path, bytes);
}

contents read_folder(const fs::path& folder) {
  contents files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      files[entry.path().lexically_relative(folder).generic_string()] = *read_text(entry.path());
  return files;
}

archived_checkpoint about(const std::string& job = "movielens") {
  archived_checkpoint checkpoint;
  checkpoint.job = job;
  checkpoint.fingerprint = 0x0123456789abcdef;
  checkpoint.digest = "89abcdef89abcdef";
  checkpoint.shards = {{shard_id{0}, lsn{120}, lsn{100}, 1'700'000'000'000, 118, 4'031},
                       {shard_id{1}, lsn{121}, lsn{121}, 1'700'000'000'001, 119, 0}};
  checkpoint.watermarks = {{"a \"b\"\n#1", "rows", batch_number{7}, batch_number{9}}};
  return checkpoint;
}

std::unique_ptr<object_store> open_local(const fs::path& folder) {
  auto opened = local_object_store::open(folder);
  EXPECT_TRUE(opened.ok()) << describe(opened.error());
  return std::move(*opened);
}

std::string upload(checkpoint_archive& archive, const fs::path& folder) {
  auto done = archive.upload(folder, about());
  EXPECT_TRUE(done.ok()) << describe(done.error());
  return done ? done->id : "";
}

bool mentions(const error& failure, const std::string& what) {
  return failure.detail.find(what) != std::string::npos;
}

class CheckpointArchive : public testing::Test {
 protected:
  checkpoint_archive open(checkpoint_archive::options how = {}) {
    return {open_local(store_), clock_, std::move(how)};
  }
  // Downloads into a new folder.
  contents downloaded(checkpoint_archive& archive, const std::string& id) {
    const fs::path target = folder_.path() / ("download-" + std::to_string(downloads_++));
    const auto done = archive.download(id, target);
    EXPECT_TRUE(done.ok()) << describe(done.error());
    return done ? read_folder(target) : contents{};
  }

  temporary_folder folder_;
  fs::path store_ = folder_.path() / "store";
  fs::path local_ = folder_.path() / "checkpoint";
  manual_clock clock_;
  int downloads_ = 0;
  const contents files_{{"CURRENT", "MANIFEST-000005\n"},
                        {"rows/000007.sst", bytes_of(7, 200'000)},
                        {"rows/copy.sst", bytes_of(7, 200'000)},
                        {"log/shard 0/é.log", bytes_of(8, 333)},
                        {"empty", ""}};
};

TEST_F(CheckpointArchive, GivesBackTheFilesAndWhatWasSaidOfThem) {
  write_folder(local_, files_);
  clock_.advance_ms(1'706'702'400'123 - clock_.now_ms());
  auto archive = open();
  const auto done = archive.upload(local_, about());
  ASSERT_TRUE(done.ok()) << describe(done.error());
  EXPECT_EQ(done->id, "20240131T120000.123Z-movielens");
  EXPECT_EQ(done->files_uploaded, 4U) << "equal files are stored once";
  EXPECT_EQ(done->files_reused, 1U);
  EXPECT_EQ(done->bytes_uploaded, 200'000U + 333 + 16);
  EXPECT_EQ(downloaded(archive, done->id), files_);
  auto checkpoint = *archive.read(done->id);
  EXPECT_EQ(checkpoint.files.size(), files_.size());
  EXPECT_EQ(checkpoint.bytes(), 400'000U + 333 + 16);
  EXPECT_EQ(checkpoint.written_ms, 1'706'702'400'123U);
  auto expected = about();
  expected.id = done->id;
  expected.written_ms = checkpoint.written_ms;
  expected.files = checkpoint.files;
  EXPECT_EQ(checkpoint, expected);
  EXPECT_EQ(archive.list()->checkpoints, std::vector<archived_checkpoint>{checkpoint});
}

TEST_F(CheckpointArchive, IdsAreTimesThatOnlyGrow) {
  write_folder(local_, files_);
  auto archive = open();
  clock_.advance_ms(1'706'702'400'999 - clock_.now_ms());
  const std::string first = upload(archive, local_);
  const std::string second = upload(archive, local_);
  EXPECT_EQ(second, "20240131T120001.000Z-movielens") << "the same millisecond";
  manual_clock gone_back;
  checkpoint_archive later(open_local(store_), gone_back, {});
  const std::string third = upload(later, local_);
  EXPECT_EQ(*archive.ids(), (std::vector<std::string>{third, second, first}));
  for (const std::uint64_t ms : {std::uint64_t{0}, std::uint64_t{951'827'696'789}, clock_.now_ms()})
    EXPECT_EQ(checkpoint_time_ms(checkpoint_id(ms, "job")), ms);
  EXPECT_EQ(checkpoint_id(0, "a/b %é"), "19700101T000000.000Z-a%2fb%20%25%c3%a9");
  for (const char* id :
       {"", "x", "20240131T120000.123Z-", "20241331T120000.123Z-a", "20240131t120000.123Z-a"})
    EXPECT_FALSE(checkpoint_time_ms(id)) << id;
}

TEST_F(CheckpointArchive, UploadsOnlyWhatIsNewAndReadsOnlyWhatItDoesNotRemember) {
  write_folder(local_, files_);
  for (const auto& [path, bytes] : files_) age(local_ / path);
  const fs::path cache = folder_.path() / "hashes.toml";
  auto first = open({cache, {}});
  upload(first, local_);

  // The next checkpoint: hard links of what stayed, a new file, one that was appended to.
  const fs::path next = folder_.path() / "next";
  contents files = files_;
  for (const auto& [path, bytes] : files_) {
    fs::create_directories((next / path).parent_path());
    fs::create_hard_link(local_ / path, next / path);
  }
  files["rows/000008.sst"] = bytes_of(9, 5'000);
  files["log/shard 0/é.log"] += "more";
  fs::remove(next / "log/shard 0/é.log");
  write_file(next / "log/shard 0/é.log", files["log/shard 0/é.log"]);
  write_file(next / "rows/000008.sst", files["rows/000008.sst"]);
  auto archive = open({cache, {}});
  const auto done = archive.upload(next, about());
  ASSERT_TRUE(done.ok()) << describe(done.error());
  EXPECT_EQ(done->files_uploaded, 2U);
  EXPECT_EQ(done->bytes_uploaded, 5'000U + 337);
  EXPECT_EQ(downloaded(archive, done->id), files);
  EXPECT_EQ(downloaded(archive, archive.ids()->back()), files_);

  auto known = file_hash_cache::load(cache);
  EXPECT_FALSE(known.hash(next / "rows/000007.sst")->read);
  EXPECT_TRUE(known.hash(next / "rows/000008.sst")->read) << "too young to be remembered";
  std::string text = *read_text(cache);
  text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 1);
  write_file(cache, text);
  EXPECT_TRUE(file_hash_cache::load(cache).hash(next / "rows/000007.sst")->read)
      << "a damaged cache is none";
}

TEST_F(CheckpointArchive, AFileThatIsNotWhatItsHashSaysIsNotStored) {
  write_folder(local_, {{"a", "one"}});
  age(local_ / "a");
  auto archive = open();
  auto cached = archive.upload(local_, about());
  ASSERT_TRUE(cached.ok());
  ASSERT_TRUE(archive.retain(1, 0).ok());
  // Changed behind the back of the four things that identify a file, and gone from the store.
  const auto time = fs::last_write_time(local_ / "a");
  std::fstream(local_ / "a", std::ios::in | std::ios::out) << "two";
  fs::last_write_time(local_ / "a", time);
  fs::remove_all(store_ / "objects");
  const auto refused = archive.upload(local_, about());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, errc::corrupt);
  EXPECT_TRUE(mentions(refused.error(), "file 'a'")) << refused.error().detail;
  EXPECT_EQ(archive.ids()->size(), 1U);
}

TEST_F(CheckpointArchive, WhatIsNeitherFileNorFolderIsRefused) {
  write_folder(local_, files_);
  fs::create_symlink("CURRENT", local_ / "link");
  auto archive = open();
  EXPECT_EQ(archive.upload(local_, about()).error().code, errc::bad_input);
  EXPECT_EQ(archive.upload(folder_.path() / "absent", about()).error().code, errc::not_found);
  EXPECT_TRUE(archive.ids()->empty());
}

TEST_F(CheckpointArchive, HoldsOneJob) {
  write_folder(local_, files_);
  auto archive = open();
  upload(archive, local_);
  const auto refused = archive.upload(local_, about("other"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, errc::wrong_job);
  ASSERT_TRUE(open_local(store_)
                  ->put("checkpoints/20240131T120000.123Z-other.toml", std::string_view("x"))
                  .ok());
  EXPECT_EQ(archive.retain(1, 0).error().code, errc::wrong_job);
}

TEST_F(CheckpointArchive, CancellingLeavesNoCheckpoint) {
  write_folder(local_, files_);
  int questions = 0;
  auto archive = open({{}, [&] { return ++questions > 8; }});
  EXPECT_EQ(archive.upload(local_, about()).error().code, errc::cancelled);
  EXPECT_TRUE(archive.ids()->empty());
}

// Every bit of small objects and manifests, some of a large one.
TEST_F(CheckpointArchive, AFlippedBitAnywhereIsRefusedByName) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  write_folder(local_, files_);
  auto archive = open();
  const std::string id = upload(archive, local_);
  const auto checkpoint = *archive.read(id);
  const fs::path target = folder_.path() / "target";
  const auto flips = [&](const fs::path& path, const std::string& name) {
    const std::string good = *read_text(path);
    const std::uint64_t bits = 8 * good.size();
    const bool every = bits < 2'000;
    for (std::uint64_t i = 0; i < (every ? bits : 200); ++i) {
      const std::uint64_t bit = every ? i : counter_draw(seed, bits, i) % bits;
      std::string bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      std::ofstream(path, std::ios::binary | std::ios::trunc) << bad;
      const auto got = archive.download(id, target);
      ASSERT_FALSE(got.ok()) << name << ", bit " << bit;
      ASSERT_EQ(got.error().code, errc::corrupt) << name << ", bit " << bit;
      ASSERT_TRUE(mentions(got.error(), name)) << got.error().detail;
    }
    std::ofstream(path, std::ios::binary | std::ios::trunc) << good;
  };
  flips(store_ / ("checkpoints/" + id + ".toml"), id);
  for (const auto& file : checkpoint.files) {
    fs::remove_all(target);
    if (file.path == "rows/copy.sst") continue;  // the object is found damaged under its first path
    flips(store_ / ("objects/" + file.sha256), "'" + file.path + "'");
  }
  EXPECT_EQ(downloaded(archive, id), files_);
}

// The manifest's own checksum and names, where a store would not notice.
TEST_F(CheckpointArchive, AManifestOrObjectOfAnotherNameIsRefused) {
  write_folder(local_, files_);
  auto archive = open();
  const std::string id = upload(archive, local_);
  const auto checkpoint = *archive.read(id);
  auto store = open_local(store_);
  ASSERT_TRUE(
      store->put("checkpoints/20200101T000000.000Z-movielens.toml", format_archived(checkpoint))
          .ok());
  EXPECT_EQ(archive.read("20200101T000000.000Z-movielens").error().code, errc::corrupt);
  const auto listed = archive.list();
  ASSERT_TRUE(listed.ok());
  EXPECT_EQ(listed->checkpoints.size(), 1U);
  ASSERT_EQ(listed->damaged.size(), 1U) << "the good one is listed all the same";
  EXPECT_TRUE(mentions(listed->damaged[0], "20200101T000000.000Z-movielens"));

  const auto& file = checkpoint.files[1];
  ASSERT_TRUE(store->put("objects/" + file.sha256, std::string_view("another's bytes")).ok());
  const auto got = archive.download(id, folder_.path() / "target");
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, errc::corrupt);
  EXPECT_TRUE(mentions(got.error(), "file '" + file.path + "'")) << got.error().detail;
  ASSERT_TRUE(store->remove("objects/" + file.sha256).ok());
  EXPECT_EQ(archive.download(id, folder_.path() / "target").error().code, errc::not_found);
}

TEST(ArchivedCheckpoint, EveryFlippedBitPathOutsideAndLaterFormatIsRefused) {
  auto checkpoint = about();
  checkpoint.id = checkpoint_id(0, "movielens");
  checkpoint.files = {{"a/b", 3, sha256_hex("x")}};
  const std::string good = format_archived(checkpoint);
  EXPECT_EQ(*parse_archived(good, "it"), checkpoint);
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_EQ(parse_archived(bad, "it").error().code, errc::corrupt) << "bit " << bit;
  }
  for (std::size_t size = 0; size < good.size(); ++size)
    ASSERT_EQ(parse_archived(good.substr(0, size), "it").error().code, errc::corrupt) << size;
  for (const char* path : {"", "/etc/x", "../x", "a/../../x", "a//b", "./a", "a/.", "a/"}) {
    checkpoint.files[0].path = path;
    EXPECT_EQ(parse_archived(format_archived(checkpoint), "it").error().code, errc::corrupt)
        << path;
  }
  checkpoint.files[0] = {"a", 3, "not a hash"};
  EXPECT_EQ(parse_archived(format_archived(checkpoint), "it").error().code, errc::corrupt);
}

TEST_F(CheckpointArchive, DownloadGoesOnWhereItStoppedAndOnlyIntoAFolderOfItsOwn) {
  write_folder(local_, files_);
  auto archive = open();
  const std::string id = upload(archive, local_);
  const fs::path target = folder_.path() / "target";
  write_folder(target,
               {{"CURRENT", files_.at("CURRENT")},
                {"rows/000007.sst", std::string(200'000, 'x')},
                {"empty.partial", "half"}});
  const auto before = fs::last_write_time(target / "CURRENT");
  ASSERT_TRUE(archive.download(id, target).ok());
  EXPECT_EQ(read_folder(target), files_);
  EXPECT_EQ(fs::last_write_time(target / "CURRENT"), before) << "it was right: kept";
  write_file(target / "LOCK", "");
  const auto refused = archive.download(id, target);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, errc::bad_input);
  EXPECT_TRUE(mentions(refused.error(), "LOCK"));
  EXPECT_EQ(archive.download("20200101T000000.000Z-none", target).error().code, errc::not_found);
}

// Refuses everything from the n-th operation on, as if the process had been killed there; `late`:
// the n-th one is done all the same, only its answer is lost.
class dying_store final : public object_store {
 public:
  dying_store(std::unique_ptr<object_store> store, int operations, bool late)
      : store_(std::move(store)), left_(operations), late_(late) {}

  using object_store::put;
  const std::string& uri() const override { return store_->uri(); }
  result<void> put(const std::string& name, std::span<const std::byte> bytes) override {
    return unless_dead([&] { return store_->put(name, bytes); });
  }
  result<void> put_file(const std::string& name,
                        const fs::path& file,
                        const std::string& hash) override {
    return unless_dead([&] { return store_->put_file(name, file, hash); });
  }
  result<std::vector<std::byte>> get(const std::string& name) override {
    return unless_dead([&] { return store_->get(name); });
  }
  result<std::string> get_to(const std::string& name, const fs::path& path) override {
    return unless_dead([&] { return store_->get_to(name, path); });
  }
  result<std::vector<object_entry>> list(const std::string& prefix) override {
    return unless_dead([&] { return store_->list(prefix); });
  }
  result<void> remove(const std::string& name) override {
    return unless_dead([&] { return store_->remove(name); });
  }
  result<bool> exists(const std::string& name) override {
    return unless_dead([&] { return store_->exists(name); });
  }

 private:
  template <class Do>
  std::invoke_result_t<Do> unless_dead(Do&& act) {
    if (left_-- > 0) return act();
    if (left_ == -1 && late_) (void)act();
    return error{errc::unavailable, "dead"};
  }
  std::unique_ptr<object_store> store_;
  int left_;
  bool late_;
};

class CheckpointArchiveKilled : public CheckpointArchive, public testing::WithParamInterface<bool> {
 protected:
  checkpoint_archive open_dying(int operations) {
    return {std::make_unique<dying_store>(open_local(store_), operations, GetParam()), clock_, {}};
  }
  // Whatever was interrupted: each checkpoint that is there is whole.
  void expect_whole(const std::map<std::string, contents>& known) {
    auto archive = open();
    const auto listed = archive.list();
    ASSERT_TRUE(listed.ok()) << describe(listed.error());
    ASSERT_TRUE(listed->damaged.empty());
    for (const auto& checkpoint : listed->checkpoints)
      EXPECT_EQ(downloaded(archive, checkpoint.id), known.at(checkpoint.id)) << checkpoint.id;
  }
  std::size_t objects() { return open_local(store_)->list("objects/")->size(); }
};

TEST_P(CheckpointArchiveKilled, AnUploadLeavesACheckpointOnlyWhenItIsWholeAndRetainSweepsTheRest) {
  write_folder(local_, {{"a", "1"}, {"b", "2"}});
  auto first = open();
  const std::string old = upload(first, local_);
  write_folder(local_, {{"b", "3"}, {"c", "4"}, {"d/e", "5"}});
  std::map<std::string, contents> known{{old, {{"a", "1"}, {"b", "2"}}}};
  int operations = 0;
  for (bool done = false; !done; ++operations) {
    SCOPED_TRACE("killed at operation " + std::to_string(operations));
    clock_.advance_ms(1'000);
    const std::string id = checkpoint_id(clock_.now_ms(), "movielens");
    known[id] = read_folder(local_);
    done = open_dying(operations).upload(local_, about()).ok();
    const auto there = *open().ids();
    // Put and not answered: it is whole and counts.
    EXPECT_EQ(there.size() == 2, done || (GetParam() && operations == 5));
    expect_whole(known);
    if (done) break;
    // A new job starts after each kill, so that no object is left over from the last round.
    ASSERT_TRUE(open_local(store_)->remove("checkpoints/" + id + ".toml").ok());
    auto archive = open();
    ASSERT_TRUE(archive.retain(5, 0).ok());
    EXPECT_EQ(objects(), 2U) << "what nothing refers to is gone";
    expect_whole(known);
  }
  EXPECT_EQ(operations, 6) << "two lists, three objects, a manifest";
}

TEST_P(CheckpointArchiveKilled, ARetainNeverTakesAnObjectOfAKeptCheckpoint) {
  const fs::path empty_store = store_;
  for (int operations = 0;; ++operations) {
    SCOPED_TRACE("killed at operation " + std::to_string(operations));
    store_ = folder_.path() / ("store-" + std::to_string(operations));
    std::map<std::string, contents> known;
    std::vector<std::string> ids;
    auto archive = open();
    for (int i = 0; i < 5; ++i) {
      fs::remove_all(local_);
      // Each checkpoint shares a file with the one before and the one after, and one with all.
      write_folder(local_,
                   {{"all", "same"},
                    {std::to_string(i), std::to_string(i)},
                    {std::to_string(i + 1), std::to_string(i + 1)}});
      clock_.advance_ms(1'000);
      ids.push_back(upload(archive, local_));
      known[ids.back()] = read_folder(local_);
    }
    const bool done = open_dying(operations).retain(2, 0).ok();
    expect_whole(known);
    const auto there = *archive.ids();
    ASSERT_GE(there.size(), 2U);
    EXPECT_EQ(there[0], ids[4]);
    EXPECT_EQ(there[1], ids[3]);
    for (std::size_t i = 0; i < there.size(); ++i)
      EXPECT_EQ(there[i], ids[4 - i]) << "oldest first";
    const auto rest = archive.retain(2, 0);
    ASSERT_TRUE(rest.ok()) << describe(rest.error());
    EXPECT_EQ(rest->checkpoints_kept, 2U);
    EXPECT_EQ(objects(), 4U) << "all, 3, 4, 5";
    expect_whole(known);
    if (done) {
      EXPECT_EQ(operations, 10) << "list, 2 reads, 3 manifests, list, 3 objects";
      break;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, CheckpointArchiveKilled, testing::Bool(), [](const auto& each) {
  return each.param ? "AnswerLost" : "NotDone";
});

TEST_F(CheckpointArchive, RetainKeepsTheNewestAndTheYoungAndSaysWhatItRemoved) {
  auto archive = open();
  std::vector<std::string> ids;
  for (int i = 0; i < 6; ++i) {
    fs::remove_all(local_);
    write_folder(local_, {{"f", std::string(100, static_cast<char>('a' + i))}});
    clock_.advance_ms(60'000);
    ids.insert(ids.begin(), upload(archive, local_));
  }
  auto done = archive.retain(1, 4 * 60'000);
  ASSERT_TRUE(done.ok()) << describe(done.error());
  EXPECT_EQ(done->checkpoints_kept, 4U) << "written 0, 1, 2 and 3 minutes ago";
  EXPECT_EQ(done->checkpoints_removed, 2U);
  EXPECT_EQ(done->objects_removed, 2U);
  EXPECT_EQ(done->bytes_removed, 200U);
  clock_.advance_ms(3'600'000);
  ASSERT_TRUE(archive.retain(3, 0).ok());
  EXPECT_EQ(*archive.ids(), std::vector<std::string>(ids.begin(), ids.begin() + 3));
  ASSERT_TRUE(archive.retain(0, 0).ok());
  EXPECT_EQ(*archive.ids(), std::vector<std::string>(ids.begin(), ids.begin() + 1))
      << "the newest one always stays";
}

TEST_F(CheckpointArchive, RetainRemovesNothingWhileAKeptManifestCannotBeRead) {
  auto archive = open();
  for (int i = 0; i < 3; ++i) {
    write_folder(local_, {{"f", std::to_string(i)}});
    clock_.advance_ms(1'000);
    upload(archive, local_);
  }
  const auto ids = *archive.ids();
  const fs::path manifest = store_ / ("checkpoints/" + ids[1] + ".toml");
  const std::string good = *read_text(manifest);
  std::ofstream(manifest, std::ios::trunc) << good.substr(1);
  const auto refused = archive.retain(2, 0);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, errc::corrupt);
  EXPECT_TRUE(mentions(refused.error(), ids[1])) << refused.error().detail;
  EXPECT_EQ(*archive.ids(), ids);
  ASSERT_TRUE(archive.retain(1, 0).ok()) << "it is not kept any more: it may go unread";
  EXPECT_EQ(archive.ids()->size(), 1U);
  ASSERT_TRUE(open_local(store_)->put("checkpoints/my-favourite.toml", good).ok());
  EXPECT_EQ(archive.retain(1, 0).error().code, errc::bad_input);
}

TEST_F(CheckpointArchive, WorksOnS3WithFewRequests) {
  auto server = s3_test_server::start({"--page", "3"});
  if (!server) GTEST_SKIP() << "python3 does not start tests/support/s3_server.py";
  write_folder(local_, files_);
  checkpoint_archive archive(std::make_unique<s3_object_store>(server->settings()), clock_, {});
  const std::string first = upload(archive, local_);
  (void)server->take_requests();
  contents files = files_;
  files["new"] = "a new one";
  write_folder(local_, files);
  clock_.advance_ms(1'000);
  server->fail_next("503 ok drop ok 500");
  const std::string second = upload(archive, local_);
  std::size_t puts = 0;
  for (const auto& line : server->take_requests())
    puts += line.starts_with("PUT") && line.ends_with(" 200") ? 1 : 0;
  EXPECT_EQ(puts, 2U) << "the new file and the manifest";
  EXPECT_EQ(downloaded(archive, first), files_);
  EXPECT_EQ(downloaded(archive, second), files);
  const auto done = archive.retain(1, 0);
  ASSERT_TRUE(done.ok()) << describe(done.error());
  EXPECT_EQ(done->objects_removed, 0U);
  EXPECT_EQ(*archive.ids(), std::vector<std::string>{second});
  EXPECT_EQ(downloaded(archive, second), files);
}

}  // namespace
}  // namespace headrace::storage
