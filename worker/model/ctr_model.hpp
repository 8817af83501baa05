#pragma once

#include "base/result.hpp"
#include "schemas/sample.hpp"
#include "schemas/schema.hpp"
#include "worker/model/layers.hpp"
#include "worker/model/model_spec.hpp"
#include "worker/step/row_set.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace headrace::worker {

/// Forward and backward of one batch, as a fixed list of layers over the rows of its tables.
///
/// The layers are explicit objects with hand-written backward passes (worker/model/layers.hpp), run
/// in order and then in reverse; a planner that builds such lists from a model file comes behind
/// the same calls. Allocates only when a batch is larger than any before. Single-threaded: one step
/// owns one.
class ctr_model {
 public:
  ctr_model(const model_spec& spec, const schemas::job_schema& schema);

  /// Fills keys, counts and inverse of every table for `batch`; `sets` keeps its buffers.
  void plan(const schemas::sample_batch& batch, std::vector<row_set>& sets);
  /// Probability of label 1 for each sample, from the rows in `sets`.
  std::span<const float> forward(const schemas::sample_batch& batch,
                                 const std::vector<row_set>& sets);
  /// Gradients of the summed loss of the last `forward`, into `sets[…].gradients`.
  void backward(const schemas::sample_batch& batch, std::vector<row_set>& sets);

  const model_spec& spec() const { return spec_; }

 private:
  model_spec spec_;
  std::size_t embedding_width_ = 1;
  row_lookup lookup_;
  factorization factorization_;
  log_loss loss_;
  std::vector<float> logits_;
  std::vector<float> logit_gradients_;
  std::vector<float> probabilities_;
};

}  // namespace headrace::worker
