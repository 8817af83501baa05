#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/push.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// Sealed batches on their way from an ingest process to a worker. Each request says everything, so
/// that either side may have been started anew in between.
namespace headrace::schemas {

/// Most batches of one reply.
inline constexpr std::size_t reply_batches_max = 1'024;
/// What a reply has beside the bytes of its batches, at most.
inline constexpr std::size_t reply_overhead_max = 8'192 + 24 * reply_batches_max;

/// Asks for batches of a source, from one number on, as many as there are.
struct samples_request {
  source_id source;
  std::uint64_t job_fingerprint = 0;
  std::uint64_t made_by = 0;  // what makes samples of events: features, labels, join
  std::uint64_t stream = 0;   // the sample log that the worker knows; 0 = none yet
  batch_number from{1};
  batch_number learned;  // every shard has acknowledged all through this one
  batch_number covered;  // rows on the servers' disks hold all through this one
  std::uint32_t bytes_max =
      0;  // of batches in the reply: one is sent whatever its size; 0: none is, at once
  std::uint32_t wait_ms = 0;    // how long to wait for a batch
  std::uint64_t last_hash = 0;  // of the batch before `from`; 0 = the worker does not know it
  friend bool operator==(const samples_request&, const samples_request&) = default;
};

/// A batch as the sample log has it.
struct sealed_bytes {
  std::uint64_t hash = 0;  // xxh3-64 of bytes
  frame bytes;             // a sample_batch
};

struct samples_reply {
  errc status = errc::ok;
  std::string detail;
  std::uint64_t stream = 0;   // of the sample log
  batch_number from;          // number of the first of `batches`; then one after the other
  batch_number newest;        // sealed so far
  std::uint64_t records = 0;  // of the source
  bool live = false;
  bool ended = false;  // nothing will follow the newest
  std::uint64_t bad_rows = 0;
  std::string first_bad_row;
  std::string bad_row_reasons;
  std::vector<sealed_bytes> batches;  // at most reply_batches_max; bytes lie in the decoded frame
};

frame encode(const samples_request& m);
/// A bug where the batches are more than a frame holds: see reply_overhead_max.
frame encode(const samples_reply& m);
/// Fail: malformed, too_large, bad_protocol. Hashes are not compared.
result<samples_request> decode_samples_request(const frame& bytes);
result<samples_reply> decode_samples_reply(const frame& bytes);

}  // namespace headrace::schemas
