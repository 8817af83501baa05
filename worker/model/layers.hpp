#pragma once

#include "kernels/dedup/dedup.hpp"
#include "schemas/sample.hpp"
#include "worker/step/row_set.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// The layers of the CTR models. Each has a forward and a hand-written backward pass over spans;
/// the arithmetic is in kernels/.
namespace headrace::worker {

/// Leaf: which rows a batch needs. Its backward is the row set's gradient buffer.
class row_lookup {
 public:
  /// Unique keys ascending with counts and inverse; buffers sized, gradients zeroed.
  void plan(std::span<const std::uint64_t> keys, row_set& rows);

 private:
  kernels::dedup_scratch scratch_;
};

/// bias + Σ w x + ½ Σ_k [(Σ v x)² − Σ (v x)²]; with rows of width 1 just bias + Σ w x.
class factorization {
 public:
  /// logits [samples]; features a sample as in the batch.
  void forward(const schemas::sample_batch& batch,
               const row_set& embedding,
               float bias,
               std::span<float> logits);
  /// Adds to the gradients of `embedding`; returns the bias's gradient.
  float backward(const schemas::sample_batch& batch,
                 std::span<const float> logit_gradients,
                 row_set& embedding) const;

 private:
  std::vector<float> sums_;  // [samples * dim] Σ v x, kept for backward
};

/// Binary cross-entropy on logits, summed over the batch.
class log_loss {
 public:
  void forward_backward(std::span<const float> logits,
                        std::span<const float> labels,
                        std::span<float> probabilities,
                        std::span<float> logit_gradients) const;
};

}  // namespace headrace::worker
