#pragma once

#include "base/frame.hpp"
#include "base/result.hpp"
#include "bench/deepfm/step_clock.hpp"
#include "ps/shard/shard.hpp"
#include "schemas/schema.hpp"

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace headrace::bench {

/// A job's shards without log, actors or sockets, each behind a lock: what its actor is in the
/// product, one caller at a time. Sections are decoded and answers encoded outside of it where that
/// needs nothing of the shard.
class locked_shards {
 public:
  explicit locked_shards(const schemas::job_schema& schema);

  std::uint32_t count() const { return static_cast<std::uint32_t>(shards_.size()); }
  /// Gives every key below `rows` of table 0 a row, by pushes that change nothing.
  result<void> fill(std::uint32_t rows);
  /// The encoded reply. Fails: whatever refused the section.
  result<frame> pull(shard_id to, const frame& section, step_clock& clock);
  /// The encoded acknowledgement. Fails: whatever refused the section.
  result<frame> push(shard_id to, const frame& section, step_clock& clock);

 private:
  struct locked {
    std::mutex mutex;  // guards rows
    std::unique_ptr<ps::shard> rows;
  };
  schemas::job_schema schema_;
  std::vector<std::unique_ptr<locked>> shards_;
};

}  // namespace headrace::bench
