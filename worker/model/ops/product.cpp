#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

namespace headrace::worker {
namespace {

// Two inputs of one width, value by value: a gate.
class product_layer final : public layer {
 public:
  explicit product_layer(const value_shape& shape) { output = shape; }
  bool backward_reads_inputs() const override { return true; }
  double forward(const layer_run& run) const override {
    for (std::size_t i = 0; i < run.output.size(); ++i)
      run.output[i] = run.inputs[0][i] * run.inputs[1][i];
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    for (std::size_t k = 0; k < 2; ++k) {
      const auto gradient = run.input_gradients[k];
      for (std::size_t i = 0; i < gradient.size(); ++i)
        gradient[i] = run.output_gradient[i] * run.inputs[1 - k][i];
    }
  }
};

}  // namespace

result<std::unique_ptr<layer>> make_product(const layer_section& section) {
  if (auto fits = expect_alike(section, 2, 2); !fits) return fits.error();
  if (section.inputs[0].columns() != section.inputs[1].columns())
    return error{errc::bad_config,
                 "multiplies inputs of one width; these are " + describe(section.inputs[0]) +
                     " and " + describe(section.inputs[1])};
  return std::unique_ptr<layer>(std::make_unique<product_layer>(section.inputs[0]));
}

}  // namespace headrace::worker
