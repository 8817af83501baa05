#pragma once

#include "base/ids.hpp"
#include "schemas/push.hpp"
#include "worker/step/pull_plan.hpp"
#include "worker/step/push_choice.hpp"
#include "worker/step/row_set.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::worker {

/// Compresses the gradients of one dense table on one shard and keeps what that loses, one float
/// for each value, to send it with a later push (error feedback: Karimireddy et al., arXiv
/// 1901.09847).
///
/// What is pushed is e = gradient + residual: topk sends the largest values of e, int4 and int8 all
/// of them, rounded; the residual is e less what a shard decodes, so nothing is lost but float
/// rounding. A row whose e would not be finite brings no gradient: its residual stays and may
/// leave. A batch that is not packed at all changes nothing. Each batch is packed once; sending
/// again is up to who keeps the bytes. Pushed bytes that a shard refuses for good (a void record)
/// are gone, as those of any codec: what was left out is not among them. The residual lives as long
/// as the worker: after a restart it begins at zero, and what was left out is lost once.
///
/// automatic: topk10, until after some push |residual| > residual_max × |gradient| (L2 norms over
/// the table's rows on the shard); then the next push is int8, which empties the residual, but only
/// one of flush_every pushes, so that they stay below 1/16 of fp32. Follows from the gradients
/// since the worker began, so it is the same on every run.
///
/// Deterministic. Single-threaded; buffers are reused.
class dense_packer {
 public:
  static constexpr double residual_max = 4.0;
  static constexpr std::uint32_t flush_every = 16;

  /// `choice` is int4 or one that leaves values out.
  explicit dense_packer(push_choice choice);

  /// Fills codec, scales and values of `into`, whose keys and dim are those of `part`: they point
  /// into this until the next call. The part is the same at every call. Gives the number of rows
  /// that were not finite.
  std::uint64_t pack(const row_set& set,
                     const pull_plan::part& part,
                     batch_number batch,
                     schemas::row_block& into);

  /// What was left out so far, [rows, dim].
  std::span<const float> residuals() const { return residuals_; }

 private:
  std::uint64_t gather(const row_set& set, const pull_plan::part& part);
  void pack_topk(std::size_t k, schemas::row_block& into);
  void pack_int4(schemas::row_block& into);
  void pack_int8(schemas::row_block& into);
  void note_error(bool flushed);

  push_choice choice_;
  std::vector<float> residuals_;
  std::vector<float> gradients_;
  std::vector<std::byte> values_;
  std::vector<std::uint16_t> scales_;
  std::vector<std::uint32_t> indices_;
  std::vector<float> selected_;
  std::vector<std::uint32_t> workspace_;
  bool flush_next_ = false;        // automatic: the next push is int8
  std::uint32_t since_flush_ = 0;  // pushes
};

}  // namespace headrace::worker
