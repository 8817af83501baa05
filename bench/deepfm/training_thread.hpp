#pragma once

#include "base/result.hpp"
#include "bench/deepfm/job.hpp"
#include "bench/deepfm/layer_clock.hpp"
#include "bench/deepfm/locked_shards.hpp"
#include "bench/deepfm/step_clock.hpp"
#include "schemas/sample.hpp"
#include "worker/model/graph_model.hpp"
#include "worker/step/trainer.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace headrace::bench {

using deepfm_batches = std::vector<std::shared_ptr<schemas::sample_batch>>;

/// What one thread does again and again. Single-threaded; several share the shards.
class training_thread {
 public:
  virtual ~training_thread() = default;
  /// One batch; the samples in it. Fails: whatever refused a pull or a push, and a loss that is
  /// not finite.
  virtual result<std::size_t> step() = 0;
  /// From now on `layers` runs too: two readings of the clock for each layer of a chunk.
  virtual void watch_layers() = 0;

  step_clock clock;
  layer_clock layers;
  bool keeps_loss = false;  // of a thread that pulls and pushes
  double loss = 0;          // summed over the samples, each predicted before it was learned
};

/// A worker and its source: pull, learn, push, over `batches` in turn. `number` tells threads
/// apart. Their headers are written to: no two threads share batches. The network is pulled and
/// pushed every `dense_every` batches. Products are computed in `as`.
std::unique_ptr<training_thread> make_ps_thread(const deepfm_job& job,
                                                locked_shards& shards,
                                                deepfm_batches batches,
                                                std::uint32_t number,
                                                std::uint32_t dense_every = 1,
                                                worker::precision as = worker::precision::f32);

/// Forward and backward alone: the rows of a few of `batches` stay where they are.
std::unique_ptr<training_thread> make_direct_thread(const deepfm_job& job,
                                                    deepfm_batches batches,
                                                    worker::precision as = worker::precision::f32);

}  // namespace headrace::bench
