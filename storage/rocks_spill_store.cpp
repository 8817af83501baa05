#include "storage/rocks_spill_store.hpp"

#include "base/check.hpp"
#include "storage/file_io.hpp"
#include "storage/rocks_options.hpp"
#include "storage/rocks_support.hpp"

#include <rocksdb/db.h>
#include <rocksdb/listener.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

namespace headrace::storage {
namespace {

constexpr std::size_t cache_bytes = std::size_t{4} << 20;  // what is read is read once
constexpr std::size_t numbers_at_once = 256;

using number_bytes = std::array<std::byte, 8>;

// Big-endian: RocksDB's order is that of the numbers.
number_bytes key_of(std::uint64_t number) {
  number_bytes key{};
  for (std::size_t i = 0; i < key.size(); ++i)
    key[i] = static_cast<std::byte>(number >> (56 - 8 * i));
  return key;
}

/// A store that a full disk stopped stays stopped: RocksDB's own way back ends the process
/// (storage/rocks_database.hpp).
class no_way_back final : public rocksdb::EventListener {
 public:
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason,
                            rocksdb::Status,
                            bool* by_itself) override {
    *by_itself = false;
  }
  const char* Name() const override { return "headrace.no_way_back"; }
};

rocksdb::Options spill_options(std::size_t memtable_bytes) {
  rocksdb::Options options = rocks_options({.read_only = false,
                                            .block_cache_bytes = cache_bytes,
                                            .compress_oldest = false,
                                            .expiry = nullptr,
                                            .listeners = {std::make_shared<no_way_back>()},
                                            .files = rocksdb::Env::Default()});
  options.write_buffer_size = memtable_bytes;
  options.max_write_buffer_number = 2;
  options.avoid_flush_during_shutdown = true;
  return options;
}

// Names of files that RocksDB makes. Whoever is killed while it opens or empties a database leaves
// any of them, without CURRENT too.
bool is_of_rocksdb(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  for (const char* whole : {"CURRENT", "IDENTITY", "LOCK"})
    if (name == whole) return true;
  for (const char* begin : {"LOG", "MANIFEST-", "OPTIONS-"})
    if (name.starts_with(begin)) return true;
  for (const char* end : {".sst", ".log", ".dbtmp"})
    if (name.ends_with(end)) return true;
  return false;
}

rocksdb::WriteOptions not_logged() {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return options;
}

}  // namespace

struct rocks_spill_store::engine {
  std::filesystem::path folder;
  std::unique_ptr<rocksdb::DB> db;

  result<void> check(const rocksdb::Status& status, std::string_view what) const {
    if (status.ok()) return {};
    return rocks_error(status, folder, what);
  }
  result<void> read(std::span<const std::uint64_t> numbers,
                    const std::function<void(const spilled_bytes&)>& visit) const;
};

result<std::unique_ptr<rocks_spill_store>> rocks_spill_store::open(
    const std::filesystem::path& folder, std::size_t memtable_bytes) {
  std::error_code failure;
  bool filled = false;
  for (const auto& file : std::filesystem::directory_iterator(folder, failure)) {
    filled = true;
    if (!is_of_rocksdb(file.path()))
      return error{errc::bad_input,
                   "'" + folder.string() + "' is no spill store; name an empty folder"};
  }
  const rocksdb::Options options = spill_options(memtable_bytes);
  if (filled) {
    const auto emptied = rocksdb::DestroyDB(folder.string(), options);
    if (!emptied.ok()) return rocks_open_error(emptied, folder);
  }
  if (auto made = make_folder(folder); !made) return made.error();
  rocksdb::DB* db = nullptr;
  const auto opened = rocksdb::DB::Open(options, folder.string(), &db);
  if (!opened.ok()) return rocks_open_error(opened, folder);
  auto built = std::make_unique<engine>();
  built->folder = folder;
  built->db.reset(db);
  return std::unique_ptr<rocks_spill_store>(new rocks_spill_store(std::move(built)));
}

rocks_spill_store::rocks_spill_store(std::unique_ptr<engine> built) : engine_(std::move(built)) {}
rocks_spill_store::~rocks_spill_store() = default;

result<void> rocks_spill_store::write(std::span<const spilled_bytes> batch) {
  rocksdb::WriteBatch rows;
  for (const spilled_bytes& one : batch) {
    const auto key = key_of(one.number);
    const auto put = rows.Put(slice_of(key), slice_of(one.bytes));
    if (!put.ok()) return engine_->check(put, "spill to");
  }
  return engine_->check(engine_->db->Write(not_logged(), &rows), "spill to");
}

result<void> rocks_spill_store::read(std::span<const std::uint64_t> numbers,
                                     const std::function<void(const spilled_bytes&)>& visit) {
  while (!numbers.empty()) {
    const auto some = numbers.first(std::min(numbers.size(), numbers_at_once));
    if (auto done = engine_->read(some, visit); !done) return done;
    numbers = numbers.subspan(some.size());
  }
  return {};
}

result<void> rocks_spill_store::engine::read(
    std::span<const std::uint64_t> numbers,
    const std::function<void(const spilled_bytes&)>& visit) const {
  std::vector<number_bytes> bytes(numbers.size());
  std::vector<rocksdb::Slice> keys(numbers.size());
  std::vector<rocksdb::PinnableSlice> values(numbers.size());
  std::vector<rocksdb::Status> statuses(numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    bytes[i] = key_of(numbers[i]);
    keys[i] = slice_of(bytes[i]);
  }
  constexpr bool sorted = true;
  db->MultiGet(rocks_read_options(),
               db->DefaultColumnFamily(),
               keys.size(),
               keys.data(),
               values.data(),
               statuses.data(),
               sorted);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (statuses[i].IsNotFound())
      return error{errc::corrupt,
                   "'" + folder.string() + "' no longer holds what was spilled to it"};
    if (auto read = check(statuses[i], "read what was spilled to"); !read) return read;
    visit({numbers[i], bytes_of(values[i])});
  }
  return {};
}

// Each number is written once, which is what SingleDelete needs to leave nothing behind.
result<void> rocks_spill_store::remove(std::span<const std::uint64_t> numbers) {
  rocksdb::WriteBatch rows;
  for (const std::uint64_t number : numbers) {
    const auto key = key_of(number);
    const auto removed = rows.SingleDelete(slice_of(key));
    if (!removed.ok()) return engine_->check(removed, "remove what was spilled to");
  }
  return engine_->check(engine_->db->Write(not_logged(), &rows), "remove what was spilled to");
}

}  // namespace headrace::storage
