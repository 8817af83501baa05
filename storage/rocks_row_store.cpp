#include "storage/rocks_row_store.hpp"

#include "storage/crc32c.hpp"
#include "storage/file_io.hpp"
#include "storage/little_endian.hpp"

#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/memtablerep.h>
#include <rocksdb/options.h>
#include <rocksdb/slice.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <cstdarg>
#include <utility>
#include <vector>

namespace headrace::storage {
namespace {

constexpr std::size_t key_bytes = 16;
constexpr std::size_t row_header_bytes = 24;
constexpr std::size_t position_header_bytes = 32;
constexpr std::uint32_t position_format_version = 1;
// Behind every table, so that a position is the last key of its shard.
constexpr table_id position_table{0xFFFFFFFF};
constexpr std::size_t wal_files_max = 8;
constexpr std::size_t batch_bytes = std::size_t{1} << 20;

rocksdb::Slice slice_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<const std::byte> bytes_of(const rocksdb::Slice& slice) {
  return std::as_bytes(std::span(slice.data(), slice.size()));
}

template <class Number>
void put_big_endian(std::span<std::byte> bytes, std::size_t offset, Number number) {
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    bytes[offset + i] = static_cast<std::byte>(number >> (8 * (sizeof(Number) - 1 - i)));
  }
}

template <class Number>
Number take_big_endian(std::span<const std::byte> bytes, std::size_t offset) {
  Number number = 0;
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    number = static_cast<Number>(number << 8) | static_cast<Number>(bytes[offset + i]);
  }
  return number;
}

bool supports(rocksdb::CompressionType type) {
  const auto supported = rocksdb::GetSupportedCompressions();
  return std::ranges::find(supported, type) != supported.end();
}

// RocksDB's own LOG file would be written through a file writer that Debian's build ends the
// process with (an assertion) on the next line after a line that a full disk refused. What matters
// comes back as a status anyway.
class no_info_log final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, std::va_list) override {}
};

rocksdb::Options options_for(const rocks_row_store::options& how) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.info_log = std::make_shared<no_info_log>();
  options.max_open_files =
      how.read_only ? -1 : 512;  // all at once: a compaction elsewhere can't remove them under us
  options.max_background_jobs = 2;
  options.write_buffer_size = how.memtable_bytes;
  options.max_write_buffer_number = 4;
  // Written in bulk, read only at start: six times the skip list's rate (stack notes §4.6).
  options.memtable_factory = std::make_shared<rocksdb::VectorRepFactory>();
  options.allow_concurrent_memtable_write = false;
  options.level_compaction_dynamic_level_bytes = true;
  options.compression = rocksdb::kNoCompression;  // floats that are rewritten each minute
  if (supports(rocksdb::kZSTD)) options.bottommost_compression = rocksdb::kZSTD;
  rocksdb::BlockBasedTableOptions table;
  table.checksum = rocksdb::kXXH3;
  table.block_size = std::size_t{16} << 10;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

rocksdb::ReadOptions scan_options() {
  rocksdb::ReadOptions options;
  options.verify_checksums = true;
  options.fill_cache = false;
  options.readahead_size = std::size_t{2} << 20;
  return options;
}

error error_of(const rocksdb::Status& status,
               const std::filesystem::path& path,
               std::string_view what) {
  const std::string text =
      "cannot " + std::string(what) + " '" + path.string() + "': " + status.ToString();
  if (status.IsCorruption())
    return {errc::corrupt, text + "; restore the state folder from a copy"};
  if (status.IsNoSpace() || text.find("File too large") != std::string::npos) {
    return {errc::disk_full, text + "; free space on that disk or raise its limit"};
  }
  return {errc::io_error, text};
}

error open_error(const rocksdb::Status& status, const std::filesystem::path& path) {
  const std::string text = status.ToString();
  const bool locked = status.IsIOError() && text.find("LOCK") != std::string::npos;
  if (locked) {
    return {errc::in_use,
            "the rows in '" + path.string() + "' are in use by another process; stop it first (" +
                text + ")"};
  }
  return error_of(status, path, "open the rows in");
}

}  // namespace

struct rocks_row_store::engine {
  std::filesystem::path path;
  bool read_only = false;
  std::unique_ptr<rocksdb::DB> db;

  result<void> check(const rocksdb::Status& status, std::string_view what) const {
    if (status.ok()) return {};
    return error_of(status, path, what);
  }

  // A full disk stops RocksDB for good unless it is told that there is space again; then one more
  // try.
  // Each opening leaves an empty WAL file behind, and only a flush removes them: without this a
  // crash loop would fill the folder. What is flushed is the deletion of a key that never exists.
  result<void> tidy() {
    std::error_code failure;
    std::size_t logs = 0;
    for (std::filesystem::directory_iterator at(path, failure), end; !failure && at != end;
         at.increment(failure)) {
      logs += at->path().extension() == ".log" ? 1 : 0;
    }
    if (logs <= wal_files_max) return {};
    const auto nothing = encode_row_key(shard_id{0xFFFFFFFF}, position_table, row_key{1});
    rocksdb::WriteBatch batch;
    if (const auto status = batch.Delete(slice_of(nothing)); !status.ok())
      return check(status, "tidy");
    if (auto deleted = put(batch); !deleted) return deleted;
    return check(db->Flush(rocksdb::FlushOptions()), "tidy");
  }

  // A full disk stops RocksDB for good unless it is told that there is space again; then one more
  // try.
  template <class Work>
  result<void> with_resume(Work work, std::string_view what) {
    rocksdb::Status status = work();
    if (!status.ok() && !status.IsCorruption() && db->Resume().ok()) status = work();
    return check(status, what);
  }

  result<void> put(const rocksdb::WriteBatch& batch) {
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    return with_resume(
        [&] {
          rocksdb::WriteBatch copy(batch.Data());
          return db->Write(options, &copy);
        },
        "write rows to");
  }
};

std::array<std::byte, key_bytes> encode_row_key(shard_id shard, table_id table, row_key key) {
  std::array<std::byte, key_bytes> bytes{};
  put_big_endian(bytes, 0, shard.value);
  put_big_endian(bytes, 4, table.value);
  put_big_endian(bytes, 8, key.value);
  return bytes;
}

std::string encode_row(const stored_row& row) {
  std::string value(row_header_bytes + row.floats.size_bytes(), '\0');
  const auto bytes = std::as_writable_bytes(std::span(value));
  put(bytes, 0, row.lsn.value);
  put(bytes, 8, row.last_seen_ms);
  put(bytes, 16, row.count);
  put(bytes, 20, row.flags);
  std::ranges::copy(std::as_bytes(row.floats), bytes.begin() + row_header_bytes);
  return value;
}

std::string encode_position(const shard_position& position) {
  std::string value(position_header_bytes + position.state.size(), '\0');
  const auto bytes = std::as_writable_bytes(std::span(value));
  put(bytes, 0, position_format_version);
  put(bytes, 8, position.flushed.value);
  put(bytes, 16, position.epoch.value);
  put(bytes, 24, static_cast<std::uint64_t>(position.state.size()));
  std::ranges::copy(position.state, bytes.begin() + position_header_bytes);
  put(bytes, 4, crc32c(bytes.subspan(8)));
  return value;
}

result<shard_position> decode_position(std::span<const std::byte> bytes) {
  if (bytes.size() < position_header_bytes)
    return error{errc::corrupt, "a shard's position is cut short"};
  if (const auto version = take<std::uint32_t>(bytes, 0); version != position_format_version) {
    return error{errc::corrupt,
                 "a shard's position has format version " + std::to_string(version) +
                     ", this headrace reads 1"};
  }
  if (take<std::uint32_t>(bytes, 4) != crc32c(bytes.subspan(8)) ||
      take<std::uint64_t>(bytes, 24) != bytes.size() - position_header_bytes) {
    return error{errc::corrupt, "the checksum of a shard's position does not match"};
  }
  shard_position position;
  position.flushed = lsn{take<std::uint64_t>(bytes, 8)};
  position.epoch = epoch{take<std::uint64_t>(bytes, 16)};
  const auto state = bytes.subspan(position_header_bytes);
  position.state.assign(state.begin(), state.end());
  return position;
}

result<std::unique_ptr<rocks_row_store>> rocks_row_store::open(std::filesystem::path path,
                                                               bool read_only) {
  options how;
  how.path = std::move(path);
  how.read_only = read_only;
  return open(std::move(how));
}

result<std::unique_ptr<rocks_row_store>> rocks_row_store::open(options how) {
  const rocksdb::Options tuned = options_for(how);
  rocksdb::DB* db = nullptr;
  rocksdb::Status status;
  if (how.read_only) {
    if (std::error_code absent; !std::filesystem::exists(how.path / "CURRENT", absent)) {
      return error{errc::not_found, "no rows in '" + how.path.string() + "'"};
    }
    status = rocksdb::DB::OpenForReadOnly(tuned, how.path.string(), &db);
  } else {
    if (auto made = make_folder(how.path); !made) return made.error();
    status = rocksdb::DB::Open(tuned, how.path.string(), &db);
  }
  if (!status.ok()) return open_error(status, how.path);
  auto built = std::make_unique<engine>();
  built->path = std::move(how.path);
  built->read_only = how.read_only;
  built->db.reset(db);
  if (!built->read_only) {
    if (auto tidied = built->tidy(); !tidied) return tidied.error();
  }
  return std::unique_ptr<rocks_row_store>(new rocks_row_store(std::move(built)));
}

rocks_row_store::rocks_row_store(std::unique_ptr<engine> built) : engine_(std::move(built)) {}
rocks_row_store::~rocks_row_store() = default;

result<void> rocks_row_store::write(shard_id shard, std::span<const stored_row> rows) {
  if (engine_->read_only) return error{errc::in_use, "the rows were opened for reading only"};
  rocksdb::WriteBatch batch;
  for (const auto& row : rows) {
    const auto status =
        batch.Put(slice_of(encode_row_key(shard, row.table, row.key)), encode_row(row));
    if (!status.ok()) return engine_->check(status, "gather rows for");
    if (batch.GetDataSize() < batch_bytes) continue;
    if (auto put = engine_->put(batch); !put) return put;
    batch.Clear();
  }
  if (batch.Count() == 0) return {};
  return engine_->put(batch);
}

result<void> rocks_row_store::commit(shard_id shard, const shard_position& position) {
  if (engine_->read_only) return error{errc::in_use, "the rows were opened for reading only"};
  rocksdb::WriteBatch batch;
  const auto status = batch.Put(slice_of(encode_row_key(shard, position_table, row_key{0})),
                                encode_position(position));
  if (!status.ok()) return engine_->check(status, "gather rows for");
  if (auto put = engine_->put(batch); !put) return put;
  return engine_->with_resume([&] { return engine_->db->Flush(rocksdb::FlushOptions()); },
                              "make durable the rows in");
}

result<shard_position> rocks_row_store::position(shard_id shard) {
  std::string value;
  const auto key = encode_row_key(shard, position_table, row_key{0});
  const auto status = engine_->db->Get(rocksdb::ReadOptions(), slice_of(key), &value);
  if (status.IsNotFound()) return shard_position{};
  if (!status.ok()) return error_of(status, engine_->path, "read the position of a shard from");
  auto position = decode_position(std::as_bytes(std::span(value)));
  if (position) return position;
  return error{position.error().code,
               position.error().detail + " in '" + engine_->path.string() + "', shard " +
                   std::to_string(shard.value) + "; restore the state folder from a copy"};
}

result<void> rocks_row_store::scan(shard_id shard,
                                   const std::function<void(const stored_row&)>& visit) {
  const auto begin = encode_row_key(shard, table_id{0}, row_key{0});
  const auto end = encode_row_key(shard, position_table, row_key{0});
  const rocksdb::Slice bound = slice_of(end);
  rocksdb::ReadOptions how = scan_options();
  how.iterate_upper_bound = &bound;
  const std::unique_ptr<rocksdb::Iterator> at(engine_->db->NewIterator(how));
  std::vector<float> floats;  // values lie unaligned in their block
  for (at->Seek(slice_of(begin)); at->Valid(); at->Next()) {
    const auto key = bytes_of(at->key());
    const auto value = bytes_of(at->value());
    if (key.size() != key_bytes || value.size() < row_header_bytes ||
        value.size() % sizeof(float) != 0) {
      return error{errc::corrupt,
                   "'" + engine_->path.string() + "' holds a row that headrace did not write"};
    }
    floats.resize((value.size() - row_header_bytes) / sizeof(float));
    std::ranges::copy(value.subspan(row_header_bytes),
                      std::as_writable_bytes(std::span(floats)).begin());
    visit({table_id{take_big_endian<std::uint32_t>(key, 4)},
           row_key{take_big_endian<std::uint64_t>(key, 8)},
           lsn{take<std::uint64_t>(value, 0)},
           take<std::uint64_t>(value, 8),
           take<std::uint32_t>(value, 16),
           take<std::uint32_t>(value, 20),
           floats});
  }
  return engine_->check(at->status(), "read rows from");
}

result<void> rocks_row_store::verify() {
  return engine_->check(engine_->db->VerifyChecksum(scan_options()), "verify the rows in");
}

}  // namespace headrace::storage
