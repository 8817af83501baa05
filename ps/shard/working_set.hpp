#pragma once

#include "base/ids.hpp"
#include "ps/table/row_header.hpp"
#include "storage/row_store.hpp"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <span>
#include <vector>

namespace headrace::ps {

/// Rows that one push or pull needs in DRAM from when it is looked at until it is answered: those
/// that lie there are pinned, the others are to be fetched. Opened, filled and closed by its shard
/// only (shard.hpp).
struct working_set {
  struct part {
    table_id table;
    std::vector<row_header*> pinned;
    std::vector<row_key> missing;  // strictly ascending
  };
  std::vector<part> parts;
  lsn begun;          // last record applied when it was opened
  bool open = false;  // false: nothing to hold, nothing to close

  std::size_t missing() const {
    std::size_t sum = 0;
    for (const part& one : parts) sum += one.missing.size();
    return sum;
  }
};

/// Stored rows with memory of their own, in the order they were added.
class fetched_rows {
 public:
  fetched_rows() = default;
  fetched_rows(fetched_rows&&) = default;  // rows point into the chunks: never copied
  fetched_rows& operator=(fetched_rows&&) = default;

  void add(const storage::stored_row& row) {
    std::vector<std::byte>& chunk = chunk_for(row.payload.size());
    const std::size_t at = chunk.size();
    chunk.insert(chunk.end(), row.payload.begin(), row.payload.end());
    rows_.push_back(row);
    rows_.back().payload = std::span(chunk).subspan(at);
  }
  std::span<const storage::stored_row> rows() const { return rows_; }
  /// Empty again; the memory stays for the next rows.
  void clear() {
    rows_.clear();
    for (std::vector<std::byte>& each : chunks_) each.clear();
    filling_ = 0;
  }

 private:
  static constexpr std::size_t chunk_bytes = std::size_t{256} << 10;  // payloads are 4-byte aligned

  std::vector<std::byte>& chunk_for(std::size_t bytes) {
    while (filling_ < chunks_.size()) {
      std::vector<std::byte>& last = chunks_[filling_];
      if (last.capacity() - last.size() >= bytes) return last;
      ++filling_;
    }
    chunks_.emplace_back().reserve(std::max(chunk_bytes, bytes));
    return chunks_.back();
  }

  std::deque<std::vector<std::byte>> chunks_;  // never grown beyond what was reserved
  std::size_t filling_ = 0;
  std::vector<storage::stored_row> rows_;
};

}  // namespace headrace::ps
