#include "tests/fault/state_on_disk.hpp"

#include "base/parse_number.hpp"
#include "schemas/hash.hpp"
#include "storage/file_io.hpp"
#include "storage/rocks_row_store.hpp"
#include "storage/segment_cursor.hpp"
#include "storage/segment_files.hpp"
#include "storage/segment_log.hpp"

#include <fcntl.h>
#include <span>

namespace headrace::tests {
namespace {

/// Hash of a sequence of values: each is hashed with what came before.
class running_hash {
 public:
  void add(std::span<const std::byte> bytes) {
    buffer_.assign(std::as_bytes(std::span(&value_, 1)).begin(),
                   std::as_bytes(std::span(&value_, 1)).end());
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    value_ = schemas::hash64(buffer_);
  }
  void add(std::uint64_t number) { add(std::as_bytes(std::span(&number, 1))); }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0;
  std::vector<std::byte> buffer_;
};

void add_row(running_hash& hash, const storage::stored_row& row) {
  for (const std::uint64_t number : {std::uint64_t{row.table.value},
                                     row.key.value,
                                     row.lsn.value,
                                     row.last_seen_ms,
                                     std::uint64_t{row.count},
                                     std::uint64_t{row.flags}})
    hash.add(number);
  hash.add(row.payload);
}

}  // namespace

result<rows_read> read_rows(const std::filesystem::path& folder, std::uint32_t shards) {
  auto store = storage::rocks_row_store::open(folder, true);
  if (!store) return store.error();
  rows_read read;
  for (std::uint32_t s = 0; s < shards; ++s) {
    const auto position = (*store)->position(shard_id{s});
    if (!position) return position.error();
    running_hash place;
    place.add(position->flushed.value);
    place.add(position->epoch.value);
    place.add(position->state);
    read.flushed.push_back(position->flushed.value);
    read.positions.push_back(place.value());
    running_hash rows;
    auto scanned =
        (*store)->scan(shard_id{s}, [&](const storage::stored_row& row) { add_row(rows, row); });
    if (!scanned) return scanned.error();
    read.rows.push_back(rows.value());
  }
  return read;
}

result<log_read> read_log(const std::filesystem::path& folder) {
  storage::segment_log::options how;
  how.folder = folder;
  how.read_only = true;
  auto log = storage::segment_log::open(std::move(how));
  if (!log) return log.error();
  log_read read;
  read.first = (*log)->last().first.value;
  read.last = (*log)->last().last.value;
  running_hash hash;
  auto visited = (*log)->read_from(lsn{1}, [&](const storage::log_record& record) {
    for (const std::uint64_t number : {record.lsn.value,
                                       record.epoch.value,
                                       record.stamp_ms,
                                       std::uint64_t{record.schema_version},
                                       static_cast<std::uint64_t>(record.kind),
                                       static_cast<std::uint64_t>(record.reason)})
      hash.add(number);
    hash.add(record.decisions.bytes());
    hash.add(record.payload.bytes());
    return true;
  });
  if (!visited) return visited.error();
  read.records = hash.value();
  return read;
}

result<last_record> find_last_record(const std::filesystem::path& file) {
  auto opened = storage::open_file(file, O_RDONLY);
  if (!opened) return opened.error();
  const auto size = storage::file_size(*opened, file);
  if (!size) return size.error();
  storage::header_bytes head{};
  const auto got = storage::read_at(*opened, file, head, 0);
  if (!got) return got.error();
  const auto header = storage::decode_segment_header(head);
  if (!header) return header.error();
  auto cursor = storage::segment_cursor::open(
      file, storage::segment_header_bytes, *size, header->first, header->prev_hash);
  if (!cursor) return cursor.error();
  last_record last;
  storage::log_record record;
  while (true) {
    const std::uint64_t begin = cursor->offset();
    const auto found = cursor->next(record);
    if (!found) return found.error();
    if (*found != storage::segment_cursor::found::record) return last;
    last = {record.lsn.value, begin, cursor->offset()};
  }
}

std::filesystem::path newest_segment(const std::filesystem::path& folder) {
  std::filesystem::path newest;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".log" && entry.path() > newest) newest = entry.path();
  }
  return newest;
}

}  // namespace headrace::tests
