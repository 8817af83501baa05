#include "worker/model/graph_plan.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t alignment = 16;  // floats: a cache line
constexpr std::size_t none = planned_buffer::none;

std::size_t rounded(std::size_t floats) { return (floats + alignment - 1) / alignment * alignment; }

bool overlap(const planned_buffer& a, const planned_buffer& b) {
  return a.first <= b.last && b.first <= a.last;
}

}  // namespace

graph_plan::graph_plan(const model_graph& graph,
                       std::size_t samples,
                       std::size_t tokens,
                       precision wanted)
    : size_{samples, tokens},
      wanted_(wanted),
      steps_(2 * graph.nodes().size()),
      nodes_(graph.nodes().size()),
      precisions_(graph.nodes().size()) {
  plan_forward(graph);
  plan_gradients(graph);
  place();
}

std::size_t graph_plan::add(std::string what,
                            std::size_t floats,
                            std::size_t first,
                            std::size_t last) {
  if (floats == 0) return none;
  buffers_.push_back({std::move(what), rounded(floats), none, first, last});
  return buffers_.size() - 1;
}

// Floats; chooses the node's precision, which they depend on.
std::size_t graph_plan::workspace_of(const model_graph& graph, std::size_t node) {
  const layer& body = *graph.nodes()[node].body;
  const std::size_t floats = body.chunk_workspace(size_);
  const auto room = wanted_ == precision::f32 ? std::nullopt : body.half(size_.rows(body.output));
  if (!room) return floats;
  precisions_[node] = wanted_;
  words_ = std::max(words_, room->words);
  return std::max(floats, room->floats);
}

void graph_plan::plan_forward(const model_graph& graph) {
  const auto nodes = graph.nodes();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const layer& body = *nodes[i].body;
    const std::size_t back = steps_ - 1 - i;
    std::size_t last = body.backward_reads_output() ? back : i;
    for (const std::size_t j : graph.readers(i)) {
      const bool kept = nodes[j].learns && nodes[j].body->backward_reads_inputs();
      last = std::max(last, kept ? steps_ - 1 - j : j);
    }
    if (!body.output.rows)
      nodes_[i].output = add(nodes[i].name + " output", size_.floats(body.output), i, last);
    nodes_[i].saved = add(nodes[i].name + " saved", body.chunk_saved(size_), i, back);
    const std::size_t workspace = workspace_of(graph, i);
    nodes_[i].forward_workspace = add(nodes[i].name + " workspace", workspace, i, i);
    nodes_[i].backward_workspace =
        add(nodes[i].name + " workspace", nodes[i].learns ? workspace : 0, back, back);
  }
}

void graph_plan::plan_gradients(const model_graph& graph) {
  const auto nodes = graph.nodes();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes_[i].input_gradients.resize(nodes[i].inputs.size());
    if (!nodes[i].learns || nodes[i].body->output.rows || nodes[i].body->is_loss()) continue;
    const auto readers = graph.readers(i);
    if (readers.empty()) continue;
    nodes_[i].output_gradient = add(nodes[i].name + " gradient",
                                    size_.floats(nodes[i].body->output),
                                    steps_ - 1 - readers.back(),
                                    steps_ - 1 - i);
  }
  for (std::size_t j = 0; j < nodes.size(); ++j) {
    for (std::size_t k = 0; k < nodes[j].inputs.size(); ++k) {
      const std::size_t i = nodes[j].inputs[k];
      const std::size_t whole = nodes_[i].output_gradient;
      if (whole == none) continue;
      const auto& inputs = nodes[j].inputs;
      const bool first_of_node =
          std::ranges::find(inputs, i) == inputs.begin() + static_cast<std::ptrdiff_t>(k);
      const std::size_t back = steps_ - 1 - j;
      if (j == graph.readers(i).back() && first_of_node) {
        nodes_[j].input_gradients[k] = {whole, none};
      } else {
        const std::size_t part = add(nodes[j].name + " part of " + nodes[i].name + " gradient",
                                     size_.floats(nodes[i].body->output),
                                     back,
                                     back);
        nodes_[j].input_gradients[k] = {part, whole};
      }
    }
  }
}

// Largest first, each at the lowest place that is free while it is needed.
void graph_plan::place() {
  std::vector<std::size_t> order(buffers_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(
      order, std::greater<>(), [&](std::size_t i) { return buffers_[i].floats; });
  std::vector<std::size_t> placed;
  for (const std::size_t i : order) {
    planned_buffer& buffer = buffers_[i];
    std::vector<std::pair<std::size_t, std::size_t>> taken;
    for (const std::size_t j : placed) {
      if (overlap(buffers_[j], buffer))
        taken.emplace_back(buffers_[j].offset, buffers_[j].offset + buffers_[j].floats);
    }
    std::ranges::sort(taken);
    std::size_t at = 0;
    for (const auto& [begin, end] : taken) {
      if (at + buffer.floats <= begin) break;
      at = std::max(at, end);
    }
    buffer.offset = at;
    arena_floats_ = std::max(arena_floats_, at + buffer.floats);
    placed.push_back(i);
  }
}

std::size_t graph_plan::floats_unshared() const {
  std::size_t sum = 0;
  for (const planned_buffer& buffer : buffers_) sum += buffer.floats;
  return sum;
}

}  // namespace headrace::worker
