#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/push.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// Sealed batches: what the sample log keeps and the worker trains on. Fixed contents, an
/// increasing number, everything a sample needs (design §4): a retried batch has the same
/// boundaries.
namespace headrace::schemas {

constexpr std::uint32_t labels_max = 64;  // of a sample

/// A feature of a sample is a row key times a value (1 for ids).
struct sample_batch {
  source_id source;
  batch_number batch;  // position in the sample log, from 1
  batch_number prev;   // previous sealed batch of this source in the log
  std::uint32_t schema_version = 1;
  std::uint64_t offset_end = 0;  // records of the source consumed through this batch
  std::uint64_t event_time_min_ms = 0;
  std::uint64_t event_time_max_ms = 0;
  std::uint64_t accepted_ms = 0;       // wall time when the oldest sample was accepted
  std::uint32_t accepted_span_ms = 0;  // from then until the newest fresh one was
  bool last = false;                   // the source is finished with this batch

  // Columnar: n samples of f features each, the same list for every sample; a missing value has a
  // key of its own.
  std::uint32_t samples = 0;
  std::uint32_t history = 0;  // of them the last: copies of older batches' samples, learned again
  std::uint32_t features = 0;
  std::uint32_t label_count = 1;           // l, 1 … labels_max
  std::vector<float> labels;               // [n * l] 0 or 1, sample-major
  std::vector<std::uint64_t> row_numbers;  // [n] record number in the source, from 0
  std::vector<std::uint64_t> keys;         // [n * f] row keys, sample-major
  std::vector<float> values;               // [n * f], or empty when all are 1

  // Features that are lists of keys, such as what a user saw last, oldest first: s for each sample.
  std::uint32_t sequences = 0;
  std::vector<std::uint16_t> lengths;        // [n * s], sample-major
  std::vector<std::uint64_t> sequence_keys;  // list after list

  /// Every sample of the source accepted before it is in this batch or an earlier one.
  std::uint64_t accepted_through_ms() const { return accepted_ms + accepted_span_ms; }
  /// Samples that came from the source with this batch; they stand first.
  std::uint32_t fresh() const { return samples - history; }
  friend bool operator==(const sample_batch&, const sample_batch&) = default;
};

frame encode(const sample_batch& batch);
/// Fails: malformed, too_large, bad_protocol. Never returns more than the frame holds.
result<sample_batch> decode_sample_batch(const frame& bytes);

}  // namespace headrace::schemas
