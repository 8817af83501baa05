#pragma once

#include "worker/model/graph_plan.hpp"
#include "worker/model/model_graph.hpp"
#include "worker/model/precision_watch.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::worker {

/// Runs the layers of a graph, each in the precision that it has at the step (precision_watch.hpp
/// decides), and checks those that run in 16 bits: at every 256th step 64 rows of the first chunk
/// are computed in f32 as well, forward and back to the gradient of the input, from the same
/// inputs.
///
///   each batch: pack(node, …) of each node, then for each chunk forward and backward of each node;
///   end_step() after those that learn.
///
/// Allocates in the constructor and in fit. Single-threaded: the model owns it.
class layer_runner {
 public:
  layer_runner(const model_graph& graph, precision wanted);

  precision wanted() const { return wanted_; }
  /// Makes room for chunks of this plan.
  void fit(const graph_plan& plan);
  /// The parameters of a node, as the batch that begins finds them.
  void pack(std::size_t node, std::span<const std::span<const float>> parameters);
  /// Of a chunk, `first` of its batch or not. Returns what the layer returns.
  double forward(std::size_t node, layer_run run, bool first);
  /// The same once more, in the precision of the chunk's forward pass.
  void forward_again(std::size_t node, layer_run run);
  void backward(std::size_t node, layer_run run, bool first);
  /// Whether the loss and all gradients of the batch are finite.
  void end_step(bool finite) { watch_.end_step(finite); }

  precision_figures figures() const { return watch_.figures(); }
  const precision_watch& watch() const { return watch_; }

 private:
  /// Of a layer that can multiply in 16 bits.
  struct half_layer {
    const layer* body = nullptr;  // null: it cannot, or is not to
    precision as = precision::f32;
    std::vector<std::uint16_t> packed;
  };
  void lend(const half_layer& half, layer_run& run);
  /// Rows of the chunk alone, in f32; what is written goes to the buffers of checks.
  layer_run check_run(const layer_run& run, const kernels::row_slice& rows);
  void check_forward(std::size_t node, const layer_run& run);
  void check_backward(std::size_t node, const layer_run& run);
  void report(std::size_t node,
              std::span<const float> half,
              std::span<const float> full,
              double tolerance);

  const model_graph* graph_;
  precision wanted_;
  precision_watch watch_;
  std::vector<half_layer> layers_;  // [nodes]
  std::vector<std::uint16_t> words_;

  // What a check computes again.
  std::vector<float> output_;
  std::vector<float> saved_;
  std::vector<float> input_gradient_;
  std::vector<float> parameter_gradient_;
  std::span<const float> input_rows_;
  std::span<float> input_gradient_rows_;
  std::vector<std::span<float>> parameter_gradients_;
};

}  // namespace headrace::worker
