#include "storage/row_ingest.hpp"

#include "storage/file_io.hpp"
#include "storage/rocks_options.hpp"
#include "storage/rocks_support.hpp"
#include "storage/row_codec.hpp"

#include <rocksdb/snapshot.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <tuple>
#include <vector>

namespace headrace::storage {
namespace {

struct place {
  table_id table;
  std::uint32_t index = 0;  // in the rows given
  row_key key;

  friend bool operator<(const place& a, const place& b) {
    return std::tie(a.table, a.key, a.index) < std::tie(b.table, b.key, b.index);
  }
};

std::vector<place> sorted_places(std::span<const stored_row> rows) {
  std::vector<place> places(rows.size());
  for (std::uint32_t i = 0; i < rows.size(); ++i) places[i] = {rows[i].table, i, rows[i].key};
  if (!std::ranges::is_sorted(places, std::less<>())) std::ranges::sort(places, std::less<>());
  return places;
}

// Rows lie anywhere, so their lines are asked for before it is their turn: half of the time of a
// file went into waiting for them.
void prefetch_ahead(std::span<const stored_row> rows,
                    std::span<const place> places,
                    std::size_t i) {
  constexpr std::size_t row_ahead = 12;
  constexpr std::size_t payload_ahead = 4;
  constexpr std::size_t line = 64;
  if (i + row_ahead < places.size()) __builtin_prefetch(&rows[places[i + row_ahead].index]);
  if (i + payload_ahead >= places.size()) return;
  const auto payload = rows[places[i + payload_ahead].index].payload;
  for (std::size_t at = 0; at < payload.size(); at += line) {
    __builtin_prefetch(payload.data() + at);
  }
}

}  // namespace

result<std::unique_ptr<row_ingest>> row_ingest::open(rocksdb::DB& db,
                                                     const rocksdb::Options& options,
                                                     std::filesystem::path folder,
                                                     std::shared_ptr<level0_gate> gate,
                                                     std::shared_ptr<row_file_system> files) {
  std::error_code failure;
  std::filesystem::remove_all(folder, failure);  // files that a killed process was writing
  if (failure) return file_error("empty", folder, failure.value());
  if (auto made = make_folder(folder); !made) return made.error();
  rocksdb::Options as_in_level_0 = options;
  as_in_level_0.bottommost_compression = rocksdb::kDisableCompressionOption;  // it would be used
  return std::unique_ptr<row_ingest>(new row_ingest(
      db, std::move(as_in_level_0), std::move(folder), std::move(gate), std::move(files)));
}

rocksdb::Status row_ingest::take_over(const std::filesystem::path& file) {
  gate_->wait(db_, level0_files_max, std::chrono::seconds(5));
  const std::lock_guard alone(one_file_);
  rocksdb::IngestExternalFileOptions how;
  how.move_files = true;
  how.write_global_seqno = false;  // the manifest has it; the file stays as it was written
  // While there is a snapshot, the file gets a new sequence number and goes to level 0.
  const rocksdb::ManagedSnapshot snapshot(&db_);
  rocksdb::Status status = db_.IngestExternalFile({file.string()}, how);
  // A full disk took no whole line. And it is tried again and again: what is kept would fill it.
  const bool may_be_named = !status.ok() && !status.IsNoSpace();
  file_system_->settle(may_be_named);
  return status;
}

rocksdb::Status row_ingest::write(
    const std::function<rocksdb::Status(rocksdb::SstFileWriter&)>& fill) {
  const auto file = folder_ / (std::to_string(files_.fetch_add(1)) + ".sst");
  constexpr bool invalidate_page_cache = false;  // compactions read it soon
  rocksdb::SstFileWriter writer(
      rocksdb::EnvOptions(options_), options_, nullptr, invalidate_page_cache);
  rocksdb::Status status = writer.Open(file.string());
  if (status.ok()) status = fill(writer);
  if (status.ok()) status = writer.Finish();  // syncs
  if (status.ok()) status = take_over(file);
  std::error_code gone;
  std::filesystem::remove(file, gone);  // RocksDB removes it only when it was taken over
  return status;
}

rocksdb::Status row_ingest::write(shard_id shard, std::span<const stored_row> rows) {
  return write([&](rocksdb::SstFileWriter& to) {
    const std::vector<place> places = sorted_places(rows);
    std::vector<std::byte> value;
    rocksdb::Status status;
    for (std::size_t i = 0; i < places.size() && status.ok(); ++i) {
      prefetch_ahead(rows, places, i);
      const place& at = places[i];
      const bool replaced =
          i + 1 < places.size() && places[i + 1].table == at.table && places[i + 1].key == at.key;
      if (replaced) continue;
      const stored_row& row = rows[at.index];
      const auto key = encode_row_key(shard, row.table, row.key);
      if (row.removed) {
        status = to.Delete(slice_of(key));
      } else {
        encode_row(row, value);
        status = to.Put(slice_of(key), slice_of(value));
      }
    }
    return status;
  });
}

rocksdb::Status row_ingest::write(shard_id shard, const shard_position& position) {
  return write([&](rocksdb::SstFileWriter& to) {
    return to.Put(slice_of(encode_row_key(shard, position_table, row_key{0})),
                  encode_position(position));
  });
}

}  // namespace headrace::storage
