#pragma once

#include "base/config.hpp"

#include <cstdint>
#include <string>

namespace headrace::cli {

/// `[checkpoint]`: where checkpoints go, and when one is taken.
struct checkpoint_spec {
  std::string to;                      // folder, file:///path or s3://bucket/prefix; empty: none
  std::uint64_t every_ms = 1'800'000;  // 0 = not by time
  std::uint64_t batches = 0;           // of a shard since the last one; 0 = not by batches
  std::uint64_t keep = 24;             // the newest ones, one at least
  std::uint64_t keep_for_ms = 604'800'000;  // and all that are younger
  bool keep_log = false;  // records behind the oldest kept checkpoint stay: for rewind and undo
  bool digest = true;     // reads every row of the checkpoint before it is sent
};

/// Reads the section; refusals are the reader's.
void read_checkpoint(config_reader& config, checkpoint_spec& checkpoint);

}  // namespace headrace::cli
