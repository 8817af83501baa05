#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "schemas/push.hpp"
#include "worker/step/pull_plan.hpp"
#include "worker/step/row_set.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace headrace::worker {

/// Quantizes a batch's gradients and encodes them as push sections: int8 with one fp16 scale a row,
/// rounded up, round to nearest, no error feedback (equal to fp32 to 1e-5 logloss: notes kernels
/// §2.2), or fp32 where exactness is the point. A row whose gradient is not finite is dropped and
/// counted. Single-threaded; buffers are reused.
class gradient_packer {
 public:
  explicit gradient_packer(schemas::value_codec codec) : codec_(codec) {}

  /// Section of (source, lane, batch, prev) for one shard, with the sets of that lane; `header` has
  /// everything but the blocks.
  frame section(schemas::push_section header, std::span<const row_set> sets, const pull_plan& plan);

  std::uint64_t rows_not_finite() const { return rows_not_finite_; }

 private:
  struct block_buffers {
    std::vector<std::uint64_t> keys;
    std::vector<std::uint32_t> counts;
    bool repeated = false;  // some count is not 1; else counts stay off the wire
    std::vector<float> gradients;
    std::vector<std::int8_t> codes;
    std::vector<std::uint16_t> scales;
  };
  void gather(const row_set& set, const pull_plan::part& part, block_buffers& into);

  schemas::value_codec codec_;
  std::vector<block_buffers> buffers_;
  std::uint64_t rows_not_finite_ = 0;
};

}  // namespace headrace::worker
