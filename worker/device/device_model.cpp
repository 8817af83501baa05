#include "worker/device/device_model.hpp"

#include "base/check.hpp"
#include "kernels/loss_scaler/finite_check.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t none = planned_buffer::none;
constexpr std::size_t least_bucket = 64;  // samples

}  // namespace

device_model::device_model(std::shared_ptr<const model_graph> graph,
                           device_library library,
                           std::size_t chunk_samples)
    : graph_(std::move(graph)),
      library_(std::move(library)),
      chunk_samples_(chunk_samples),
      staged_(graph_),
      pointers_(graph_->nodes().size()),
      arena_(library_, memory_kind::device),
      inputs_(library_, memory_kind::device),
      results_(library_, memory_kind::device),
      host_inputs_(library_, memory_kind::pinned),
      host_results_(library_, memory_kind::pinned),
      queue_(library_) {
  CHECK(chunk_samples_ > 0);
  CHECK(refusal(*graph_, library_).empty());
  for (std::size_t i = 0; i < pointers_.size(); ++i) {
    const graph_node& node = graph_->nodes()[i];
    forms_.push_back(node.body->on_device());
    for (const std::size_t from : node.inputs)
      pointers_[i].input_columns.push_back(graph_->nodes()[from].body->output.columns());
    pointers_[i].inputs.resize(node.inputs.size());
    pointers_[i].lookups.resize(node.inputs.size());
    pointers_[i].input_gradients.resize(node.inputs.size());
    pointers_[i].parameters.resize(node.body->parameters.size());
    pointers_[i].parameter_gradients.resize(node.body->parameters.size());
  }
}

std::string device_model::refusal(const model_graph& graph, const device_library& library) {
  for (const graph_node& node : graph.nodes()) {
    const std::string why = cannot_run(*node.body, library);
    if (!why.empty()) return "layer '" + node.name + "' (op = \"" + node.op + "\"): " + why;
  }
  return "";
}

const graph_plan& device_model::plan_for(std::size_t samples) {
  const std::size_t bucket =
      std::min(chunk_samples_, std::max(least_bucket, std::bit_ceil(samples)));
  const auto fits = [&](const auto& plan) { return plan->samples() == bucket; };
  const auto at = std::ranges::find_if(plans_, fits);
  if (at != plans_.end()) return **at;
  plans_.push_back(std::make_unique<graph_plan>(*graph_, bucket));
  return *plans_.back();
}

float* device_model::buffer(std::size_t index) const {
  if (index == none) return nullptr;
  return reinterpret_cast<float*>(arena_.data()) + at_->buffers()[index].offset;
}

void device_model::upload(const schemas::sample_batch& batch,
                          std::span<row_set> sets,
                          bool learning) {
  staged_.lay_out(batch, sets, chunk_samples_, learning);
  queue_.reserve(host_inputs_, staged_.inputs_bytes());
  queue_.reserve(host_results_, staged_.results_bytes());
  queue_.reserve(inputs_, staged_.inputs_bytes());
  queue_.reserve(results_, staged_.results_bytes());
  if (queue_.failed()) return;
  staged_.write(batch, sets, host_inputs_.data());
  queue_.copy(inputs_.data(), host_inputs_.data(), staged_.inputs_bytes());
  if (learning)
    queue_.clear(results_.data() + staged_.gradients(),
                 staged_.results_bytes() - staged_.gradients());
}

result<void> device_model::run(const schemas::sample_batch& batch,
                               std::span<row_set> sets,
                               bool learning) {
  queue_.begin();
  upload(batch, sets, learning);
  for (begin_ = 0; begin_ < batch.samples && !queue_.failed(); begin_ += samples_) {
    samples_ = std::min<std::size_t>(chunk_samples_, batch.samples - begin_);
    at_ = &plan_for(samples_);
    queue_.reserve(arena_, at_->arena_floats() * sizeof(float));
    bind(sets, learning);
    forward();
    if (learning) backward();
  }
  if (!queue_.failed()) queue_.copy(host_results_.data(), results_.data(), staged_.results_bytes());
  return queue_.wait();
}

device_lookup device_model::lookup_of(const row_set& set, std::size_t table, bool learning) const {
  const auto& places = staged_.table(table);
  const std::size_t first = begin_ * set.features;
  device_lookup view{set.rows(), set.dim, set.features};
  view.rows = input<float>(places.values);
  view.inverse = input<std::uint32_t>(places.inverse) + first;
  if (!set.factors.empty()) view.factors = input<float>(places.factors) + first;
  if (!learning) return view;
  view.order = input<std::uint32_t>(places.order) + first;
  view.gradients = output<float>(places.gradients);
  return view;
}

void device_model::bind(std::span<row_set> sets, bool learning) {
  const auto nodes = graph_->nodes();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    node_pointers& to = pointers_[i];
    for (std::size_t k = 0; k < nodes[i].inputs.size(); ++k) {
      const std::size_t from = nodes[i].inputs[k];
      if (nodes[from].body->output.rows) {
        to.lookups[k] = lookup_of(sets[nodes[from].table], nodes[from].table, learning);
        continue;
      }
      to.inputs[k] = buffer(at_->of(from).output);
      to.input_gradients[k] = buffer(at_->of(i).input_gradients[k].written);
    }
    for (std::size_t p = 0; p < to.parameters.size(); ++p) {
      const std::size_t table = nodes[i].table + p;
      to.parameters[p] = input<float>(staged_.table(table).values);
      if (learning) to.parameter_gradients[p] = output<float>(staged_.table(table).gradients);
      if (p == 0) to.first_parameter = sets[table].values[0];
    }
  }
}

device_run device_model::run_of(std::size_t i) const {
  const layer& body = *graph_->nodes()[i].body;
  const node_pointers& from = pointers_[i];
  device_run run;
  run.samples = samples_;
  run.labels = input<float>(staged_.labels(begin_));
  run.numbers = input<float>(staged_.numbers(i)) + begin_ * body.output.columns();
  run.inputs = from.inputs;
  run.input_columns = from.input_columns;
  run.lookups = from.lookups;
  run.parameters = from.parameters;
  run.first_parameter = from.first_parameter;
  run.output = buffer(at_->of(i).output);
  run.saved = buffer(at_->of(i).saved);
  if (body.is_loss()) run.loss = output<double>(staged_.loss(begin_ / chunk_samples_, i));
  run.scratch = output<float>(staged_.scratch());
  return run;
}

void device_model::forward() {
  for (std::size_t i = 0; i < graph_->nodes().size(); ++i) {
    const layer& body = *graph_->nodes()[i].body;
    const device_run run = run_of(i);
    forward_on_device(forms_[i], body, run, library_, queue_);
    if (!body.is_loss()) continue;
    // Right after the loss: the memory of its output is the next layer's.
    const std::size_t columns = body.output.columns();
    queue_.copy(output<float>(staged_.outputs(i)) + begin_ * columns,
                run.output,
                samples_ * columns * sizeof(float));
  }
}

void device_model::backward() {
  for (std::size_t i = graph_->nodes().size(); i-- > 0;) {
    const graph_node& node = graph_->nodes()[i];
    if (node.learns && !node.body->output.rows) backward_of(i);
  }
}

void device_model::backward_of(std::size_t i) {
  const auto nodes = graph_->nodes();
  const auto& planned = at_->of(i);
  device_run run = run_of(i);
  run.output_gradient = buffer(planned.output_gradient);
  run.input_gradients = pointers_[i].input_gradients;
  run.parameter_gradients = pointers_[i].parameter_gradients;
  backward_on_device(forms_[i], *nodes[i].body, run, library_, queue_);
  for (std::size_t k = 0; k < nodes[i].inputs.size(); ++k) {
    const auto& where = planned.input_gradients[k];
    if (where.added_to == none) continue;
    add_on_device(buffer(where.added_to),
                  buffer(where.written),
                  samples_ * pointers_[i].input_columns[k],
                  library_,
                  queue_);
  }
}

void device_model::take_probabilities(std::size_t samples, std::span<float> probabilities) const {
  const auto heads = graph_->heads();
  for (std::size_t h = 0; h < heads.size(); ++h) {
    const std::size_t columns = graph_->nodes()[heads[h].node].body->output.columns();
    const auto* from =
        reinterpret_cast<const float*>(host_results_.data() + staged_.outputs(heads[h].node));
    for (std::size_t s = 0; s < samples; ++s)
      probabilities[s * heads.size() + h] = from[s * columns + heads[h].column];
  }
}

double device_model::loss(std::size_t samples) const {
  double sum = 0.0;
  for (std::size_t chunk = 0; chunk * chunk_samples_ < samples; ++chunk) {
    for (std::size_t i = 0; i < graph_->nodes().size(); ++i) {
      const layer& body = *graph_->nodes()[i].body;
      if (!body.is_loss()) continue;
      double one = 0.0;
      std::memcpy(&one, host_results_.data() + staged_.loss(chunk, i), sizeof one);
      sum += static_cast<double>(body.heads[0].weight) * one;
    }
  }
  return sum;
}

result<void> device_model::predict(const schemas::sample_batch& batch,
                                   std::span<row_set> sets,
                                   std::span<float> probabilities) {
  if (auto done = run(batch, sets, false); !done) return done;
  take_probabilities(batch.samples, probabilities);
  return {};
}

result<bool> device_model::learn(const schemas::sample_batch& batch,
                                 std::span<row_set> sets,
                                 std::span<float> probabilities) {
  if (auto done = run(batch, sets, true); !done) return done.error();
  take_probabilities(batch.samples, probabilities);
  bool finite = std::isfinite(loss(batch.samples));
  for (std::size_t t = 0; t < sets.size(); ++t) {
    std::vector<float>& to = sets[t].gradients;
    CHECK(to.size() == sets[t].values.size());
    const std::byte* from = host_results_.data() + staged_.table(t).gradients;
    if (!to.empty()) std::memcpy(to.data(), from, to.size() * sizeof(float));
    finite = kernels::all_finite(to) && finite;
  }
  return finite;
}

}  // namespace headrace::worker
