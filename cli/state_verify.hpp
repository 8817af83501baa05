#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace headrace::cli {

/// What reading a whole state folder back found.
struct state_findings {
  std::string job;
  std::uint64_t logs = 0;     // of shards and of sources
  std::uint64_t records = 0;  // in them
  std::uint64_t rows = 0;
  std::string digest;          // of the tables; empty where they cannot be made
  std::vector<error> damaged;  // what is wrong, and the way out; empty: all of it is good
};

/// Reads every byte that counts: JOB, job.toml, CHECKPOINT, every record of every log, every block
/// of every row file, and the tables that come of them. Changes nothing; beside a running server it
/// is a moment behind. Fails: not_found (no state folder).
result<state_findings> verify_state(const std::filesystem::path& state);

}  // namespace headrace::cli
