#pragma once

#include "worker/model/device_form.hpp"
#include "worker/model/precision.hpp"
#include "worker/model/value_shape.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace headrace::worker {

/// A matrix that a layer learns: a table of `rows` rows of `dim` floats, keys 0 … rows - 1.
struct parameter_spec {
  std::string table;
  std::size_t rows = 1;
  std::size_t dim = 1;  // 1 … 1024
  float init_scale = 0.0F;
  bool network = true;  // learns by Adam unless the job says otherwise; else as rows do
  /// So many rows stand still together, with their optimizer's state, while no gradient reaches any
  /// of them; 0: all move with each push.
  std::size_t block_rows = 0;
};

/// Rows that a layer looks up by the keys of its features.
struct lookup_spec {
  std::string table;
  std::size_t width = 1;  // floats in a row, the first-order columns included
  std::uint32_t first_order_columns = 0;
  float init_scale = 0.0F;
  std::vector<std::uint32_t> features;    // of a sample, ascending; empty = all
  std::vector<std::uint32_t> lists = {};  // of a sample, ascending; empty = none
  bool only_lists = false;                // and no feature but these
};

/// The rows of a lookup as a chunk of samples sees them.
struct lookup_view {
  std::size_t width = 0;
  std::size_t features = 0;
  std::span<const float> rows;                  // [unique, width]
  std::span<const std::uint32_t> inverse = {};  // [samples * features] < unique
  std::span<const float> factors = {};          // [samples * features]; empty = all 1
  std::span<float> gradients = {};              // [unique, width], added to
  std::span<const std::uint32_t> tokens = {};   // [tokens] < unique, of the list that is read
};

/// What a loss learns: one column of its output is the probability of a label.
struct loss_head {
  std::size_t label = 0;  // of the job's labels
  float weight = 1.0F;    // of this loss in the sum that is learned, above 0
};

/// What a layer needs to multiply in 16 bits.
struct half_room {
  std::size_t floats = 0;  // of workspace, in place of those of f32
  std::size_t words = 0;   // of scratch
  std::size_t packed = 0;  // words of its parameters, whatever the rows
};

/// How full the experts of routing layers were so far, while they learned: utilisation is
/// (assigned - dropped) / room.
struct routing_figures {
  std::uint64_t assigned = 0;  // to experts: k for each vector
  std::uint64_t dropped = 0;   // of which found no room
  std::uint64_t room = 0;      // of all experts, full or not
};

/// One layer at work on a chunk of samples. Spans of things that a layer doesn't have are empty.
struct layer_run {
  std::size_t samples = 0;         // rows of its output: of a list's value, its tokens
  std::span<const float> labels;   // [labels, samples]
  std::span<const float> numbers;  // [samples * features] of the batch, empty = all 1
  std::size_t features = 0;        // of a sample of the batch
  float logit_offset = 0.0F;       // of a loss that takes one: not of what it predicts
  /// Of the list it works on: sample s has the tokens [offsets[s], offsets[s + 1]).
  std::span<const std::uint32_t> offsets = {};
  std::uint64_t draw_key = 0;         // names batch and chunk: what is drawn again is the same
  bool learning = false;              // a backward pass follows
  routing_figures* routed = nullptr;  // where what a router does counts

  std::span<const std::span<const float>> inputs;      // each [samples, columns]
  std::span<const lookup_view> lookups;                // for each input; empty where it has no rows
  std::span<const std::span<const float>> parameters;  // each [rows, dim]
  std::span<float> output;                             // [samples, columns]
  std::span<float> saved;                              // from forward to backward
  std::span<float> workspace;

  precision as = precision::f32;          // of its products; else `packed` and `words` are there
  std::span<const std::uint16_t> packed;  // what `pack` made of its parameters
  std::span<std::uint16_t> words;         // scratch
  float gradient_scale = 1.0F;            // of what backward rounds to 16 bits

  std::span<const float> label(std::size_t i) const { return labels.subspan(i * samples, samples); }

  // Backward only.
  std::span<const float> output_gradient;
  std::span<const std::span<float>> input_gradients;      // written; empty where nobody wants them
  std::span<const std::span<float>> parameter_gradients;  // added to
};

/// Work and traffic of one pass over a number of samples, for the plan's figures.
struct layer_cost {
  double forward_flops = 0.0;
  double backward_flops = 0.0;
};

/// An operator with its attributes and shapes: what a model is made of (worker/model/ops/).
///
/// Immutable, so one graph serves many threads; what a pass leaves behind is in its buffers.
/// Forward writes the output from inputs, parameters and batch. Backward writes the gradients of
/// its inputs and adds to those of its parameters and lookups.
class layer {
 public:
  virtual ~layer() = default;

  value_shape output;
  std::vector<parameter_spec> parameters;
  std::optional<lookup_spec> lookup;
  std::vector<loss_head> heads;  // of a loss: one for each column of its output

  /// Floats kept from forward to backward, and needed while either runs, for rows of its output.
  virtual std::size_t saved(std::size_t) const { return 0; }
  virtual std::size_t workspace(std::size_t) const { return 0; }
  /// The same of layers for which samples and tokens both count.
  virtual std::size_t chunk_saved(const chunk_size& size) const { return saved(size.rows(output)); }
  virtual std::size_t chunk_workspace(const chunk_size& size) const {
    return workspace(size.rows(output));
  }
  /// What backward reads: the planner keeps no more.
  virtual bool backward_reads_inputs() const { return false; }
  virtual bool backward_reads_output() const { return false; }
  /// Set where it multiplies in 16 bits, if asked to, for rows of its output. Such a layer has one
  /// input, of as many rows as its output and what it saves, and computes each by itself.
  virtual std::optional<half_room> half(std::size_t) const { return std::nullopt; }
  /// Rounds and packs its parameters, in that precision: before each batch.
  virtual void pack(std::span<const std::span<const float>>,
                    precision,
                    std::span<std::uint16_t>) const {}
  /// Its output has the probabilities of its heads' labels, and its inputs' gradients are those of
  /// the loss.
  virtual bool is_loss() const { return false; }
  /// How a device computes it, if one can (worker/device/).
  virtual device_form on_device() const { return no_device_form{}; }
  virtual layer_cost cost(std::size_t) const { return {}; }
  virtual layer_cost chunk_cost(const chunk_size& size) const { return cost(size.rows(output)); }

  /// Returns the summed loss, weight included, where it is one, else 0.
  virtual double forward(const layer_run& run) const = 0;
  virtual void backward(const layer_run& run) const = 0;
};

}  // namespace headrace::worker
