#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "schemas/push.hpp"
#include "worker/step/dense_packer.hpp"
#include "worker/step/pull_plan.hpp"
#include "worker/step/push_choice.hpp"
#include "worker/step/row_set.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace headrace::worker {

/// Quantizes a batch's gradients and encodes them as push sections, table by table: int8 with one
/// fp16 scale a row, rounded up, round to nearest, no error feedback (equal to fp32 to 1e-5
/// logloss: notes kernels §2.2), or fp32 where exactness is the point, or int4. Dense tables in
/// int4 and topk, and only those, have error feedback (dense_packer.hpp). A row whose gradient is
/// not finite is dropped and counted; rows of a block without any gradient are left out
/// (row_set::block_rows). Single-threaded; buffers are reused.
class gradient_packer {
 public:
  /// `dense[t]`: every batch pushes the same rows of table t. Others leave nothing out.
  gradient_packer(push_spec how, std::vector<bool> dense);

  /// Section of (source, lane, batch, prev) for one shard, with the sets of that lane; `header` has
  /// everything but the blocks. To be asked for once for each push and shard: the bytes are then
  /// sent as often as it takes.
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
  /// Gathers one table's rows, then codec, scales and values of `block`.
  void pack_rows(const row_set& set,
                 const pull_plan::part& part,
                 push_choice choice,
                 block_buffers& packed,
                 schemas::row_block& block);
  void pack_dense(const row_set& set,
                  const pull_plan::part& part,
                  batch_number batch,
                  dense_packer& by,
                  block_buffers& packed,
                  schemas::row_block& block);
  dense_packer& packer_of(shard_id shard, std::size_t table);
  void gather(const row_set& set, const pull_plan::part& part, block_buffers& into);

  push_spec how_;
  std::vector<bool> feedback_;  // of each table
  std::vector<block_buffers> buffers_;
  std::vector<std::vector<std::unique_ptr<dense_packer>>> dense_;  // [shard][table], as needed
  std::uint64_t rows_not_finite_ = 0;
};

}  // namespace headrace::worker
