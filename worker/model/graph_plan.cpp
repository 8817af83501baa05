#include "worker/model/graph_plan.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t alignment = 16;  // floats: a cache line
constexpr std::size_t none = planned_buffer::none;
constexpr std::size_t segments_max = 8;

std::size_t rounded(std::size_t floats) { return (floats + alignment - 1) / alignment * alignment; }

bool overlap(const planned_buffer& a, const planned_buffer& b) {
  return a.first <= b.last && b.first <= a.last;
}

}  // namespace

graph_plan::graph_plan(const model_graph& graph,
                       std::size_t samples,
                       std::size_t tokens,
                       precision wanted,
                       activations how)
    : size_{samples, tokens}, wanted_(wanted) {
  plan_with(graph, 1);
  if (how == activations::keep) return;
  std::size_t least = arena_floats_;
  std::size_t best = 1;
  for (std::size_t segments = 2; segments <= std::min(segments_max, nodes_.size()); ++segments) {
    plan_with(graph, segments);
    if (arena_floats_ >= least) continue;
    least = arena_floats_;
    best = segments;
  }
  plan_with(graph, best);
}

void graph_plan::plan_with(const model_graph& graph, std::size_t segments) {
  const std::size_t n = graph.nodes().size();
  nodes_.assign(n, {});
  precisions_.assign(n, precision::f32);
  buffers_.clear();
  words_ = 0;
  arena_floats_ = 0;
  plan_times(graph, cut(graph, segments));
  plan_values(graph);
  plan_gradients(graph);
  place();
}

// Segments of about as many floats each that a forward pass leaves behind.
std::vector<std::size_t> graph_plan::cut(const model_graph& graph, std::size_t segments) const {
  std::vector<std::size_t> floats;
  for (const graph_node& node : graph.nodes()) {
    const layer& body = *node.body;
    floats.push_back(body.output.rows ? 0 : size_.floats(body.output) + body.chunk_saved(size_));
  }
  const std::size_t all =
      std::max<std::size_t>(1, std::accumulate(floats.begin(), floats.end(), std::size_t{0}));
  std::vector<std::size_t> segment_of;
  std::size_t before = 0;
  for (const std::size_t more : floats) {
    segment_of.push_back(std::min(segments - 1, before * segments / all));
    before += more;
  }
  return segment_of;
}

// Of a segment that is not the last one: what its backward pass reads and nobody kept.
std::vector<bool> graph_plan::to_compute_again(const model_graph& graph,
                                               const std::vector<std::size_t>& segment_of) const {
  const auto nodes = graph.nodes();
  std::vector<bool> again(nodes.size(), false);
  for (std::size_t i = nodes.size(); i-- > 0;) {
    const layer& body = *nodes[i].body;
    if (segment_of[i] == segment_of.back() || body.output.rows || body.is_loss()) continue;
    bool wanted = nodes[i].learns && (body.backward_reads_output() || body.chunk_saved(size_) > 0);
    bool kept = false;
    for (const std::size_t j : graph.readers(i)) {
      kept = kept || segment_of[j] != segment_of[i];
      wanted = wanted || again[j] || (nodes[j].learns && nodes[j].body->backward_reads_inputs());
    }
    again[i] = wanted && !kept;
  }
  return again;
}

void graph_plan::plan_times(const model_graph& graph, const std::vector<std::size_t>& segment_of) {
  const std::size_t n = graph.nodes().size();
  const auto again = to_compute_again(graph, segment_of);
  timeline_.clear();
  again_.assign(n, none);
  back_.assign(n, 0);
  for (std::size_t i = 0; i < n; ++i) timeline_.push_back({i, plan_step::pass::forward});
  for (std::size_t end = n; end > 0;) {
    std::size_t begin = end;
    while (begin > 0 && segment_of[begin - 1] == segment_of[end - 1]) --begin;
    for (std::size_t i = begin; i < end; ++i) {
      if (!again[i]) continue;
      again_[i] = timeline_.size();
      timeline_.push_back({i, plan_step::pass::again});
    }
    for (std::size_t i = end; i-- > begin;) {
      back_[i] = timeline_.size();
      timeline_.push_back({i, plan_step::pass::backward});
    }
    end = begin;
  }
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

void graph_plan::plan_values(const model_graph& graph) {
  const auto nodes = graph.nodes();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const layer& body = *nodes[i].body;
    std::size_t last = i;
    for (const std::size_t j : graph.readers(i)) {
      last = std::max(last, j);
      if (recomputes(i)) continue;  // what comes later reads what was computed again
      if (recomputes(j)) last = std::max(last, again_[j]);
      if (nodes[j].learns && nodes[j].body->backward_reads_inputs())
        last = std::max(last, back_[j]);
    }
    if (!recomputes(i) && body.backward_reads_output()) last = std::max(last, back_[i]);
    if (!body.output.rows)
      nodes_[i].output = add(nodes[i].name + " output", size_.floats(body.output), i, last);
    nodes_[i].saved =
        add(nodes[i].name + " saved", body.chunk_saved(size_), i, recomputes(i) ? i : back_[i]);
    const std::size_t workspace = workspace_of(graph, i);
    nodes_[i].forward_workspace = add(nodes[i].name + " workspace", workspace, i, i);
    nodes_[i].backward_workspace =
        add(nodes[i].name + " workspace", nodes[i].learns ? workspace : 0, back_[i], back_[i]);
    nodes_[i].output_again = nodes_[i].output;
    nodes_[i].saved_again = nodes_[i].saved;
    if (recomputes(i)) plan_values_again(graph, i);
  }
}

void graph_plan::plan_values_again(const model_graph& graph, std::size_t i) {
  const graph_node& node = graph.nodes()[i];
  const std::size_t at = again_[i];
  std::size_t last = node.body->backward_reads_output() ? back_[i] : at;
  for (const std::size_t j : graph.readers(i)) {
    if (recomputes(j)) last = std::max(last, again_[j]);
    if (graph.nodes()[j].learns && graph.nodes()[j].body->backward_reads_inputs())
      last = std::max(last, back_[j]);
  }
  nodes_[i].output_again =
      add(node.name + " output again", size_.floats(node.body->output), at, last);
  nodes_[i].saved_again =
      add(node.name + " saved again", node.body->chunk_saved(size_), at, back_[i]);
  nodes_[i].workspace_again = add(node.name + " workspace", workspace_of(graph, i), at, at);
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
                                    back_[readers.back()],
                                    back_[i]);
  }
  for (std::size_t j = 0; j < nodes.size(); ++j) {
    for (std::size_t k = 0; k < nodes[j].inputs.size(); ++k) {
      const std::size_t i = nodes[j].inputs[k];
      const std::size_t whole = nodes_[i].output_gradient;
      if (whole == none) continue;
      const auto& inputs = nodes[j].inputs;
      const bool first_of_node =
          std::ranges::find(inputs, i) == inputs.begin() + static_cast<std::ptrdiff_t>(k);
      const std::size_t back = back_[j];
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
