#include "storage/rocks_row_store.hpp"

#include "base/check.hpp"
#include "storage/rocks_database.hpp"
#include "storage/rocks_options.hpp"
#include "storage/rocks_support.hpp"
#include "storage/row_expiry.hpp"

#include <rocksdb/utilities/checkpoint.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace headrace::storage {
namespace {

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
  std::unique_ptr<rocks_database> rows;

  result<void> check(const rocksdb::Status& status, std::string_view what) const {
    if (status.ok()) return {};
    return rocks_error(status, how.path, what);
  }

  error foreign_row() const {
    return {errc::corrupt, "'" + how.path.string() + "' holds a row that headrace did not write"};
  }

  // One more try where a full disk stopped RocksDB: perhaps there is space again.
  template <class Work>
  result<void> write(std::string_view what, Work work) {
    rocksdb::Status status;
    for (int tries = 0; tries < 2; ++tries) {
      const auto to = rows->write();
      if (!to) return to.error();
      status = work(*to);
      if (status.ok() || !rows->stopped()) break;
    }
    return check(status, what);
  }

  // One window of a read.
  result<void> look_up(lookup& look, const std::function<void(const stored_row&)>& visit) {
    const std::size_t count = look.keys.size();
    const auto from = rows->read();
    if (!from) return from.error();
    const auto piece = [&](std::size_t i) {
      look.run(*from->db, i * piece_keys, std::min(count, (i + 1) * piece_keys));
    };
    if (how.pool != nullptr && count > split_keys) {
      how.pool->share((count + piece_keys - 1) / piece_keys, piece);
    } else {
      look.run(*from->db, 0, count);
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
  auto rows = rocks_database::open(how);
  if (!rows) return rows.error();
  auto built = std::make_unique<engine>();
  built->how = std::move(how);
  built->rows = std::move(*rows);
  return std::unique_ptr<rocks_row_store>(new rocks_row_store(std::move(built)));
}

rocks_row_store::rocks_row_store(std::unique_ptr<engine> built) : engine_(std::move(built)) {}
rocks_row_store::~rocks_row_store() = default;

result<void> rocks_row_store::write(shard_id shard, std::span<const stored_row> rows) {
  if (rows.empty()) return {};
  return engine_->write("write rows to", [&](const rocks_database::writing& to) {
    return to.files->write(shard, rows);
  });
}

result<void> rocks_row_store::commit(shard_id shard, const shard_position& position) {
  return engine_->write("write a position to", [&](const rocks_database::writing& to) {
    return to.files->write(shard, position);
  });
}

result<shard_position> rocks_row_store::position(shard_id shard) {
  std::string value;
  const auto key = encode_row_key(shard, position_table, row_key{0});
  rocksdb::ReadOptions reading = rocks_read_options();
  reading.fill_cache = false;  // asked for once
  const auto from = engine_->rows->read();
  if (!from) return from.error();
  const auto status = from->db->Get(reading, slice_of(key), &value);
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
  const auto rows = engine_->rows->read();
  if (!rows) return rows.error();
  const std::unique_ptr<rocksdb::Iterator> at(rows->db->NewIterator(how));
  row_decoder decoder;
  for (at->Seek(slice_of(begin)); rows_max > 0 && at->Valid(); at->Next(), --rows_max) {
    if (!decoder.decode(bytes_of(at->key()), bytes_of(at->value()))) return engine_->foreign_row();
    visit(decoder.row());
  }
  return engine_->check(at->status(), "read rows from");
}

result<void> rocks_row_store::verify() {
  const auto rows = engine_->rows->read();
  if (!rows) return rows.error();
  return engine_->check(rows->db->VerifyChecksum(rocks_scan_options()), "verify the rows in");
}

result<void> rocks_row_store::checkpoint(const std::filesystem::path& into) {
  const auto rows = engine_->rows->write();
  if (!rows) return rows.error();
  std::error_code absent;
  if (std::filesystem::exists(into, absent)) {
    return error{errc::in_use, "'" + into.string() + "' exists; a checkpoint needs a new folder"};
  }
  rocksdb::Checkpoint* made = nullptr;
  const auto status = rocksdb::Checkpoint::Create(rows->db, &made);
  const std::unique_ptr<rocksdb::Checkpoint> maker(made);
  if (!status.ok()) return rocks_error(status, into, "make a checkpoint in");
  const auto done = maker->CreateCheckpoint(into.string());
  if (!done.ok()) return rocks_error(done, into, "make a checkpoint in");
  return {};
}

std::uint64_t rocks_row_store::bytes() const {
  std::uint64_t bytes = 0;
  const auto rows = engine_->rows->read();
  if (rows) rows->db->GetIntProperty(rocksdb::DB::Properties::kTotalSstFilesSize, &bytes);
  return bytes;
}

result<void> rocks_row_store::compact() {
  rocksdb::CompactRangeOptions all;
  all.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  return engine_->write("compact the rows in", [&](const rocks_database::writing& to) {
    return to.db->CompactRange(all, nullptr, nullptr);
  });
}

void rocks_row_store::set_expiry(table_id table, std::uint64_t last_seen_below_ms) {
  engine_->rows->expiry().set(table, last_seen_below_ms);
}

}  // namespace headrace::storage
