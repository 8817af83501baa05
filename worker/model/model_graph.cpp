#include "worker/model/model_graph.hpp"

#include "base/nearest_word.hpp"
#include "schemas/sample.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

namespace headrace::worker {
namespace {

using schemas::labels_max;

// A layer as the file has it.
struct section {
  std::string name;
  const op_entry* op = nullptr;
  std::vector<std::string> input_names;
  std::vector<std::size_t> inputs;
};

std::string joined(std::span<const std::string> names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

std::string unknown(std::string_view what,
                    const std::string& name,
                    std::span<const std::string> known) {
  const std::string near = nearest_word(name, known);
  return "there is no " + std::string(what) + " '" + name + "'" +
         (near.empty() ? "" : "; did you mean '" + near + "'?") + "; there are " + joined(known);
}

std::vector<section> read_sections(config_reader& config) {
  std::vector<std::string> ops;
  for (const op_entry& op : all_ops()) ops.emplace_back(op.name);
  std::vector<section> sections;
  for (const std::string& name : config.sections("layers")) {
    section one;
    one.name = name;
    const std::string key = "layers." + name + ".op";
    const std::string op = config.required_text(key, "an operator, such as \"linear\"");
    one.op = find_op(op);
    if (one.op == nullptr && !op.empty()) config.refuse(key, unknown("operator", op, ops));
    one.input_names = config.list("layers." + name + ".inputs");
    sections.push_back(std::move(one));
  }
  return sections;
}

// Names become positions in the file.
void resolve_inputs(config_reader& config, std::vector<section>& sections) {
  std::vector<std::string> names;
  names.reserve(sections.size());
  for (const section& one : sections) names.push_back(one.name);
  for (section& one : sections) {
    for (const std::string& input : one.input_names) {
      const auto at = std::ranges::find(names, input);
      if (at == names.end()) {
        config.refuse("layers." + one.name + ".inputs", unknown("layer", input, names));
      } else {
        one.inputs.push_back(static_cast<std::size_t>(at - names.begin()));
      }
    }
  }
}

// Depth first, in the order of the file: a layer comes right after its last input.
class ordering {
 public:
  explicit ordering(const std::vector<section>& sections)
      : sections_(sections), state_(sections.size(), unseen) {}

  /// The order, or the cycle that stands in its way: "a -> b -> a".
  std::optional<std::string> sort(std::vector<std::size_t>& order) {
    for (std::size_t i = 0; i < sections_.size(); ++i) {
      if (!visit(i, order)) return cycle_;
    }
    return std::nullopt;
  }

 private:
  enum state : std::uint8_t { unseen, open, done };

  bool visit(std::size_t i, std::vector<std::size_t>& order) {
    if (state_[i] == done) return true;
    path_.push_back(i);
    if (state_[i] == open) {
      for (auto at = std::ranges::find(path_, i); at != path_.end(); ++at)
        cycle_ += (cycle_.empty() ? "" : " <- ") + sections_[*at].name;
      return false;
    }
    state_[i] = open;
    for (const std::size_t input : sections_[i].inputs) {
      if (!visit(input, order)) return false;
    }
    path_.pop_back();
    state_[i] = done;
    order.push_back(i);
    return true;
  }

  const std::vector<section>& sections_;
  std::vector<state> state_;
  std::vector<std::size_t> path_;
  std::string cycle_;
};

std::vector<std::string> loss_names(std::span<const graph_node> nodes) {
  std::vector<std::string> names;
  for (const graph_node& node : nodes) {
    if (node.body->is_loss()) names.push_back(node.name);
  }
  return names;
}

}  // namespace

result<model_graph> model_graph::load(const std::string& text,
                                      const std::string& origin,
                                      std::span<const std::string> overrides,
                                      std::span<const model_feature> features,
                                      std::span<const std::string> labels) {
  auto config = config_reader::parse(text, origin, overrides);
  if (!config) return config.error();
  auto graph = read(*config, features, labels);
  if (!graph) return graph;
  if (const auto all = config->finish(); !all) return all.error();
  return graph;
}

result<model_graph> model_graph::read(config_reader& config,
                                      std::span<const model_feature> features,
                                      std::span<const std::string> labels) {
  const std::size_t before = config.failures();
  const auto refused = [&](const std::string& key, const std::string& why) {
    config.refuse(key, why);
    return config.check("", before).error();
  };
  std::vector<section> sections = read_sections(config);
  if (sections.empty())
    return error{errc::bad_config, "a model has sections [layers.NAME]; none is there"};
  resolve_inputs(config, sections);
  if (auto good = config.check("", before); !good) return good.error();
  std::vector<std::size_t> order;
  if (const auto cycle = ordering(sections).sort(order)) {
    const std::string first = cycle->substr(0, cycle->find(' '));
    return refused("layers." + first + ".inputs",
                   "a cycle: " + *cycle + "; a layer reads only what is computed before it");
  }

  model_graph graph;
  std::vector<std::size_t> place(sections.size());
  for (const std::size_t s : order) {
    const section& one = sections[s];
    graph_node node;
    node.name = one.name;
    node.op = one.op->name;
    std::vector<value_shape> shapes;
    for (const std::size_t input : one.inputs) {
      node.inputs.push_back(place[input]);
      shapes.push_back(graph.nodes_[place[input]].body->output);
      node.learns = node.learns || graph.nodes_[place[input]].learns;
    }
    auto body = one.op->make({config, one.name, shapes, features, labels});
    if (auto good = config.check("layers." + one.name, before); !good) return good.error();
    if (!body) return refused("layers." + one.name + ".op", body.error().detail);
    node.learns = node.learns || (*body)->lookup || !(*body)->parameters.empty();
    node.list = (*body)->output.list;
    for (const value_shape& shape : shapes)
      if (!node.list) node.list = shape.list;
    node.body = std::move(*body);
    place[s] = graph.nodes_.size();
    graph.nodes_.push_back(std::move(node));
  }
  if (auto whole = graph.check_ends(refused); !whole) return whole.error();
  if (auto numbered = graph.number_tables(refused); !numbered) return numbered.error();
  graph.name_heads(labels);
  return graph;
}

// Losses, at the ends, and everything leads to one.
result<void> model_graph::check_ends(const refuse_layer& refused) const {
  const auto losses = loss_names(nodes_);
  if (losses.empty())
    return refused("layers", "a model has a layer that is a loss (op = \"bce\"); none is there");
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const std::string key = "layers." + nodes_[i].name;
    const bool is_loss = nodes_[i].body->is_loss();
    const auto read_by = readers(i);
    if (read_by.empty() && !is_loss)
      return refused(key, "no layer reads it; remove it, or name it in the inputs of another");
    if (!read_by.empty() && is_loss)
      return refused(key,
                     "it is a loss, and layer '" + nodes_[read_by[0]].name +
                         "' reads it; let that read what the loss reads");
    if (nodes_[i].op == "count" && losses.size() > 1)
      return refused(key, "counts, and that goes with no other loss; there are " + joined(losses));
  }
  return {};
}

void model_graph::name_heads(std::span<const std::string> labels) {
  std::vector<std::size_t> times(labels_max);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const auto& heads = nodes_[i].body->heads;
    for (std::size_t c = 0; c < heads.size(); ++c) {
      const std::size_t label = heads[c].label;
      std::string name =
          label < labels.size() ? labels[label] : "label " + std::to_string(label + 1);
      heads_.push_back({std::move(name), label, i, c, heads[c].weight});
      ++times[label];
    }
  }
  std::ranges::stable_sort(heads_, {}, &model_head::label);
  for (model_head& head : heads_) {
    if (times[head.label] > 1) head.name += " (" + nodes_[head.node].name + ")";
  }
}

std::size_t model_graph::labels() const { return heads_.back().label + 1; }

result<void> model_graph::number_tables(const refuse_layer& refused) {
  const auto taken = [&](const std::string& name) {
    return std::ranges::find(tables_, name, &model_table::name) != tables_.end();
  };
  for (graph_node& node : nodes_) {
    if (!node.body->lookup) continue;
    const lookup_spec& rows = *node.body->lookup;
    if (taken(rows.table))
      return refused("layers." + node.name,
                     "table '" + rows.table + "' is taken by another layer; name another");
    node.table = tables_.size();
    tables_.push_back({rows.table,
                       rows.width,
                       0,
                       rows.first_order_columns,
                       rows.init_scale,
                       false,
                       rows.features,
                       rows.lists,
                       rows.only_lists});
  }
  for (graph_node& node : nodes_) {
    if (!node.body->lookup) node.table = tables_.size();
    for (const parameter_spec& matrix : node.body->parameters) {
      if (taken(matrix.table))
        return refused("layers." + node.name,
                       "table '" + matrix.table + "' is taken by another layer; name another");
      tables_.push_back(
          {matrix.table, matrix.dim, matrix.rows, 0, matrix.init_scale, matrix.network, {}});
      tables_.back().block_rows = matrix.block_rows;
    }
  }
  return {};
}

bool model_graph::has_lists() const {
  return std::ranges::any_of(nodes_, [](const graph_node& node) { return node.list.has_value(); });
}

std::vector<std::size_t> model_graph::readers(std::size_t i) const {
  std::vector<std::size_t> found;
  for (std::size_t j = i + 1; j < nodes_.size(); ++j) {
    if (std::ranges::find(nodes_[j].inputs, i) != nodes_[j].inputs.end()) found.push_back(j);
  }
  return found;
}

bool model_graph::has_network() const {
  return std::ranges::any_of(tables_, &model_table::network);
}

}  // namespace headrace::worker
