#pragma once

#include "base/result.hpp"
#include "worker/model/layer.hpp"
#include "worker/model/op_registry.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace headrace::worker {

/// One layer of a graph.
struct graph_node {
  std::string name;
  std::string op;
  std::vector<std::size_t> inputs;  // nodes, each before this one
  std::unique_ptr<const layer> body;
  std::size_t table = 0;  // of its lookup, else of its first parameter
  bool learns = false;    // it, or something before it, has rows or parameters
  std::optional<std::uint32_t> list = std::nullopt;  // whose tokens it reads or gives
};

/// A table that the model wants, in the order of the job's schema.
struct model_table {
  std::string name;
  std::size_t dim = 1;
  std::size_t rows = 0;  // of a dense parameter; 0 = looked up by key
  std::uint32_t first_order_columns = 0;
  float init_scale = 0.0F;
  bool network = false;                   // learns by Adam unless the job says otherwise
  std::vector<std::uint32_t> features;    // of a lookup; empty = all
  std::vector<std::uint32_t> lists = {};  // of a lookup; empty = none
  bool only_lists = false;                // no feature but these
  std::size_t block_rows = 0;             // of a parameter: parameter_spec says what
};

/// A label that a model predicts.
struct model_head {
  std::string name;        // the label's; with its layer where several layers predict that label
  std::size_t label = 0;   // of the job's labels
  std::size_t node = 0;    // the loss
  std::size_t column = 0;  // of the loss's output
  float weight = 1.0F;     // in the sum that is learned
};

/// A model as data: a checked graph of layers, in an order in which each comes after its inputs.
///
/// Model files are TOML: a section `[layers.NAME]` for each layer with `op`, `inputs` and the
/// attributes of the operator. What is learned is the sum of its losses, at least one, and
/// everything leads to one. Immutable, so threads share it.
class model_graph {
 public:
  /// Reads the sections `[layers.NAME]`; `labels` are the names of the job's, none where they are
  /// not known: then layers say them by number. Fails: bad_config in one line that names the file,
  /// the line and the layer: an unknown operator, attribute or label (with the nearest known), a
  /// missing input, a cycle (said in full), shapes that don't fit, a table named twice, no loss.
  static result<model_graph> read(config_reader& config,
                                  std::span<const model_feature> features,
                                  std::span<const std::string> labels = {});
  /// The same from a text of nothing else.
  static result<model_graph> load(const std::string& text,
                                  const std::string& origin,
                                  std::span<const std::string> overrides,
                                  std::span<const model_feature> features,
                                  std::span<const std::string> labels = {});

  std::span<const graph_node> nodes() const { return nodes_; }
  /// Lookups in the order of their layers, then the parameters.
  std::span<const model_table> tables() const { return tables_; }
  /// The nodes that read node i, ascending.
  std::vector<std::size_t> readers(std::size_t i) const;
  /// It counts: rows start at 0, optimizers add, and pushes are exact.
  bool counts() const { return nodes_.back().op == "count"; }
  /// Some table is a network's: lane dense.
  bool has_network() const;
  /// Whether some layer works on lists: chunks are then bounded in tokens, too.
  bool has_lists() const;
  /// By label, then in the order of the layers; at least one.
  std::span<const model_head> heads() const { return heads_; }
  /// How many labels a sample must have for it.
  std::size_t labels() const;

 private:
  /// Remembers that a key is wrong and why; the error that comes of it.
  using refuse_layer = std::function<error(const std::string& key, const std::string& why)>;
  result<void> check_ends(const refuse_layer& refused) const;
  result<void> number_tables(const refuse_layer& refused);
  void name_heads(std::span<const std::string> labels);

  std::vector<graph_node> nodes_;
  std::vector<model_table> tables_;
  std::vector<model_head> heads_;
};

}  // namespace headrace::worker
