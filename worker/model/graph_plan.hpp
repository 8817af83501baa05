#pragma once

#include "worker/model/model_graph.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace headrace::worker {

/// Which values of the forward pass are there in the backward pass.
enum class activations : std::uint8_t {
  keep,       // all that it reads
  recompute,  // those between segments of the graph; the others are computed once more, segment by
              // segment, right before it (Chen et al., arXiv 1604.06174)
};

/// One thing done at a time: a node goes forward, forward once more, or backward.
struct plan_step {
  enum class pass : std::uint8_t { forward, again, backward };
  std::size_t node = 0;
  pass what = pass::forward;
  friend bool operator==(const plan_step&, const plan_step&) = default;
};

/// A buffer of the plan: where it lies in the arena, and from which to which step it is needed.
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
/// With activations::recompute the nodes are cut into segments. The last one is as ever; what a
/// later segment reads of an earlier one is kept; the other nodes whose values or saved floats are
/// read backward go forward again, to buffers of their own, before the backward pass of their
/// segment. Of two to eight segments of about equal size it has as many as make the arena smallest,
/// or one if none is smaller. The values are the same bits: a layer draws by its batch and chunk.
///
/// Where `wanted` is no f32, layers that multiply matrices do so in 16 bits: norms, softmax, losses
/// and sums over fields stay f32. Their workspace is enough for f32 as well.
class graph_plan {
 public:
  graph_plan(const model_graph& graph,
             std::size_t samples,
             std::size_t tokens = 0,
             precision wanted = precision::f32,
             activations how = activations::keep);

  struct node_buffers {
    std::size_t output = planned_buffer::none;  // indices into buffers()
    std::size_t output_gradient = planned_buffer::none;
    std::size_t saved = planned_buffer::none;
    /// Those of the pass that backward follows: the same, but of nodes that go forward again.
    std::size_t output_again = planned_buffer::none;
    std::size_t saved_again = planned_buffer::none;
    std::size_t workspace_again = planned_buffer::none;
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
  /// All nodes forward, then what learning does behind that.
  std::span<const plan_step> steps() const { return timeline_; }
  /// How many of the steps are the forward pass: one for each node.
  std::size_t forward_steps() const { return nodes_.size(); }
  /// Whether node i goes forward twice.
  bool recomputes(std::size_t node) const { return again_[node] != planned_buffer::none; }
  /// What node i multiplies in.
  precision precision_of(std::size_t node) const { return precisions_[node]; }
  /// 16-bit words of scratch, which layers use in turn.
  std::size_t words() const { return words_; }
  /// Floats if no two buffers shared memory: what liveness saves is the difference.
  std::size_t floats_unshared() const;

 private:
  std::size_t add(std::string what, std::size_t floats, std::size_t first, std::size_t last);
  std::size_t workspace_of(const model_graph& graph, std::size_t node);
  void plan_with(const model_graph& graph, std::size_t segments);
  std::vector<std::size_t> cut(const model_graph& graph, std::size_t segments) const;
  void plan_times(const model_graph& graph, const std::vector<std::size_t>& segment_of);
  std::vector<bool> to_compute_again(const model_graph& graph,
                                     const std::vector<std::size_t>& segment_of) const;
  void plan_values(const model_graph& graph);
  void plan_values_again(const model_graph& graph, std::size_t node);
  void plan_gradients(const model_graph& graph);
  void place();

  chunk_size size_;
  precision wanted_;
  std::vector<plan_step> timeline_;
  std::vector<std::size_t> again_;  // [nodes] its step in the timeline, or none
  std::vector<std::size_t> back_;   // [nodes]
  std::size_t words_ = 0;
  std::size_t arena_floats_ = 0;
  std::vector<planned_buffer> buffers_;
  std::vector<node_buffers> nodes_;
  std::vector<precision> precisions_;  // [nodes]
};

}  // namespace headrace::worker
