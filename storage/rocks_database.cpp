#include "storage/rocks_database.hpp"

#include "storage/file_io.hpp"
#include "storage/level0_gate.hpp"
#include "storage/rocks_options.hpp"
#include "storage/rocks_support.hpp"
#include "storage/row_expiry.hpp"
#include "storage/row_file_system.hpp"

#include <rocksdb/listener.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <filesystem>
#include <system_error>
#include <utility>

namespace headrace::storage {
namespace {

constexpr const char* incoming = "incoming";  // a folder for files on their way in
constexpr std::size_t wal_files_max = 8;

// Each opening leaves an empty WAL file behind, and only a flush removes them: without this a
// crash loop would fill the folder. What is flushed is the deletion of a key that never exists.
rocksdb::Status tidy(rocksdb::DB& db, const std::filesystem::path& folder) {
  std::error_code failure;
  std::size_t logs = 0;
  for (std::filesystem::directory_iterator at(folder, failure), end; !failure && at != end;
       at.increment(failure)) {
    logs += at->path().extension() == ".log" ? 1 : 0;
  }
  if (logs <= wal_files_max) return {};
  const auto nothing = encode_row_key(shard_id{0xFFFFFFFF}, position_table, row_key{1});
  rocksdb::WriteBatch batch;
  rocksdb::Status status = batch.Delete(slice_of(nothing));
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  if (status.ok()) status = db.Write(options, &batch);
  if (status.ok()) status = db.Flush(rocksdb::FlushOptions());
  return status;
}

}  // namespace

/// Hears when a full disk stopped RocksDB, and keeps it from its own way back.
class full_disk_listener final : public rocksdb::EventListener {
 public:
  bool heard() const { return heard_; }
  void forget() { heard_ = false; }

  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) override {
    if (status->IsNoSpace()) heard_ = true;
  }
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason,
                            rocksdb::Status,
                            bool* by_itself) override {
    *by_itself = false;
  }
  const char* Name() const override { return "headrace.full_disk_listener"; }

 private:
  std::atomic<bool> heard_{false};
};

rocks_database::rocks_database(const rocks_row_store::options& how)
    : how_(how),
      expiry_(std::make_shared<row_expiry>()),
      gate_(std::make_shared<level0_gate>()),
      full_disk_(std::make_shared<full_disk_listener>()),
      files_(std::make_shared<row_file_system>(how.path / incoming)),
      env_(rocksdb::NewCompositeEnv(files_)) {}

rocks_database::~rocks_database() { close(); }

result<std::unique_ptr<rocks_database>> rocks_database::open(const rocks_row_store::options& how) {
  std::unique_ptr<rocks_database> made(new rocks_database(how));
  if (auto opened = how.read_only ? made->open_to_read() : made->open_to_write(); !opened)
    return opened.error();
  return made;
}

void rocks_database::close() {
  ingest_.reset();
  db_.reset();
}

result<void> rocks_database::open_to_read() {
  if (std::error_code absent; !std::filesystem::exists(how_.path / "CURRENT", absent))
    return error{errc::not_found, "no rows in '" + how_.path.string() + "'"};
  rocksdb::DB* db = nullptr;
  const auto status =
      rocksdb::DB::OpenForReadOnly(rocks_options({.read_only = true,
                                                  .block_cache_bytes = how_.block_cache_bytes,
                                                  .compress_oldest = how_.compress_oldest,
                                                  .expiry = expiry_,
                                                  .listeners = {},
                                                  .files = env_.get()}),
                                   how_.path.string(),
                                   &db);
  if (!status.ok()) return rocks_open_error(status, how_.path);
  db_.reset(db);
  return {};
}

result<void> rocks_database::open_to_write() {
  if (auto made = make_folder(how_.path); !made) return made.error();
  const rocksdb::Options tuned = rocks_options({.read_only = false,
                                                .block_cache_bytes = how_.block_cache_bytes,
                                                .compress_oldest = how_.compress_oldest,
                                                .expiry = expiry_,
                                                .listeners = {gate_, full_disk_},
                                                .files = env_.get()});
  rocksdb::DB* db = nullptr;
  auto status = rocksdb::DB::Open(tuned, how_.path.string(), &db);
  if (!status.ok()) return rocks_open_error(status, how_.path);
  db_.reset(db);
  if (status = tidy(*db, how_.path); !status.ok()) return rocks_error(status, how_.path, "tidy");
  auto ingest = row_ingest::open(*db, tuned, how_.path / incoming, gate_, files_);
  if (!ingest) return ingest.error();
  ingest_ = std::move(*ingest);
  return {};
}

result<void> rocks_database::open_again() {
  close();
  full_disk_->forget();
  why_not_.reset();
  auto opened = open_to_write();
  if (opened) return {};
  close();
  if (auto readable = open_to_read(); !readable) why_not_ = readable.error();
  return opened;
}

result<rocks_database::reading> rocks_database::read() {
  std::shared_lock open(open_);
  if (why_not_) return *why_not_;
  return reading{std::move(open), db_.get()};
}

result<rocks_database::writing> rocks_database::write() {
  if (how_.read_only) return error{errc::in_use, "the rows were opened for reading only"};
  while (true) {
    std::shared_lock open(open_);
    if (!stopped()) return writing{std::move(open), db_.get(), ingest_.get()};
    open.unlock();
    const std::unique_lock alone(open_);
    if (!stopped()) continue;  // another writer was faster
    if (auto opened = open_again(); !opened) return opened.error();
  }
}

bool rocks_database::stopped() const { return full_disk_->heard() || ingest_ == nullptr; }

}  // namespace headrace::storage
