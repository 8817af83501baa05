#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/sample.hpp"
#include "schemas/schema.hpp"
#include "worker/model/graph_model.hpp"
#include "worker/step/pull_plan.hpp"
#include "worker/step/row_set.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace headrace::worker {

/// Predicts batches with rows that somebody has, and learns nothing: the forward half of a trainer.
///
/// Rows are asked for as a worker asks a shard, so a key without a row has its table's initial
/// values, and what is scored is what a worker would have predicted. Deterministic.
/// Single-threaded.
class batch_scorer {
 public:
  /// Answers an encoded pull section of a shard with an encoded pull reply.
  using row_pull = std::function<frame(shard_id, const frame&)>;

  /// Tables of `schema` are the model's, in its order and widths.
  batch_scorer(std::shared_ptr<const model_graph> model,
               const schemas::job_schema& schema,
               row_pull pull);

  /// What the model predicts: the columns of a score.
  std::span<const model_head> heads() const { return model_.graph().heads(); }

  /// Probability of each head's label being 1 into probabilities [samples, heads], resized. Fails:
  /// as the pull's answer says, malformed (the answer is of other rows).
  result<void> score(const schemas::sample_batch& batch, std::vector<float>& probabilities);

  /// What node `node` of the model gives, all samples or tokens in a row, into values. Fails: as
  /// `score`.
  result<void> compute(const schemas::sample_batch& batch,
                       std::size_t node,
                       std::vector<float>& values);
  /// Rows of a table that is looked up: keys strictly ascending; values [keys, width], resized.
  /// Fails: as `score`.
  result<void> rows(std::size_t table,
                    std::span<const std::uint64_t> keys,
                    std::vector<float>& values);

  /// Samples of at most `keys` keys each, those of lists included, whose rows surely fit one pull
  /// (schemas::block_rows_max, frame_bytes_max); 1 … 512.
  std::size_t samples_max(std::size_t keys) const;

 private:
  result<void> pull(std::span<row_set> sets);
  std::size_t rows_max() const;

  graph_model model_;
  std::uint32_t shards_;
  std::uint32_t schema_version_;
  row_pull pull_;
  pull_plan plan_;
  std::vector<row_set> sets_;
};

}  // namespace headrace::worker
