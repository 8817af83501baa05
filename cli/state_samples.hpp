#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <filesystem>
#include <string>

namespace headrace::cli {

/// What a state folder's sample log holds: how much, and digests to compare it with another run's
/// (worker/batch/sample_digest.hpp).
struct sealed_samples {
  std::string source;
  std::uint64_t first_batch = 0;  // the oldest that is kept; 0: none is there
  std::uint64_t last_batch = 0;
  std::uint64_t samples = 0;
  std::uint64_t history =
      0;                   // beside them: copies that were mixed in (worker/batch/history_mix.hpp)
  std::uint64_t keys = 0;  // different ones of the feature that orders
  std::string set;         // 32 hexadecimal digits
  std::string order;
};

/// Reads every sealed batch of the job's source. `by` is a feature with a key of its own, or empty:
/// then the order of all samples counts. Works beside a running worker, which then is a moment
/// ahead. Fails: not_found (no state folder), bad_config (no such feature, with the nearest),
/// corrupt, io_error; of a broker unavailable, wrong_job.
result<sealed_samples> read_sealed_samples(const std::filesystem::path& state,
                                           const std::string& by);

}  // namespace headrace::cli
