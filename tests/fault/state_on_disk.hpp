#pragma once

#include "base/result.hpp"
#include "storage/job_folder.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace headrace::tests {

/// Everything that a state folder gives back, as hashes: what is compared before and after damage.
/// Read with the readers that the server itself uses, opened anew each time, so that no cache
/// hides anything.
struct rows_read {
  std::vector<std::uint64_t> flushed;    // position of each shard
  std::vector<std::uint64_t> positions;  // hash of each shard's position with its state
  std::vector<std::uint64_t> rows;       // hash of each shard's rows, in key order
  friend bool operator==(const rows_read&, const rows_read&) = default;
};
/// Fails: as rocks_row_store.
result<rows_read> read_rows(const std::filesystem::path& folder, std::uint32_t shards);

struct log_read {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t records = 0;  // hash of all of them
  friend bool operator==(const log_read&, const log_read&) = default;
};
/// Fails: as segment_log.
result<log_read> read_log(const std::filesystem::path& folder);

/// Where the last record of a log file begins, its number, and where it ends.
struct last_record {
  std::uint64_t number = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};
result<last_record> find_last_record(const std::filesystem::path& file);

/// The newest segment file of a log's folder; empty when there is none.
std::filesystem::path newest_segment(const std::filesystem::path& folder);

}  // namespace headrace::tests
