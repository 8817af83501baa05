#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace headrace::storage {

inline constexpr std::uint32_t checkpoint_format_version = 1;

/// What a state folder held when the server last wrote its rows, for people and for `inspect
/// checkpoint`. Nothing is recovered from it: positions and watermarks that count lie in the row
/// store, in one commit with the rows.
struct checkpoint_manifest {
  struct shard {
    shard_id id;
    lsn flushed;  // rows hold every record through this
    headrace::epoch epoch{1};
    std::uint64_t version = 0;  // pushes applied
    std::uint64_t rows = 0;
    friend bool operator==(const shard&, const shard&) = default;
  };
  /// Over all shards; a source is trained through `batch_min`.
  struct watermark {
    std::string source;  // "name#1"
    std::string lane;    // "rows", "dense"
    batch_number batch_min;
    batch_number batch_max;
    friend bool operator==(const watermark&, const watermark&) = default;
  };

  std::string job;
  std::uint64_t fingerprint = 0;
  std::uint32_t schema_version = 1;
  std::uint64_t written_ms = 0;  // since 1970-01-01 UTC
  std::uint32_t log_format = 1;
  std::uint32_t row_format = 1;
  std::vector<shard> shards;
  std::vector<watermark> watermarks;
  friend bool operator==(const checkpoint_manifest&, const checkpoint_manifest&) = default;
};

/// The text: valid TOML with a checksum in its last line (docs/storage-format.md).
std::string format_manifest(const checkpoint_manifest& manifest);
/// Fails: corrupt (`origin`, line and what is wrong), bad_protocol (a later format version).
result<checkpoint_manifest> parse_manifest(const std::string& text, const std::string& origin);

/// Replaces the file as a whole. Fails: io_error, disk_full; the old one stays.
result<void> write_manifest(const std::filesystem::path& path, const checkpoint_manifest& manifest);
/// Fails: not_found, corrupt, bad_protocol, io_error.
result<checkpoint_manifest> read_manifest(const std::filesystem::path& path);

}  // namespace headrace::storage
