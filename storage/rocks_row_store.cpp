#include "storage/rocks_row_store.hpp"

#include "base/check.hpp"
#include "storage/file_io.hpp"
#include "storage/rocks_options.hpp"
#include "storage/rocks_support.hpp"
#include "storage/row_expiry.hpp"
#include "storage/row_file_system.hpp"
#include "storage/row_ingest.hpp"

#include <rocksdb/db.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace headrace::storage {
namespace {

constexpr const char* incoming = "incoming";  // a folder for files on their way in
constexpr std::size_t wal_files_max = 8;

constexpr std::size_t window_keys = 4096;  // looked up before any is visited: each holds a block
constexpr std::size_t split_keys = 256;    // a smaller read is not shared
constexpr std::size_t piece_keys = 64;

// Sorted keys and what the store has for them.
struct lookup {
  std::vector<std::array<std::byte, row_key_bytes>> bytes;
  std::vector<rocksdb::Slice> keys;
  std::vector<rocksdb::PinnableSlice> values;
  std::vector<rocksdb::Status> statuses;

  lookup(shard_id shard, table_id table, std::span<const row_key> of)
      : bytes(of.size()), keys(of.size()), values(of.size()), statuses(of.size()) {
    for (std::size_t i = 0; i < of.size(); ++i) {
      bytes[i] = encode_row_key(shard, table, of[i]);
      keys[i] = slice_of(bytes[i]);
    }
  }
  // What a large read brings is all in DRAM then: its blocks would push others out of the cache.
  void run(rocksdb::DB& db, std::size_t begin, std::size_t end) {
    constexpr bool sorted = true;
    rocksdb::ReadOptions how = rocks_read_options();
    how.fill_cache = keys.size() <= split_keys;
    db.MultiGet(how,
                db.DefaultColumnFamily(),
                end - begin,
                &keys[begin],
                &values[begin],
                &statuses[begin],
                sorted);
  }
};

}  // namespace

struct rocks_row_store::engine {
  options how;
  std::shared_ptr<row_expiry> expiry = std::make_shared<row_expiry>();
  std::shared_ptr<level0_gate> gate = std::make_shared<level0_gate>();
  std::shared_ptr<row_file_system> files;
  std::unique_ptr<rocksdb::Env> env;  // over `files`
  std::unique_ptr<rocksdb::DB> db;
  std::unique_ptr<row_ingest> ingest;

  result<void> check(const rocksdb::Status& status, std::string_view what) const {
    if (status.ok()) return {};
    return rocks_error(status, how.path, what);
  }

  result<void> may_write() const {
    if (!how.read_only) return {};
    return error{errc::in_use, "the rows were opened for reading only"};
  }

  error foreign_row() const {
    return {errc::corrupt, "'" + how.path.string() + "' holds a row that headrace did not write"};
  }

  // Each opening leaves an empty WAL file behind, and only a flush removes them: without this a
  // crash loop would fill the folder. What is flushed is the deletion of a key that never exists.
  result<void> tidy() {
    std::error_code failure;
    std::size_t logs = 0;
    for (std::filesystem::directory_iterator at(how.path, failure), end; !failure && at != end;
         at.increment(failure)) {
      logs += at->path().extension() == ".log" ? 1 : 0;
    }
    if (logs <= wal_files_max) return {};
    const auto nothing = encode_row_key(shard_id{0xFFFFFFFF}, position_table, row_key{1});
    rocksdb::WriteBatch batch;
    if (const auto status = batch.Delete(slice_of(nothing)); !status.ok())
      return check(status, "tidy");
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    if (const auto status = db->Write(options, &batch); !status.ok()) return check(status, "tidy");
    return check(db->Flush(rocksdb::FlushOptions()), "tidy");
  }

  // A full disk stops RocksDB for good unless it is told that there is space again; then one more
  // try. After any other error nobody knows what the disk holds: the caller must start anew.
  template <class Work>
  result<void> with_resume(Work work, std::string_view what) {
    rocksdb::Status status = work();
    if (!status.ok() && check(status, what).error().code == errc::disk_full && db->Resume().ok())
      status = work();
    return check(status, what);
  }

  // One window of a read.
  result<void> look_up(lookup& look, const std::function<void(const stored_row&)>& visit) {
    const std::size_t count = look.keys.size();
    const auto piece = [&](std::size_t i) {
      look.run(*db, i * piece_keys, std::min(count, (i + 1) * piece_keys));
    };
    if (how.pool != nullptr && count > split_keys) {
      how.pool->share((count + piece_keys - 1) / piece_keys, piece);
    } else {
      look.run(*db, 0, count);
    }
    row_decoder decoder;
    for (std::size_t i = 0; i < count; ++i) {
      if (look.statuses[i].IsNotFound()) continue;
      if (!look.statuses[i].ok()) return check(look.statuses[i], "read rows from");
      if (!decoder.decode(look.bytes[i], bytes_of(look.values[i]))) return foreign_row();
      visit(decoder.row());
    }
    return {};
  }
};

result<std::unique_ptr<rocks_row_store>> rocks_row_store::open(std::filesystem::path path,
                                                               bool read_only) {
  options how;
  how.path = std::move(path);
  how.read_only = read_only;
  return open(std::move(how));
}

result<std::unique_ptr<rocks_row_store>> rocks_row_store::open(options how) {
  auto built = std::make_unique<engine>();
  built->files = std::make_shared<row_file_system>(how.path / incoming);
  built->env = rocksdb::NewCompositeEnv(built->files);
  const rocksdb::Options tuned = rocks_options({.read_only = how.read_only,
                                                .block_cache_bytes = how.block_cache_bytes,
                                                .compress_oldest = how.compress_oldest,
                                                .expiry = built->expiry,
                                                .listener = built->gate,
                                                .files = built->env.get()});
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
  if (!status.ok()) return rocks_open_error(status, how.path);
  built->db.reset(db);
  built->how = std::move(how);
  if (!built->how.read_only) {
    if (auto tidied = built->tidy(); !tidied) return tidied.error();
    auto ingest =
        row_ingest::open(*db, tuned, built->how.path / incoming, built->gate, built->files);
    if (!ingest) return ingest.error();
    built->ingest = std::move(*ingest);
  }
  return std::unique_ptr<rocks_row_store>(new rocks_row_store(std::move(built)));
}

rocks_row_store::rocks_row_store(std::unique_ptr<engine> built) : engine_(std::move(built)) {}
rocks_row_store::~rocks_row_store() = default;

result<void> rocks_row_store::write(shard_id shard, std::span<const stored_row> rows) {
  if (auto may = engine_->may_write(); !may) return may;
  if (rows.empty()) return {};
  return engine_->with_resume([&] { return engine_->ingest->write(shard, rows); }, "write rows to");
}

result<void> rocks_row_store::commit(shard_id shard, const shard_position& position) {
  if (auto may = engine_->may_write(); !may) return may;
  return engine_->with_resume([&] { return engine_->ingest->write(shard, position); },
                              "write a position to");
}

result<shard_position> rocks_row_store::position(shard_id shard) {
  std::string value;
  const auto key = encode_row_key(shard, position_table, row_key{0});
  rocksdb::ReadOptions reading = rocks_read_options();
  reading.fill_cache = false;  // asked for once
  const auto status = engine_->db->Get(reading, slice_of(key), &value);
  const auto& path = engine_->how.path;
  if (status.IsNotFound()) return shard_position{};
  if (!status.ok()) return rocks_error(status, path, "read the position of a shard from");
  auto position = decode_position(std::as_bytes(std::span(value)));
  if (position) return position;
  return error{position.error().code,
               position.error().detail + " in '" + path.string() + "', shard " +
                   std::to_string(shard.value) + "; restore the state folder from a copy"};
}

result<void> rocks_row_store::read(shard_id shard,
                                   table_id table,
                                   std::span<const row_key> keys,
                                   const std::function<void(const stored_row&)>& visit) {
  CHECK(std::ranges::adjacent_find(keys, std::ranges::greater_equal{}) == keys.end());
  while (!keys.empty()) {
    const auto window = keys.first(std::min(keys.size(), window_keys));
    lookup look(shard, table, window);
    if (auto done = engine_->look_up(look, visit); !done) return done;
    keys = keys.subspan(window.size());
  }
  return {};
}

result<void> rocks_row_store::scan_from(shard_id shard,
                                        row_place from,
                                        std::size_t rows_max,
                                        const std::function<void(const stored_row&)>& visit) {
  const auto begin = encode_row_key(shard, from.table, from.key);
  const auto end = encode_row_key(shard, position_table, row_key{0});
  const rocksdb::Slice bound = slice_of(end);
  rocksdb::ReadOptions how = rocks_scan_options();
  how.iterate_upper_bound = &bound;
  const std::unique_ptr<rocksdb::Iterator> at(engine_->db->NewIterator(how));
  row_decoder decoder;
  for (at->Seek(slice_of(begin)); rows_max > 0 && at->Valid(); at->Next(), --rows_max) {
    if (!decoder.decode(bytes_of(at->key()), bytes_of(at->value()))) return engine_->foreign_row();
    visit(decoder.row());
  }
  return engine_->check(at->status(), "read rows from");
}

result<void> rocks_row_store::verify() {
  return engine_->check(engine_->db->VerifyChecksum(rocks_scan_options()), "verify the rows in");
}

result<void> rocks_row_store::checkpoint(const std::filesystem::path& into) {
  if (auto may = engine_->may_write(); !may) return may;
  std::error_code absent;
  if (std::filesystem::exists(into, absent)) {
    return error{errc::in_use, "'" + into.string() + "' exists; a checkpoint needs a new folder"};
  }
  rocksdb::Checkpoint* made = nullptr;
  const auto status = rocksdb::Checkpoint::Create(engine_->db.get(), &made);
  const std::unique_ptr<rocksdb::Checkpoint> maker(made);
  if (!status.ok()) return rocks_error(status, into, "make a checkpoint in");
  const auto done = maker->CreateCheckpoint(into.string());
  if (!done.ok()) return rocks_error(done, into, "make a checkpoint in");
  return {};
}

std::uint64_t rocks_row_store::bytes() const {
  std::uint64_t bytes = 0;
  engine_->db->GetIntProperty(rocksdb::DB::Properties::kTotalSstFilesSize, &bytes);
  return bytes;
}

result<void> rocks_row_store::compact() {
  if (auto may = engine_->may_write(); !may) return may;
  rocksdb::CompactRangeOptions all;
  all.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  return engine_->with_resume([&] { return engine_->db->CompactRange(all, nullptr, nullptr); },
                              "compact the rows in");
}

void rocks_row_store::set_expiry(table_id table, std::uint64_t last_seen_below_ms) {
  engine_->expiry->set(table, last_seen_below_ms);
}

}  // namespace headrace::storage
