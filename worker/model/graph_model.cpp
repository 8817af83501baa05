#include "worker/model/graph_model.hpp"

#include "base/check.hpp"
#include "base/random.hpp"
#include "kernels/loss_scaler/finite_check.hpp"
#include "worker/join/negative_offset.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t none = planned_buffer::none;
constexpr std::size_t sample_buckets[] = {64, 256, graph_model::chunk_samples};
constexpr std::size_t token_buckets[] = {0, 256, 1024, graph_model::chunk_tokens};

void add_to(std::span<float> sum, std::span<const float> part) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
}

}  // namespace

graph_model::graph_model(std::shared_ptr<const model_graph> graph,
                         precision wanted,
                         activations how)
    : graph_(std::move(graph)),
      rows_(graph_),
      how_(how),
      runner_(*graph_, wanted),
      plans_(std::size(sample_buckets) * std::size(token_buckets)) {
  spans_.resize(graph_->nodes().size());
  for (std::size_t i = 0; i < spans_.size(); ++i) {
    const graph_node& node = graph_->nodes()[i];
    spans_[i].inputs.resize(node.inputs.size());
    spans_[i].inputs_again.resize(node.inputs.size());
    spans_[i].lookups.resize(node.inputs.size());
    spans_[i].input_gradients.resize(node.inputs.size());
    spans_[i].parameters.resize(node.body->parameters.size());
    spans_[i].parameter_gradients.resize(node.body->parameters.size());
  }
}

const graph_plan& graph_model::plan_for(std::size_t samples, std::size_t tokens) {
  const auto bucket = [](std::span<const std::size_t> sizes, std::size_t wanted) {
    const auto at = std::ranges::lower_bound(sizes, wanted);
    CHECK(at != sizes.end());
    return static_cast<std::size_t>(at - sizes.begin());
  };
  const std::size_t s = bucket(sample_buckets, samples);
  const std::size_t t = bucket(token_buckets, tokens);
  auto& plan = plans_[s * std::size(token_buckets) + t];
  if (plan == nullptr) {
    plan = std::make_unique<graph_plan>(
        *graph_, sample_buckets[s], token_buckets[t], runner_.wanted(), how_);
    runner_.fit(*plan);
    if (plan->arena_floats() > arena_.size()) arena_.resize(plan->arena_floats());
  }
  return *plan;
}

std::size_t graph_model::rows_of(const graph_node& node) const {
  const auto& list = node.body->output.list;
  return list ? lists_[*list].offsets.back() : samples_;
}

// What node `node` gives, or its gradient.
std::span<float> graph_model::buffer(std::size_t index, const graph_node& node) {
  if (index == none) return {};
  return {arena_.data() + at_->buffers()[index].offset,
          rows_of(node) * node.body->output.columns()};
}

std::span<float> graph_model::whole_buffer(std::size_t index) {
  if (index == none) return {};
  const planned_buffer& found = at_->buffers()[index];
  return {arena_.data() + found.offset, found.floats};
}

void graph_model::start(const schemas::sample_batch& batch, bool learning) {
  learning_ = learning;
  begin_ = 0;
  samples_ = 0;
  features_ = batch.features;
  lists_.resize(graph_->has_lists() ? batch.sequences : 0);
  for (chunk_list& list : lists_) {
    list.offsets.reserve(chunk_samples + 1);
    list.offsets.assign(1, 0);
    list.begin = 0;
    list.total = 0;
  }
  for (std::size_t i = 0; i < batch.lengths.size() && !lists_.empty(); ++i)
    lists_[i % lists_.size()].total += batch.lengths[i];
}

bool graph_model::next_chunk(const schemas::sample_batch& batch, std::span<row_set> sets) {
  begin_ += samples_;
  if (begin_ == batch.samples) return false;
  take_samples(batch);
  std::size_t tokens = 0;
  for (const chunk_list& list : lists_) tokens = std::max<std::size_t>(tokens, list.offsets.back());
  at_ = &plan_for(samples_, tokens);
  bind(batch, sets);
  if (begin_ > 0) return true;
  for (std::size_t i = 0; i < spans_.size(); ++i) runner_.pack(i, spans_[i].parameters);
  return true;
}

// As many as a chunk takes of the samples from begin_ on.
void graph_model::take_samples(const schemas::sample_batch& batch) {
  const std::size_t samples_max = std::min<std::size_t>(batch.samples - begin_, chunk_samples);
  for (chunk_list& list : lists_) {
    list.begin += list.offsets.back();
    list.offsets.assign(1, 0);
  }
  for (samples_ = 0; samples_ < samples_max; ++samples_) {
    const std::size_t first = (begin_ + samples_) * lists_.size();
    bool fits = true;
    for (std::size_t l = 0; l < lists_.size(); ++l)
      fits = fits && lists_[l].offsets.back() + batch.lengths[first + l] <= chunk_tokens;
    if (!fits) break;
    for (std::size_t l = 0; l < lists_.size(); ++l)
      lists_[l].offsets.push_back(lists_[l].offsets.back() + batch.lengths[first + l]);
  }
  CHECK(samples_ > 0);
}

// The rows of a lookup; `list` is that of the layer which reads them.
lookup_view graph_model::view_of(row_set& set,
                                 std::size_t table,
                                 std::optional<std::uint32_t> list) const {
  const std::span<const std::uint32_t> inverse(set.inverse);
  const std::span<const float> factors(set.factors);
  const std::size_t first = begin_ * set.features;
  const std::size_t count = samples_ * set.features;
  lookup_view view{set.dim, set.features, set.values, inverse.subspan(first, count)};
  if (!factors.empty()) view.factors = factors.subspan(first, count);
  view.gradients = set.gradients;
  if (!list) return view;
  std::size_t at = batch_samples_ * set.features;
  for (const std::uint32_t other : graph_->tables()[table].lists) {
    if (other == *list)
      view.tokens = inverse.subspan(at + lists_[other].begin, lists_[other].offsets.back());
    at += lists_[other].total;
  }
  return view;
}

// One label of all samples after another: in the batch the labels of a sample lie side by side.
void graph_model::bind_labels(const schemas::sample_batch& batch) {
  const std::size_t labels = batch.label_count;
  CHECK(labels >= graph_->labels());
  labels_ = std::span(batch.labels).subspan(begin_ * labels, samples_ * labels);
  if (labels == 1) return;
  label_columns_.resize(chunk_samples * labels);
  for (std::size_t s = 0; s < samples_; ++s) {
    for (std::size_t l = 0; l < labels; ++l)
      label_columns_[l * samples_ + s] = labels_[s * labels + l];
  }
  labels_ = std::span<const float>(label_columns_).first(samples_ * labels);
}

void graph_model::correct_negatives(float share) {
  CHECK(share > 0.0F && share <= 1.0F);
  negative_share_ = share;
}

// A negative of one label that is a positive of another was kept whatever the share, so an offset
// would be wrong for it.
void graph_model::weigh_samples(const schemas::sample_batch& batch) {
  weights_.clear();
  if (negative_share_ == 1.0F || batch.label_count == 1) return;
  const auto labels = std::span(batch.labels).subspan(begin_ * batch.label_count);
  for (std::size_t s = 0; s < samples_; ++s) {
    const auto of_sample = labels.subspan(s * batch.label_count, batch.label_count);
    weights_.push_back(negative_weight(of_sample, negative_share_));
  }
}

// What a loss gives for each sample, times how many samples it stands for. A loss over lists has
// nothing to do with labels.
void graph_model::weigh_gradients(std::size_t i) {
  const auto nodes = graph_->nodes();
  if (weights_.empty() || !nodes[i].body->is_loss() || nodes[i].list) return;
  for (const auto gradients : spans_[i].input_gradients) {
    const std::size_t columns = gradients.size() / samples_;
    for (std::size_t k = 0; k < gradients.size(); ++k) gradients[k] *= weights_[k / columns];
  }
}

void graph_model::bind(const schemas::sample_batch& batch, std::span<row_set> sets) {
  batch_samples_ = batch.samples;
  draw_key_ = mix64(batch.batch.value) + begin_;
  bind_labels(batch);
  weigh_samples(batch);
  logit_offset_ = batch.label_count == 1 ? negative_offset(negative_share_) : 0.0F;
  numbers_ = batch.values.empty()
                 ? std::span<const float>()
                 : std::span(batch.values).subspan(begin_ * features_, samples_ * features_);
  const auto nodes = graph_->nodes();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    node_spans& spans = spans_[i];
    for (std::size_t k = 0; k < nodes[i].inputs.size(); ++k) {
      const graph_node& input = nodes[nodes[i].inputs[k]];
      if (input.body->output.rows) {
        spans.lookups[k] = view_of(sets[input.table], input.table, nodes[i].list);
      } else {
        spans.inputs[k] = buffer(at_->of(nodes[i].inputs[k]).output, input);
        spans.inputs_again[k] = buffer(at_->of(nodes[i].inputs[k]).output_again, input);
        spans.input_gradients[k] = buffer(at_->of(i).input_gradients[k].written, input);
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
  const graph_node& node = graph_->nodes()[i];
  const auto& planned = at_->of(i);
  layer_run run;
  run.samples = rows_of(node);
  run.labels = labels_;
  run.numbers = numbers_;
  run.features = features_;
  run.logit_offset = logit_offset_;
  if (node.list) run.offsets = lists_[*node.list].offsets;
  run.draw_key = draw_key_;
  run.learning = learning_;
  run.routed = learning_ ? &routed_ : nullptr;
  run.inputs = spans_[i].inputs;
  run.lookups = spans_[i].lookups;
  run.parameters = spans_[i].parameters;
  run.output = buffer(planned.output, node);
  run.saved = whole_buffer(planned.saved);
  run.workspace = whole_buffer(planned.forward_workspace);
  return run;
}

layer_run graph_model::run_again(std::size_t i) {
  layer_run run = run_of(i);
  const auto& planned = at_->of(i);
  run.inputs = spans_[i].inputs_again;
  run.output = buffer(planned.output_again, graph_->nodes()[i]);
  run.saved = whole_buffer(planned.saved_again);
  run.routed = nullptr;  // it was counted when it went forward first
  return run;
}

double graph_model::forward(std::span<float> probabilities) {
  double loss = 0.0;
  if (watcher_ != nullptr) watcher_->begin_chunk();
  for (std::size_t i = 0; i < graph_->nodes().size(); ++i) {
    if (graph_->nodes()[i].body->output.rows) continue;
    loss += runner_.forward(i, run_of(i), begin_ == 0);
    if (graph_->nodes()[i].body->is_loss()) keep_probabilities(i, probabilities);
    ended(i, false);
  }
  return loss;
}

// Right after the loss: the memory of its output is the next layer's.
void graph_model::keep_probabilities(std::size_t node, std::span<float> probabilities) {
  const auto heads = graph_->heads();
  const std::size_t columns = graph_->nodes()[node].body->output.columns();
  const std::span<const float> output = buffer(at_->of(node).output, graph_->nodes()[node]);
  for (std::size_t h = 0; h < heads.size(); ++h) {
    if (heads[h].node != node) continue;
    for (std::size_t s = 0; s < samples_; ++s)
      probabilities[s * heads.size() + h] = output[s * columns + heads[h].column];
  }
}

void graph_model::backward() {
  const auto nodes = graph_->nodes();
  for (const plan_step& step : at_->steps().subspan(at_->forward_steps())) {
    if (step.what == plan_step::pass::again) {
      forward_again(step.node);
    } else if (nodes[step.node].learns && !nodes[step.node].body->output.rows) {
      backward_of(step.node);
    } else {
      continue;
    }
    ended(step.node, true);
  }
}

void graph_model::forward_again(std::size_t i) {
  layer_run run = run_again(i);
  run.workspace = whole_buffer(at_->of(i).workspace_again);
  runner_.forward_again(i, run);
}

void graph_model::backward_of(std::size_t i) {
  const auto nodes = graph_->nodes();
  const auto& planned = at_->of(i);
  layer_run run = run_again(i);
  run.workspace = whole_buffer(planned.backward_workspace);
  run.output_gradient = buffer(planned.output_gradient, nodes[i]);
  run.input_gradients = spans_[i].input_gradients;
  run.parameter_gradients = spans_[i].parameter_gradients;
  runner_.backward(i, run, begin_ == 0);
  weigh_gradients(i);
  for (std::size_t k = 0; k < nodes[i].inputs.size(); ++k) {
    const auto& where = planned.input_gradients[k];
    if (where.added_to == none) continue;
    const graph_node& input = nodes[nodes[i].inputs[k]];
    add_to(buffer(where.added_to, input), buffer(where.written, input));
  }
}

void graph_model::predict(const schemas::sample_batch& batch,
                          std::span<row_set> sets,
                          std::span<float> probabilities) {
  const std::size_t heads = graph_->heads().size();
  start(batch, false);
  while (next_chunk(batch, sets)) forward(probabilities.subspan(begin_ * heads, samples_ * heads));
}

void graph_model::compute(const schemas::sample_batch& batch,
                          std::span<row_set> sets,
                          std::size_t node,
                          std::vector<float>& values) {
  const auto nodes = graph_->nodes();
  CHECK(node < nodes.size() && !nodes[node].body->output.rows);
  values.clear();
  start(batch, false);
  while (next_chunk(batch, sets)) {
    for (std::size_t i = 0; i <= node; ++i) {
      if (!nodes[i].body->output.rows) nodes[i].body->forward(run_of(i));
    }
    const auto given = buffer(at_->of(node).output, nodes[node]);
    values.insert(values.end(), given.begin(), given.end());
  }
}

bool graph_model::learn(const schemas::sample_batch& batch,
                        std::span<row_set> sets,
                        std::span<float> probabilities) {
  const std::size_t heads = graph_->heads().size();
  double loss = 0.0;
  start(batch, true);
  while (next_chunk(batch, sets)) {
    loss += forward(probabilities.subspan(begin_ * heads, samples_ * heads));
    backward();
  }
  const bool finite = std::isfinite(loss) && std::ranges::all_of(sets, [](const row_set& set) {
                        return kernels::all_finite(set.gradients);
                      });
  runner_.end_step(finite);
  return finite;
}

}  // namespace headrace::worker
