#pragma once

#include "worker/model/model_graph.hpp"

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace headrace::worker {

/// A buffer of the plan: where it lies in the arena, and from which to which step it is needed.
/// Step i < n is the forward pass of node i, step 2n - 1 - i its backward pass.
struct planned_buffer {
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  std::string what;  // "deep1 output"
  std::size_t floats = 0;
  std::size_t offset = none;  // in floats
  std::size_t first = 0;
  std::size_t last = 0;
};

/// Where everything lies while a chunk of at most `samples`, with at most `tokens` in a list, goes
/// forward and backward: one arena, shared by buffers whose times don't overlap.
///
/// The gradient of an output with several readers is written by the reader that comes first in the
/// backward pass; each other one writes to a buffer of its own, which is added. An output is kept
/// for the backward pass only where somebody reads it there. Offsets are multiples of 16 floats.
///
/// Where `wanted` is no f32, layers that multiply matrices do so in 16 bits: norms, softmax, losses
/// and sums over fields stay f32. Their workspace is enough for f32 as well.
class graph_plan {
 public:
  graph_plan(const model_graph& graph,
             std::size_t samples,
             std::size_t tokens = 0,
             precision wanted = precision::f32);

  struct node_buffers {
    std::size_t output = planned_buffer::none;  // indices into buffers()
    std::size_t output_gradient = planned_buffer::none;
    std::size_t saved = planned_buffer::none;
    std::size_t forward_workspace = planned_buffer::none;
    std::size_t backward_workspace = planned_buffer::none;
    /// Where the gradient of input i is written, and what it is added to afterwards (or none).
    struct input_gradient {
      std::size_t written = planned_buffer::none;
      std::size_t added_to = planned_buffer::none;
    };
    std::vector<input_gradient> input_gradients;
  };

  std::size_t samples() const { return size_.samples; }
  const chunk_size& size() const { return size_; }
  std::size_t arena_floats() const { return arena_floats_; }
  const std::vector<planned_buffer>& buffers() const { return buffers_; }
  const node_buffers& of(std::size_t node) const { return nodes_[node]; }
  /// What node i multiplies in.
  precision precision_of(std::size_t node) const { return precisions_[node]; }
  /// 16-bit words of scratch, which layers use in turn.
  std::size_t words() const { return words_; }
  /// Floats if no two buffers shared memory: what liveness saves is the difference.
  std::size_t floats_unshared() const;

 private:
  std::size_t add(std::string what, std::size_t floats, std::size_t first, std::size_t last);
  std::size_t workspace_of(const model_graph& graph, std::size_t node);
  void plan_forward(const model_graph& graph);
  void plan_gradients(const model_graph& graph);
  void place();

  chunk_size size_;
  precision wanted_;
  std::size_t steps_;
  std::size_t words_ = 0;
  std::size_t arena_floats_ = 0;
  std::vector<planned_buffer> buffers_;
  std::vector<node_buffers> nodes_;
  std::vector<precision> precisions_;  // [nodes]
};

}  // namespace headrace::worker
