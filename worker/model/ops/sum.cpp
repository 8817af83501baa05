#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

class sum_layer final : public layer {
 public:
  explicit sum_layer(const value_shape& shape) { output = shape; }
  device_form on_device() const override {
    return output.list ? device_form(no_device_form{}) : sum_form{};
  }
  double forward(const layer_run& run) const override {
    std::ranges::copy(run.inputs[0], run.output.begin());
    for (const auto& input : run.inputs.subspan(1)) {
      for (std::size_t i = 0; i < run.output.size(); ++i) run.output[i] += input[i];
    }
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    for (const auto& gradient : run.input_gradients) {
      if (!gradient.empty()) std::ranges::copy(run.output_gradient, gradient.begin());
    }
  }
};

}  // namespace

result<std::unique_ptr<layer>> make_sum(const layer_section& section) {
  if (auto fits = expect_alike(section, 1, SIZE_MAX); !fits) return fits.error();
  for (const value_shape& input : section.inputs) {
    if (input.columns() != section.inputs[0].columns())
      return error{errc::bad_config,
                   "adds inputs of one width; these are " + describe(section.inputs[0]) + " and " +
                       describe(input)};
  }
  return std::unique_ptr<layer>(std::make_unique<sum_layer>(section.inputs[0]));
}

}  // namespace headrace::worker
