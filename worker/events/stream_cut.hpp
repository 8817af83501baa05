#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace headrace::worker {

/// Where each partition of a broker goes on.
using partition_ends = std::map<std::string, std::uint64_t>;

/// A place in the event log from which reading can begin: what was made of everything before it.
/// Bytes: docs/storage-format.md.
struct stream_cut {
  /// Where the log had which size when; what retention goes by.
  struct mark {
    lsn through;
    std::uint64_t stamp_ms = 0;
    std::uint64_t bytes = 0;  // of the log until there, since it was begun
    friend bool operator==(const mark&, const mark&) = default;
  };
  /// What its samples are made by: the join, its actions and the features of what waits in it.
  /// 0: not known (a cut of format 1).
  std::uint64_t made_by = 0;
  lsn through;                // the last record that is in it
  std::uint64_t samples = 0;  // made of it
  // What the join calls the log's time: its stamps without the times when nobody wrote it.
  std::uint64_t stamp_ms = 0;      // of `through`
  std::uint64_t unwritten_ms = 0;  // what is taken off
  partition_ends partitions = {};
  std::vector<std::byte> joiner;        // joiner::save(); empty without a join
  std::vector<mark> marks;              // oldest first; the last is this cut's
  std::vector<std::byte> windows = {};  // window_features::save(); empty without any
  std::vector<std::byte> texts = {};    // text_filter::save(); empty without any
  friend bool operator==(const stream_cut&, const stream_cut&) = default;
};

std::vector<std::byte> encode(const stream_cut& cut);
/// Fails: corrupt.
result<stream_cut> decode_stream_cut(std::span<const std::byte> bytes);

}  // namespace headrace::worker
