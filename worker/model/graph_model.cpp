#include "worker/model/graph_model.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t none = planned_buffer::none;
constexpr std::size_t buckets[] = {64, 256, graph_model::chunk_samples};

void add_to(std::span<float> sum, std::span<const float> part) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
}

}  // namespace

graph_model::graph_model(std::shared_ptr<const model_graph> graph)
    : graph_(std::move(graph)), plans_(std::size(buckets)) {
  CHECK(graph_ != nullptr);
  spans_.resize(graph_->nodes().size());
  for (std::size_t i = 0; i < spans_.size(); ++i) {
    const graph_node& node = graph_->nodes()[i];
    spans_[i].inputs.resize(node.inputs.size());
    spans_[i].lookups.resize(node.inputs.size());
    spans_[i].input_gradients.resize(node.inputs.size());
    spans_[i].parameters.resize(node.body->parameters.size());
    spans_[i].parameter_gradients.resize(node.body->parameters.size());
  }
}

void graph_model::plan(const schemas::sample_batch& batch, std::vector<row_set>& sets) {
  const auto tables = graph_->tables();
  sets.resize(tables.size());
  for (std::size_t t = 0; t < tables.size(); ++t) {
    row_set& set = sets[t];
    set.table = table_id{static_cast<std::uint32_t>(t)};
    set.dim = tables[t].dim;
    set.factors.clear();
    if (tables[t].rows > 0) {
      if (set.keys.size() != tables[t].rows) {
        set.keys.resize(tables[t].rows);
        std::iota(set.keys.begin(), set.keys.end(), std::uint64_t{0});
        set.inverse.clear();
      }
      set.counts.assign(tables[t].rows, batch.samples);  // used once a sample
      set.size_buffers();
      continue;
    }
    std::span<const std::uint64_t> keys = batch.keys;
    set.features = batch.features;
    if (tables[t].features.empty()) {
      set.factors = batch.values;
    } else {
      const auto& chosen = tables[t].features;
      CHECK(chosen.back() < batch.features);
      set.features = static_cast<std::uint32_t>(chosen.size());
      chosen_keys_.clear();
      for (std::size_t s = 0; s < batch.samples; ++s) {
        for (const std::uint32_t f : chosen) {
          chosen_keys_.push_back(batch.keys[s * batch.features + f]);
          if (!batch.values.empty()) set.factors.push_back(batch.values[s * batch.features + f]);
        }
      }
      keys = chosen_keys_;
    }
    kernels::dedup({.keys = keys,
                    .scratch = scratch_,
                    .unique = set.keys,
                    .inverse = set.inverse,
                    .counts = set.counts});
    set.size_buffers();
  }
}

const graph_plan& graph_model::plan_for(std::size_t samples) {
  const auto at = std::ranges::lower_bound(buckets, samples);
  CHECK(at != std::end(buckets));
  auto& plan = plans_[static_cast<std::size_t>(at - std::begin(buckets))];
  if (plan == nullptr) {
    plan = std::make_unique<graph_plan>(*graph_, *at);
    if (plan->arena_floats() > arena_.size()) arena_.resize(plan->arena_floats());
  }
  return *plan;
}

std::span<float> graph_model::buffer(std::size_t index, std::size_t columns) {
  if (index == none) return {};
  return {arena_.data() + at_->buffers()[index].offset, samples_ * columns};
}

std::span<float> graph_model::whole_buffer(std::size_t index) {
  if (index == none) return {};
  const planned_buffer& found = at_->buffers()[index];
  return {arena_.data() + found.offset, found.floats};
}

// One label of all samples after another: in the batch the labels of a sample lie side by side.
void graph_model::bind_labels(const schemas::sample_batch& batch, std::size_t begin) {
  const std::size_t labels = batch.label_count;
  CHECK(labels >= graph_->labels());
  labels_ = std::span(batch.labels).subspan(begin * labels, samples_ * labels);
  if (labels == 1) return;
  label_columns_.resize(chunk_samples * labels);
  for (std::size_t s = 0; s < samples_; ++s) {
    for (std::size_t l = 0; l < labels; ++l)
      label_columns_[l * samples_ + s] = labels_[s * labels + l];
  }
  labels_ = std::span<const float>(label_columns_).first(samples_ * labels);
}

void graph_model::bind(const schemas::sample_batch& batch,
                       std::span<row_set> sets,
                       std::size_t begin) {
  samples_ = std::min<std::size_t>(batch.samples - begin, chunk_samples);
  at_ = &plan_for(samples_);
  features_ = batch.features;
  bind_labels(batch, begin);
  numbers_ = batch.values.empty()
                 ? std::span<const float>()
                 : std::span(batch.values).subspan(begin * features_, samples_ * features_);
  const auto nodes = graph_->nodes();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    node_spans& spans = spans_[i];
    for (std::size_t k = 0; k < nodes[i].inputs.size(); ++k) {
      const graph_node& input = nodes[nodes[i].inputs[k]];
      if (input.body->output.rows) {
        row_set& set = sets[input.table];
        const std::size_t first = begin * set.features;
        const std::size_t count = samples_ * set.features;
        spans.lookups[k] = {set.dim,
                            set.features,
                            set.values,
                            std::span<const std::uint32_t>(set.inverse).subspan(first, count),
                            set.factors.empty()
                                ? std::span<const float>()
                                : std::span<const float>(set.factors).subspan(first, count),
                            set.gradients};
      } else {
        spans.inputs[k] = buffer(at_->of(nodes[i].inputs[k]).output, input.body->output.columns());
        spans.input_gradients[k] =
            buffer(at_->of(i).input_gradients[k].written, input.body->output.columns());
      }
    }
    for (std::size_t p = 0; p < spans.parameters.size(); ++p) {
      row_set& set = sets[nodes[i].table + p];
      spans.parameters[p] = set.values;
      spans.parameter_gradients[p] = set.gradients;
    }
  }
}

layer_run graph_model::run_of(std::size_t i) {
  const layer& body = *graph_->nodes()[i].body;
  const auto& planned = at_->of(i);
  layer_run run;
  run.samples = samples_;
  run.labels = labels_;
  run.numbers = numbers_;
  run.features = features_;
  run.inputs = spans_[i].inputs;
  run.lookups = spans_[i].lookups;
  run.parameters = spans_[i].parameters;
  run.output = buffer(planned.output, body.output.columns());
  run.saved = whole_buffer(planned.saved);
  run.workspace = whole_buffer(planned.forward_workspace);
  return run;
}

double graph_model::forward(std::span<float> probabilities) {
  double loss = 0.0;
  for (std::size_t i = 0; i < graph_->nodes().size(); ++i) {
    if (graph_->nodes()[i].body->output.rows) continue;
    loss += graph_->nodes()[i].body->forward(run_of(i));
    if (graph_->nodes()[i].body->is_loss()) keep_probabilities(i, probabilities);
  }
  return loss;
}

// Right after the loss: the memory of its output is the next layer's.
void graph_model::keep_probabilities(std::size_t node, std::span<float> probabilities) {
  const auto heads = graph_->heads();
  const std::size_t columns = graph_->nodes()[node].body->output.columns();
  const std::span<const float> output = buffer(at_->of(node).output, columns);
  for (std::size_t h = 0; h < heads.size(); ++h) {
    if (heads[h].node != node) continue;
    for (std::size_t s = 0; s < samples_; ++s)
      probabilities[s * heads.size() + h] = output[s * columns + heads[h].column];
  }
}

void graph_model::backward() {
  const auto nodes = graph_->nodes();
  for (std::size_t i = nodes.size(); i-- > 0;) {
    if (!nodes[i].learns || nodes[i].body->output.rows) continue;
    layer_run run = run_of(i);
    const auto& planned = at_->of(i);
    run.workspace = whole_buffer(planned.backward_workspace);
    run.output_gradient = buffer(planned.output_gradient, nodes[i].body->output.columns());
    run.input_gradients = spans_[i].input_gradients;
    run.parameter_gradients = spans_[i].parameter_gradients;
    nodes[i].body->backward(run);
    for (std::size_t k = 0; k < nodes[i].inputs.size(); ++k) {
      const auto& where = planned.input_gradients[k];
      if (where.added_to == none) continue;
      const std::size_t columns = nodes[nodes[i].inputs[k]].body->output.columns();
      add_to(buffer(where.added_to, columns), buffer(where.written, columns));
    }
  }
}

void graph_model::predict(const schemas::sample_batch& batch,
                          std::span<row_set> sets,
                          std::span<float> probabilities) {
  const std::size_t heads = graph_->heads().size();
  for (std::size_t begin = 0; begin < batch.samples; begin += chunk_samples) {
    bind(batch, sets, begin);
    forward(probabilities.subspan(begin * heads, samples_ * heads));
  }
}

bool graph_model::learn(const schemas::sample_batch& batch,
                        std::span<row_set> sets,
                        std::span<float> probabilities) {
  const std::size_t heads = graph_->heads().size();
  double loss = 0.0;
  for (std::size_t begin = 0; begin < batch.samples; begin += chunk_samples) {
    bind(batch, sets, begin);
    loss += forward(probabilities.subspan(begin * heads, samples_ * heads));
    backward();
  }
  return std::isfinite(loss);
}

}  // namespace headrace::worker
