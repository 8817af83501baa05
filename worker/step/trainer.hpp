#pragma once

#include "base/frame.hpp"
#include "base/result.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"
#include "schemas/sample.hpp"
#include "schemas/schema.hpp"
#include "worker/device/placed_model.hpp"
#include "worker/step/dense_copy.hpp"
#include "worker/step/frozen_twin.hpp"
#include "worker/step/gradient_packer.hpp"
#include "worker/step/pull_plan.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace headrace::worker {

/// One batch on its way through pull → forward → backward → push.
struct training_step {
  std::shared_ptr<const schemas::sample_batch> batch;
  std::vector<row_set> sets;
  pull_plan plan;
  std::vector<float> online;  // [samples, heads] predicted before learning
  std::vector<float> frozen;  // [samples, heads] by the twin; empty before the freeze
  bool finite = true;         // its loss and gradients; else only the advance of it is pushed
  bool with_network = false;  // the parameters of the network are pulled with it
};

/// The arithmetic half of a worker: no sockets, no clock, no retries (worker/step/push_window.hpp
/// has the protocol half). Steps are independent until `learn`, so several may wait for rows at
/// once. Single-threaded: the worker actor owns it.
class trainer {
 public:
  /// Tables of `schema` are the model's, in its order and widths. The parameters of the network are
  /// pulled with the first of every `dense_every` batches, at least 1. `device`: as placed_model.
  trainer(std::shared_ptr<const model_graph> model,
          schemas::job_schema schema,
          push_spec push,
          std::uint32_t dense_every = 1,
          precision as = precision::f32,
          activations how = activations::keep,
          std::optional<device_library> device = std::nullopt);
  /// The same for every table in one codec, fp32 or int8.
  trainer(std::shared_ptr<const model_graph> model,
          const schemas::job_schema& schema,
          schemas::value_codec push_codec,
          std::uint32_t dense_every = 1,
          precision as = precision::f32);

  /// Whether the model can learn from the batch. Fails: bad_config where its samples have fewer
  /// labels than the model learns: the log keeps what was sealed before the job file was changed.
  result<void> check(const schemas::sample_batch& batch) const;
  /// Finds the batch's rows; `step.plan` then says what to pull. Steps come from and return to a
  /// pool.
  std::unique_ptr<training_step> begin(std::shared_ptr<const schemas::sample_batch> batch);
  /// As graph_model: all batches are of such samples.
  void correct_negatives(float share) { model_.correct_negatives(share); }
  /// Lets the twin know the rows of a batch that an earlier run learned from.
  void note(const schemas::sample_batch& batch);
  /// Of a stream without an end there is no half: no twin is kept ready, and no key noted.
  void without_twin() { has_twin_ = false; }
  /// Takes one shard's rows. Fails: malformed when they are not what was asked for.
  result<void> accept(training_step& step, const schemas::pull_reply& reply) const;
  /// Predicts, then computes gradients. Requires every shard's rows; steps learn in the order they
  /// began. The gradients of the network are added up until `push_dense`, unless the shards have
  /// those of this batch (`sum_dense` false).
  void learn(training_step& step, bool sum_dense = true);
  /// Push section of the batch for one shard, or an empty frame when it has no keys there.
  frame push_section(const training_step& step, shard_id shard, batch_number prev);
  /// Sections of lane dense, of each shard, with everything summed; then sums start anew. `prev`:
  /// batch of the dense push before.
  std::vector<frame> push_dense(const training_step& step, batch_number prev);
  /// The model has a network.
  bool has_network() const { return !dense_.empty(); }
  void recycle(std::unique_ptr<training_step> step);

  const model_graph& graph() const { return model_.graph(); }
  /// As graph_model::watch_layers.
  void watch_layers(layer_watcher* watcher) { model_.watch_layers(watcher); }
  frozen_twin& twin() { return twin_; }
  std::uint32_t schema_version() const { return schema_.version; }
  /// Rows whose gradient was not finite: dropped before the wire, never sent.
  std::uint64_t rows_not_finite() const { return packer_.rows_not_finite(); }
  /// Batches whose loss or gradients were not finite: pushed without rows, so no optimizer moves.
  std::uint64_t steps_not_finite() const { return precision_so_far().steps_not_finite; }
  /// Steps that a device did; 0 where there is none.
  std::uint64_t device_steps() const { return model_.device_steps(); }
  precision_figures precision_so_far() const { return model_.precision_so_far(); }
  const routing_figures& routed_so_far() const { return model_.host().routed_so_far(); }

 private:
  void predict_frozen(training_step& step);
  schemas::push_section header_of(const training_step& step,
                                  shard_id shard,
                                  batch_number prev) const;

  schemas::job_schema schema_;
  placed_model model_;
  gradient_packer packer_;
  dense_copy dense_;
  frozen_twin twin_;
  bool has_twin_ = true;
  std::uint32_t dense_every_;
  std::uint64_t begun_ = 0;
  std::vector<row_set> noted_sets_;
  std::vector<std::vector<float>> twin_values_;  // one for each table of a step
  std::vector<std::unique_ptr<training_step>> pool_;
};

}  // namespace headrace::worker
