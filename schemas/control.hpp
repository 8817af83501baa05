#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/push.hpp"

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

frame encode(const hello& m);
frame encode(const welcome& m);
frame encode(const watermark_request& m);
frame encode(const watermark_reply& m);
frame encode(const digest_request& m);
frame encode(const digest_reply& m);
frame encode(const flush_request& m);
frame encode(const flush_reply& m);
result<hello> decode_hello(const frame& bytes);
result<welcome> decode_welcome(const frame& bytes);
result<watermark_request> decode_watermark_request(const frame& bytes);
result<watermark_reply> decode_watermark_reply(const frame& bytes);
result<digest_request> decode_digest_request(const frame& bytes);
result<digest_reply> decode_digest_reply(const frame& bytes);
result<flush_request> decode_flush_request(const frame& bytes);
result<flush_reply> decode_flush_reply(const frame& bytes);

}  // namespace headrace::schemas
