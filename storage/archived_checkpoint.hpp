#pragma once

#include "storage/checkpoint_manifest.hpp"

#include <optional>
#include <string_view>

namespace headrace::storage {

inline constexpr std::uint32_t archive_format_version = 1;

/// What a checkpoint in an archive holds (docs/checkpoints.md). The caller fills what describes the
/// cut; `id`, `written_ms` and `files` are the archive's.
struct archived_checkpoint {
  struct shard {
    shard_id id;
    lsn cut;      // the checkpoint holds every record through this, in rows or in its log tail
    lsn flushed;  // its rows hold every record through this
    std::uint64_t stamp_ms = 0;  // of the record at the cut
    std::uint64_t version = 0;   // pushes applied
    std::uint64_t rows = 0;
    friend bool operator==(const shard&, const shard&) = default;
  };
  using watermark = checkpoint_manifest::watermark;
  struct file {
    std::string path;  // in the checkpoint's folder, '/' between its parts
    std::uint64_t bytes = 0;
    std::string sha256;  // 64 hexadecimal digits
    friend bool operator==(const file&, const file&) = default;
  };

  std::string id;  // "20240131T120000.123Z-movielens": newer ones come later in order
  std::string job;
  std::uint64_t fingerprint = 0;
  std::uint64_t written_ms = 0;  // the time in `id`, since 1970-01-01 UTC
  std::string digest;            // of the tables at the cut, as `status` prints it
  std::vector<shard> shards;
  std::vector<watermark> watermarks;
  std::vector<file> files;  // by path

  std::uint64_t bytes() const;
  friend bool operator==(const archived_checkpoint&, const archived_checkpoint&) = default;
};

/// The id of a checkpoint of `job` at `written_ms`. Bytes of the name that an object's name may not
/// have are `%XX`.
std::string checkpoint_id(std::uint64_t written_ms, std::string_view job);
/// The time in an id; nothing when `id` is no id.
std::optional<std::uint64_t> checkpoint_time_ms(std::string_view id);

/// True for a relative path that stays in its folder: no empty part, no "." or "..", no NUL.
bool is_path_inside(std::string_view path);

/// The text: valid TOML with a checksum in its last line.
std::string format_archived(const archived_checkpoint& checkpoint);
/// Fails: corrupt (`origin`, line and what is wrong), bad_protocol (a later format version).
result<archived_checkpoint> parse_archived(std::string_view text, const std::string& origin);

}  // namespace headrace::storage
