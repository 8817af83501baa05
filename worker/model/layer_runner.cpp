#include "worker/model/layer_runner.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::worker {
namespace {

using tensor = precision_watch::tensor;

template <class Value>
std::span<Value> rows_of(std::span<Value> values,
                         std::size_t rows,
                         const kernels::row_slice& wanted) {
  const std::size_t columns = values.size() / rows;
  return values.subspan(wanted.begin * columns, (wanted.end - wanted.begin) * columns);
}

void at_least(std::vector<float>& values, std::size_t n) {
  if (values.size() < n) values.resize(n);
}

}  // namespace

layer_runner::layer_runner(const model_graph& graph, precision wanted)
    : graph_(&graph),
      wanted_(wanted),
      watch_(wanted, graph.nodes().size()),
      layers_(graph.nodes().size()) {
  if (wanted == precision::f32) return;
  constexpr std::size_t rows = precision_watch::check_rows;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const graph_node& node = graph.nodes()[i];
    const auto room = node.body->half(1);
    if (!room) continue;
    CHECK(node.inputs.size() == 1);
    layers_[i].body = node.body.get();
    layers_[i].packed.resize(room->packed);
    at_least(output_, rows * node.body->output.columns());
    at_least(saved_, node.body->saved(rows));
    at_least(input_gradient_, rows * graph.nodes()[node.inputs[0]].body->output.columns());
    for (const parameter_spec& matrix : node.body->parameters)
      at_least(parameter_gradient_, matrix.rows * matrix.dim);
    parameter_gradients_.reserve(node.body->parameters.size());
  }
}

void layer_runner::fit(const graph_plan& plan) {
  words_.resize(std::max(words_.size(), plan.words()));
}

void layer_runner::pack(std::size_t node, std::span<const std::span<const float>> parameters) {
  half_layer& half = layers_[node];
  if (half.body == nullptr) return;
  if (watch_.looks(tensor::weights)) watch_.look(node, tensor::weights, parameters[0]);
  half.body->pack(parameters, wanted_, half.packed);
}

void layer_runner::lend(const half_layer& half, layer_run& run) {
  run.as = half.as;
  run.packed = half.packed;
  run.words = words_;
  run.gradient_scale = watch_.scale();
}

double layer_runner::forward(std::size_t node, layer_run run, bool first) {
  half_layer& half = layers_[node];
  if (half.body == nullptr || run.samples == 0) return graph_->nodes()[node].body->forward(run);
  if (watch_.looks(tensor::input)) watch_.look(node, tensor::input, run.inputs[0]);
  half.as = watch_.of(node);
  lend(half, run);
  const double loss = half.body->forward(run);
  if (first && run.learning && watch_.checks() && run.as != precision::f32)
    check_forward(node, run);
  return loss;
}

void layer_runner::forward_again(std::size_t node, layer_run run) {
  const half_layer& half = layers_[node];
  if (half.body != nullptr && run.samples > 0) lend(half, run);
  graph_->nodes()[node].body->forward(run);
}

void layer_runner::backward(std::size_t node, layer_run run, bool first) {
  const half_layer& half = layers_[node];
  if (half.body == nullptr || run.samples == 0) return graph_->nodes()[node].body->backward(run);
  if (watch_.looks(tensor::gradient)) watch_.look(node, tensor::gradient, run.output_gradient);
  lend(half, run);
  half.body->backward(run);
  if (first && watch_.checks() && run.as != precision::f32 && !run.input_gradients[0].empty())
    check_backward(node, run);
}

layer_run layer_runner::check_run(const layer_run& run, const kernels::row_slice& rows) {
  layer_run part = run;
  part.as = precision::f32;
  part.samples = rows.end - rows.begin;
  input_rows_ = rows_of(run.inputs[0], run.samples, rows);
  part.inputs = {&input_rows_, 1};
  return part;
}

void layer_runner::check_forward(std::size_t node, const layer_run& run) {
  const layer& body = *layers_[node].body;
  const auto rows = watch_.slice(run.samples);
  layer_run part = check_run(run, rows);
  part.output = std::span(output_).first(part.samples * body.output.columns());
  part.saved = std::span(saved_).first(body.saved(part.samples));
  body.forward(part);
  report(node,
         rows_of(run.output, run.samples, rows),
         part.output,
         precision_watch::forward_tolerance);
}

// From what the forward pass left in 16 bits: what a slope is read from decides which gradients
// pass, and is no error of this product.
void layer_runner::check_backward(std::size_t node, const layer_run& run) {
  const layer& body = *layers_[node].body;
  const auto rows = watch_.slice(run.samples);
  layer_run part = check_run(run, rows);
  const std::size_t saved = body.saved(1);
  part.output = rows_of(run.output, run.samples, rows);
  part.saved =
      run.saved.empty() ? run.saved : run.saved.subspan(rows.begin * saved, part.samples * saved);
  part.output_gradient = rows_of(run.output_gradient, run.samples, rows);
  input_gradient_rows_ =
      std::span(input_gradient_).first(part.samples * run.input_gradients[0].size() / run.samples);
  part.input_gradients = {&input_gradient_rows_, 1};
  parameter_gradients_.clear();
  for (const auto& gradient : run.parameter_gradients)  // one after the other, and read by nobody
    parameter_gradients_.push_back(std::span(parameter_gradient_).first(gradient.size()));
  std::ranges::fill(parameter_gradient_, 0.0F);
  part.parameter_gradients = parameter_gradients_;
  body.backward(part);
  report(node,
         rows_of(run.input_gradients[0], run.samples, rows),
         input_gradient_rows_,
         precision_watch::backward_tolerance);
}

// A step that is not finite is skipped as a whole: it says nothing about rounding.
void layer_runner::report(std::size_t node,
                          std::span<const float> half,
                          std::span<const float> full,
                          double tolerance) {
  const double error = kernels::relative_error(half, full);
  if (std::isfinite(error)) watch_.checked(node, error, tolerance);
}

}  // namespace headrace::worker
