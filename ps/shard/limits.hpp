#pragma once

#include "ps/shard/quarantine.hpp"
#include "ps/shard/source_quota.hpp"

#include <cstddef>
#include <cstdint>

namespace headrace::ps {

/// Bounds of one shard; each is refused with a named error, never exceeded.
struct shard_limits {
  std::uint32_t rows_per_push_max = 65'536;               // of one pull section, too
  std::size_t section_bytes_max = std::size_t{64} << 20;  // of a pull's answer, too
  std::uint64_t staleness_max = UINT64_MAX;               // versions between pull and push
  double norm_factor_max = 1e6;      // push norm against the source's running median; 0 = unchecked
  std::size_t sources_max = 65'536;  // sources ever met: a watermark is kept for each
  std::size_t in_flight_max = 64;    // admitted, not yet committed
  quota_limits quota = {};           // of each source on this shard
  quarantine_limits quarantine = {};
};

}  // namespace headrace::ps
