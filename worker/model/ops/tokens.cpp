#include "base/nearest_word.hpp"
#include "kernels/gather_fields/gather_fields.hpp"
#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

// The vectors of a list's ids, oldest first, [tokens, dim], without first-order columns.
class tokens_layer final : public layer {
 public:
  tokens_layer(const value_shape& rows, std::uint32_t list) : first_(rows.first_order) {
    output = {.fields = 1, .dim = rows.dim - rows.first_order, .list = list};
  }
  double forward(const layer_run& run) const override {
    const lookup_view& rows = run.lookups[0];
    kernels::gather_fields({.rows = rows.rows,
                            .width = rows.width,
                            .first_column = first_,
                            .inverse = rows.tokens,
                            .out = kernels::packed_fields(run.output, run.samples, 1, output.dim)});
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    const lookup_view& rows = run.lookups[0];
    kernels::gather_fields_backward(
        {.width = rows.width,
         .first_column = first_,
         .inverse = rows.tokens,
         .out_gradients = kernels::packed_fields(run.output_gradient, run.samples, 1, output.dim),
         .row_gradients = rows.gradients});
  }

 private:
  std::size_t first_;
};

// Names of the lists that look up in the rows, and their numbers.
struct named_lists {
  std::vector<std::string> names;
  std::vector<std::uint32_t> numbers;
};

named_lists lists_of(const layer_section& section) {
  named_lists found;
  std::uint32_t list = 0;
  for (const model_feature& feature : section.features) {
    if (!feature.list()) continue;
    if (std::ranges::find(section.inputs[0].lists, list) != section.inputs[0].lists.end()) {
      found.names.push_back(feature.name);
      found.numbers.push_back(list);
    }
    ++list;
  }
  return found;
}

}  // namespace

result<std::unique_ptr<layer>> make_tokens(const layer_section& section) {
  const std::string wanted = section.config.text(section.key("feature"), "");
  if (section.inputs.size() != 1 || !section.inputs[0].rows)
    return error{errc::bad_config, "takes one input, a layer with op = \"rows\": set inputs"};
  const value_shape& rows = section.inputs[0];
  if (rows.lists.empty())
    return error{errc::bad_config,
                 "its rows are of no list: a feature of kind \"ids\" belongs to features there"};
  if (rows.dim == rows.first_order)
    return error{errc::bad_config, "needs rows with vectors: a dim of 1 or more there"};
  const named_lists lists = lists_of(section);
  if (wanted.empty() && lists.names.size() > 1)
    return error{errc::bad_config, "its rows are of several lists: name one, feature = \"…\""};
  const auto at = wanted.empty() ? lists.names.begin() : std::ranges::find(lists.names, wanted);
  if (at == lists.names.end()) {
    const std::string near = nearest_word(wanted, lists.names);
    return error{errc::bad_config,
                 "its rows are of no list '" + wanted + "'" +
                     (near.empty() ? "" : "; did you mean '" + near + "'?")};
  }
  const std::uint32_t list = lists.numbers[static_cast<std::size_t>(at - lists.names.begin())];
  return std::unique_ptr<layer>(std::make_unique<tokens_layer>(rows, list));
}

}  // namespace headrace::worker
