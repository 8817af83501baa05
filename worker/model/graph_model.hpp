#pragma once

#include "schemas/sample.hpp"
#include "worker/model/batch_rows.hpp"
#include "worker/model/graph_plan.hpp"
#include "worker/model/layer_runner.hpp"
#include "worker/model/layer_watcher.hpp"
#include "worker/model/model_graph.hpp"
#include "worker/step/row_set.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace headrace::worker {

/// A graph at work: one step over the rows and parameters of a batch.
///
/// A batch goes through in chunks of at most `chunk_samples`, each forward and then backward while
/// its activations are in the cache; gradients add up over the chunks. Where layers work on lists,
/// a chunk also has at most `chunk_tokens` of each. Plans are made for chunks of 64, 256 and 512
/// samples and, with lists, 256, 1,024 and 4,096 tokens, when first needed; afterwards a step
/// allocates nothing. Deterministic on one machine. Single-threaded: the trainer owns it.
///
/// Layers that multiply matrices do so in the precision that is wanted (layer_runner.hpp); the
/// decisions about it are made by the batches that it learned from.
class graph_model {
 public:
  static constexpr std::size_t chunk_samples = 512;
  static constexpr std::size_t chunk_tokens = 4096;  // no list is longer

  explicit graph_model(std::shared_ptr<const model_graph> graph,
                       precision wanted = precision::f32,
                       activations how = activations::keep);

  /// Which rows the tables need for `batch`, as batch_rows says.
  void plan(const schemas::sample_batch& batch, std::vector<row_set>& sets) {
    rows_.plan(batch, sets);
  }
  void plan_network(std::vector<row_set>& sets) const { rows_.plan_network(sets); }
  /// Probability of each head's label being 1, from the rows in `sets`, into probabilities
  /// [samples, heads]. The batch has at least the labels that the graph wants.
  void predict(const schemas::sample_batch& batch,
               std::span<row_set> sets,
               std::span<float> probabilities);
  /// The same, and gradients of the summed loss into `sets[…].gradients`. Where the loss or any of
  /// the gradients is not finite, none of them means anything and false is returned.
  bool learn(const schemas::sample_batch& batch,
             std::span<row_set> sets,
             std::span<float> probabilities);
  /// What node i gives, all samples or tokens of the batch in a row: [rows, columns]. As `predict`,
  /// up to that node.
  void compute(const schemas::sample_batch& batch,
               std::span<row_set> sets,
               std::size_t node,
               std::vector<float>& values);

  const model_graph& graph() const { return *graph_; }
  precision_figures precision_so_far() const { return runner_.figures(); }
  const precision_watch& watch() const { return runner_.watch(); }
  /// Over all routing layers and all batches that were learned.
  const routing_figures& routed_so_far() const { return routed_; }
  /// The batches have all samples with a label of 1, but only `share` of those without, (0, 1]:
  /// what it learns and predicts is to be of all. Of one label a loss on a logit is then of logit −
  /// ln(share); of several, the gradients of a sample without any count 1 / share times
  /// (docs/join.md).
  void correct_negatives(float share);
  /// `watcher` sees each layer of `predict` and `learn`; null = nobody. It must outlive this.
  void watch_layers(layer_watcher* watcher) { watcher_ = watcher; }

 private:
  const graph_plan& plan_for(std::size_t samples, std::size_t tokens);
  void start(const schemas::sample_batch& batch, bool learning);
  /// The chunk behind the last one; false at the end.
  bool next_chunk(const schemas::sample_batch& batch, std::span<row_set> sets);
  void take_samples(const schemas::sample_batch& batch);
  void bind_labels(const schemas::sample_batch& batch);
  void weigh_samples(const schemas::sample_batch& batch);
  void weigh_gradients(std::size_t node);
  void bind(const schemas::sample_batch& batch, std::span<row_set> sets);
  lookup_view view_of(row_set& set, std::size_t table, std::optional<std::uint32_t> list) const;
  double forward(std::span<float> probabilities);
  void ended(std::size_t node, bool backward) const {
    if (watcher_ != nullptr) watcher_->end_layer(node, backward);
  }
  void keep_probabilities(std::size_t node, std::span<float> probabilities);
  /// What follows the forward pass of a chunk that learns.
  void backward();
  void forward_again(std::size_t node);
  void backward_of(std::size_t node);
  layer_run run_of(std::size_t node);
  /// The same with the values that the backward pass reads.
  layer_run run_again(std::size_t node);
  std::size_t rows_of(const graph_node& node) const;
  std::span<float> buffer(std::size_t index, const graph_node& node);
  std::span<float> whole_buffer(std::size_t index);

  std::shared_ptr<const model_graph> graph_;
  batch_rows rows_;
  activations how_;
  layer_runner runner_;
  std::vector<std::unique_ptr<graph_plan>> plans_;
  std::vector<float> arena_;

  /// A list of the chunk at work.
  struct chunk_list {
    std::vector<std::uint32_t> offsets;  // [samples + 1] of its tokens in the chunk
    std::size_t begin = 0;               // tokens of the batch before the chunk
    std::size_t total = 0;               // tokens of the batch
  };

  // Of the chunk at work.
  const graph_plan* at_ = nullptr;
  std::vector<chunk_list> lists_;
  bool learning_ = false;
  std::size_t begin_ = 0;  // its first sample
  std::size_t samples_ = 0;
  std::size_t batch_samples_ = 0;
  std::uint64_t draw_key_ = 0;
  std::size_t features_ = 0;
  std::span<const float> labels_;     // [labels, samples]
  std::vector<float> label_columns_;  // where a sample has several
  std::vector<float> weights_;        // [samples], or empty: all 1
  std::span<const float> numbers_;
  /// Spans of each node, made anew for each chunk in buffers that stay.
  struct node_spans {
    std::vector<std::span<const float>> inputs;
    std::vector<std::span<const float>> inputs_again;  // as the backward pass reads them
    std::vector<lookup_view> lookups;
    std::vector<std::span<const float>> parameters;
    std::vector<std::span<float>> input_gradients;
    std::vector<std::span<float>> parameter_gradients;
  };
  std::vector<node_spans> spans_;
  layer_watcher* watcher_ = nullptr;
  routing_figures routed_;
  float negative_share_ = 1.0F;
  float logit_offset_ = 0.0F;  // of the batch at work
};

}  // namespace headrace::worker
