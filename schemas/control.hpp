#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/push.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// Everything between processes that is neither rows nor gradients.
namespace headrace::schemas {

/// First message on every connection; refused when the protocol or the job differ.
struct hello {
  std::uint16_t protocol = 1;
  std::uint16_t protocol_min = 1;
  std::uint64_t job_fingerprint = 0;
  std::string sender;
  friend bool operator==(const hello&, const hello&) = default;
};
struct welcome {
  errc status = errc::ok;
  std::string detail;
  std::uint16_t protocol = 1;
  std::uint32_t shards = 0;
  headrace::epoch epoch{1};
  std::uint32_t schema_version = 1;
  friend bool operator==(const welcome&, const welcome&) = default;
};

/// A restarted worker asks every shard; it resumes from the minimum over shards and lanes.
struct watermark_request {
  shard_id shard;
  source_id source;
  friend bool operator==(const watermark_request&, const watermark_request&) = default;
};
struct watermark_reply {
  shard_id shard;
  errc status = errc::ok;
  std::string detail;
  batch_number rows;   // committed watermark of lane rows; 0 when the source is new
  batch_number dense;  // of lane dense
  headrace::epoch epoch{1};
  friend bool operator==(const watermark_reply&, const watermark_reply&) = default;
};

/// Order-free digest of a shard's tables: key, weights, optimizer state and count of every row.
struct digest_request {
  shard_id shard;
  bool counts_only =
      false;  // rows, bytes and lsn without hashing every row; the digests are then 0
  friend bool operator==(const digest_request&, const digest_request&) = default;
};
struct digest_reply {
  shard_id shard;
  errc status = errc::ok;
  std::string detail;
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  std::uint64_t weights_low = 0;  // the same over key and weights only
  std::uint64_t weights_high = 0;
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;  // memory held by the shard's tables, index included
  headrace::lsn lsn;
  friend bool operator==(const digest_reply&, const digest_reply&) = default;
};

/// Writes rows to the row store and advances the checkpoint position.
struct flush_request {
  shard_id shard;
  friend bool operator==(const flush_request&, const flush_request&) = default;
};
struct flush_reply {
  shard_id shard;
  errc status = errc::ok;
  std::string detail;
  headrace::lsn flushed;
  friend bool operator==(const flush_reply&, const flush_reply&) = default;
};

/// How one shard is doing, for people and for those who watch it.
struct status_request {
  shard_id shard;
  friend bool operator==(const status_request&, const status_request&) = default;
};
struct status_reply {
  shard_id shard;
  errc status = errc::ok;
  std::string detail;
  std::uint32_t shards = 0;  // of the job
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;  // memory held by the shard's tables, index included
  headrace::lsn lsn;        // last record applied
  headrace::lsn flushed;    // rows in the store hold every record through this
  std::uint64_t version = 0;
  std::uint64_t tail_rows = 0;  // learned, not yet in the store
  std::uint64_t tail_bytes = 0;
  headrace::lsn log_first;  // oldest record kept; 0 = none
  log_mode mode = log_mode::os;
  std::uint64_t hits = 0;     // rows asked for that lay in memory
  std::uint64_t fetched = 0;  // that came from the store
  std::uint64_t absent = 0;   // that were in neither
  std::uint64_t evicted = 0;
  std::uint64_t checkpoint_ms = 0;  // when the newest checkpoint was taken; 0 = none, or no way to
                                    // take one
  std::string trouble;  // why pushes are refused or rows not written back; empty: all is well
  friend bool operator==(const status_reply&, const status_reply&) = default;
};

/// Asks the node to take a checkpoint now, and again how far it is: the same `token` is the same
/// request, so that it may be repeated.
struct checkpoint_request {
  std::uint64_t token = 0;
  friend bool operator==(const checkpoint_request&, const checkpoint_request&) = default;
};
struct checkpoint_reply {
  errc status = errc::ok;  // why it was not taken
  std::string detail;
  bool done = false;  // else it is being taken
  std::string id;     // in the archive
  std::uint64_t files_uploaded = 0;
  std::uint64_t bytes_uploaded = 0;
  std::uint64_t bytes_reused = 0;  // of files that the archive had
  std::uint64_t took_ms = 0;
  friend bool operator==(const checkpoint_reply&, const checkpoint_reply&) = default;
};

/// Most keys of one forget_request.
inline constexpr std::size_t forget_keys_max = 65'536;

/// Removes rows of one table for good, found or not: an operator's decision, kept as a record.
struct forget_request {
  shard_id shard;
  table_id table;
  bool dry_run = false;             // says which there are and removes nothing
  std::vector<std::uint64_t> keys;  // strictly ascending, at most forget_keys_max
  friend bool operator==(const forget_request&, const forget_request&) = default;
};
struct forget_reply {
  shard_id shard;
  errc status = errc::ok;
  std::string detail;
  headrace::lsn lsn;                 // of the record that removes them; 0 of a dry run
  std::vector<std::uint64_t> found;  // those of the keys that had a row
  friend bool operator==(const forget_reply&, const forget_reply&) = default;
};

/// Lets a source out of quarantine. Answered when that would survive a restart.
struct release_request {
  shard_id shard;
  std::string source;  // name, of every generation
  friend bool operator==(const release_request&, const release_request&) = default;
};
struct release_reply {
  shard_id shard;
  errc status = errc::ok;  // why it may be in quarantine again after a restart
  std::string detail;
  bool released = false;  // else it was not in quarantine
  friend bool operator==(const release_reply&, const release_reply&) = default;
};

frame encode(const hello& m);
frame encode(const welcome& m);
frame encode(const watermark_request& m);
frame encode(const watermark_reply& m);
frame encode(const digest_request& m);
frame encode(const digest_reply& m);
frame encode(const flush_request& m);
frame encode(const flush_reply& m);
frame encode(const status_request& m);
frame encode(const status_reply& m);
frame encode(const checkpoint_request& m);
frame encode(const checkpoint_reply& m);
frame encode(const forget_request& m);
frame encode(const forget_reply& m);
frame encode(const release_request& m);
frame encode(const release_reply& m);
result<hello> decode_hello(const frame& bytes);
result<welcome> decode_welcome(const frame& bytes);
result<watermark_request> decode_watermark_request(const frame& bytes);
result<watermark_reply> decode_watermark_reply(const frame& bytes);
result<digest_request> decode_digest_request(const frame& bytes);
result<digest_reply> decode_digest_reply(const frame& bytes);
result<flush_request> decode_flush_request(const frame& bytes);
result<flush_reply> decode_flush_reply(const frame& bytes);
result<status_request> decode_status_request(const frame& bytes);
result<status_reply> decode_status_reply(const frame& bytes);
result<checkpoint_request> decode_checkpoint_request(const frame& bytes);
result<checkpoint_reply> decode_checkpoint_reply(const frame& bytes);
result<forget_request> decode_forget_request(const frame& bytes);
result<forget_reply> decode_forget_reply(const frame& bytes);
result<release_request> decode_release_request(const frame& bytes);
result<release_reply> decode_release_reply(const frame& bytes);

}  // namespace headrace::schemas
