#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

namespace headrace::worker {
namespace {

// The pull brings the rows and the push takes their gradients (worker/step/): nothing to compute.
class rows_layer final : public layer {
 public:
  device_form on_device() const override {
    return output.lists.empty() ? device_form(rows_form{}) : no_device_form{};
  }
  double forward(const layer_run&) const override { return 0.0; }
  void backward(const layer_run&) const override {}
};

}  // namespace

result<std::unique_ptr<layer>> make_rows(const layer_section& section) {
  constexpr float vector_scale = 0.01F;  // vectors of 0 would never learn
  auto made = std::make_unique<rows_layer>();
  if (!section.inputs.empty()) return error{errc::bad_config, "takes no inputs"};
  const auto dim = section.config.whole(section.key("dim"), 8, {0, 1023});
  const bool first_order = section.config.flag(section.key("first_order"), true);
  auto features = choose_features(section, "all");
  if (!features) return features.error();
  if (dim == 0 && !first_order)
    return error{errc::bad_config, "rows of no columns: set dim, or first_order = true"};
  lookup_spec lookup;
  lookup.table = section.config.text(section.key("table"), section.name);
  lookup.first_order_columns = first_order ? 1 : 0;
  lookup.width = static_cast<std::size_t>(dim) + lookup.first_order_columns;
  lookup.init_scale = dim > 0 ? vector_scale : 0.0F;
  const std::size_t fields = features->single.size();
  lookup.only_lists = fields == 0 && !features->lists.empty();
  if (fields < single_features(section.features)) lookup.features = std::move(features->single);
  lookup.lists = features->lists;
  made->output = {.fields = fields,
                  .dim = lookup.width,
                  .rows = true,
                  .first_order = lookup.first_order_columns,
                  .lists = std::move(features->lists)};
  made->lookup = std::move(lookup);
  return std::unique_ptr<layer>(std::move(made));
}

}  // namespace headrace::worker
