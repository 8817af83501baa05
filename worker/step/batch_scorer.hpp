#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/sample.hpp"
#include "schemas/schema.hpp"
#include "worker/model/graph_model.hpp"
#include "worker/step/row_set.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace headrace::worker {

/// Predicts batches with rows that somebody has, and learns nothing: the forward half of a trainer.
///
/// A key without a row has its table's initial values, so what is scored is what a worker would
/// have predicted. Deterministic. Single-threaded.
class batch_scorer {
 public:
  /// Writes values and flags of the sets that have keys: set i is of table i of the model in
  /// `score` and `compute`, one of any table alone in `rows`. A failure is the scorer's.
  using row_read = std::function<result<void>(std::span<row_set>)>;
  /// Answers an encoded pull section of a shard with an encoded pull reply.
  using row_pull = std::function<frame(shard_id, const frame&)>;

  batch_scorer(std::shared_ptr<const model_graph> model, row_read read);
  /// Rows that are asked for as a worker asks shards. Tables of `schema` are the model's, in its
  /// order and widths.
  batch_scorer(std::shared_ptr<const model_graph> model,
               const schemas::job_schema& schema,
               row_pull pull);

  /// Parameters of the network: read with the batch, or as the last batch that read them left them.
  enum class network : std::uint8_t { read, kept };

  /// What the model predicts: the columns of a score.
  std::span<const model_head> heads() const { return model_.graph().heads(); }

  /// Probability of each head's label being 1 into probabilities [samples, heads], resized. Fails:
  /// as the reading does; of pulled rows as the answer says, malformed (it is of other rows).
  result<void> score(const schemas::sample_batch& batch,
                     std::vector<float>& probabilities,
                     network parameters = network::read);
  /// What the last batch was scored with, by table.
  std::span<const row_set> used() const { return sets_; }

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
  std::size_t rows_max() const;

  graph_model model_;
  row_read read_;
  std::vector<row_set> sets_;
};

}  // namespace headrace::worker
