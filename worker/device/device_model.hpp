#pragma once

#include "base/result.hpp"
#include "schemas/sample.hpp"
#include "worker/device/device_layers.hpp"
#include "worker/device/device_library.hpp"
#include "worker/device/device_queue.hpp"
#include "worker/device/staged_batch.hpp"
#include "worker/model/graph_plan.hpp"
#include "worker/model/model_graph.hpp"
#include "worker/step/row_set.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace headrace::worker {

/// A graph at work on a device: graph_model's step by the entries of a kernel library.
///
/// A batch goes up in one copy, through chunks of at most `chunk_samples` forward and backward on
/// one stream, and what comes of it comes back in one copy. Only then are `sets` and
/// `probabilities` written: a step that fails leaves them as they were, so that another model can
/// do the same batch. All products are f32. With the CPU library and chunks of
/// graph_model::chunk_samples the results are graph_model's bits; else sums are in another order,
/// within the operators' bounds.
///
/// Plans are made for chunks of 64 · 2^k samples when first needed; afterwards a step of the usual
/// size allocates nothing, neither here nor on the device. Deterministic on one device.
/// Single-threaded: the trainer owns it.
class device_model {
 public:
  static constexpr std::size_t default_chunk_samples = 4096;  // a million rows of 26 fields fit

  /// Requires that `refusal` is "". Device memory is asked for by the first step.
  device_model(std::shared_ptr<const model_graph> graph,
               device_library library,
               std::size_t chunk_samples = default_chunk_samples);

  /// Why the library cannot compute the graph, naming the layer; "" where it can.
  static std::string refusal(const model_graph& graph, const device_library& library);

  /// As graph_model: probabilities [samples, heads], from the rows in `sets`. Fails: unavailable
  /// where the device does; then nothing is written.
  result<void> predict(const schemas::sample_batch& batch,
                       std::span<row_set> sets,
                       std::span<float> probabilities);
  /// The same, and the batch's gradients of the summed loss into `sets[…].gradients`. False where
  /// the loss or any of them is not finite.
  result<bool> learn(const schemas::sample_batch& batch,
                     std::span<row_set> sets,
                     std::span<float> probabilities);

  const model_graph& graph() const { return *graph_; }

 private:
  /// Pointers of each node, made anew for each chunk in buffers that stay.
  struct node_pointers {
    std::vector<const float*> inputs;
    std::vector<std::size_t> input_columns;
    std::vector<device_lookup> lookups;
    std::vector<const float*> parameters;
    std::vector<float*> input_gradients;
    std::vector<float*> parameter_gradients;
    float first_parameter = 0.0F;
  };
  const graph_plan& plan_for(std::size_t samples);
  /// Queues the whole step and waits for it; what came of it is in host_results_ then.
  result<void> run(const schemas::sample_batch& batch, std::span<row_set> sets, bool learning);
  void upload(const schemas::sample_batch& batch, std::span<row_set> sets, bool learning);
  void bind(std::span<row_set> sets, bool learning);
  device_lookup lookup_of(const row_set& set, std::size_t table, bool learning) const;
  void forward();
  void backward();
  void backward_of(std::size_t node);
  device_run run_of(std::size_t node) const;
  float* buffer(std::size_t index) const;
  void take_probabilities(std::size_t samples, std::span<float> probabilities) const;
  double loss(std::size_t samples) const;

  template <class Value>
  Value* input(std::size_t place) const {
    return reinterpret_cast<Value*>(inputs_.data() + place);
  }
  template <class Value>
  Value* output(std::size_t place) const {
    return reinterpret_cast<Value*>(results_.data() + place);
  }

  std::shared_ptr<const model_graph> graph_;
  device_library library_;
  std::size_t chunk_samples_;
  staged_batch staged_;
  std::vector<std::unique_ptr<graph_plan>> plans_;
  std::vector<node_pointers> pointers_;
  std::vector<device_form> forms_;  // [nodes]

  device_memory arena_;
  device_memory inputs_;
  device_memory results_;
  device_memory host_inputs_;
  device_memory host_results_;
  device_queue queue_;  // behind the memory that it uses: it ends first

  // Of the chunk at work.
  const graph_plan* at_ = nullptr;
  std::size_t begin_ = 0;
  std::size_t samples_ = 0;
};

}  // namespace headrace::worker
