#include "kernels/layer_norm/layer_norm.hpp"

#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

// (x - mean) / deviation * (1 + gain) + bias, each row by itself. Tables start at 0, so the gain
// learned is what comes to 1.
class layer_norm_layer final : public layer {
 public:
  explicit layer_norm_layer(const value_shape& input) { output = input; }
  std::size_t saved(std::size_t rows) const override { return 2 * rows; }  // mean, 1 / deviation
  // The gain, what is added to its gradient, and the gradient of an input that learns nothing.
  std::size_t workspace(std::size_t rows) const override { return (1 + rows) * output.columns(); }
  bool backward_reads_inputs() const override { return true; }
  layer_cost cost(std::size_t rows) const override {
    const auto values = static_cast<double>(rows * output.columns());
    return {8.0 * values, 12.0 * values};
  }

  double forward(const layer_run& run) const override {
    const std::size_t dim = output.columns();
    kernels::layer_norm_forward({.x = run.inputs[0],
                                 .gain = gain_of(run),
                                 .bias = run.parameters[1],
                                 .dim = dim,
                                 .y = run.output,
                                 .mean = run.saved.first(run.samples),
                                 .rstd = run.saved.subspan(run.samples, run.samples)});
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    const std::size_t dim = output.columns();
    const auto unwanted = run.workspace.subspan(dim, run.samples * dim);
    kernels::layer_norm_backward(
        {.sum = run.inputs[0],
         .gain = gain_of(run),
         .dim = dim,
         .mean = run.saved.first(run.samples),
         .rstd = run.saved.subspan(run.samples, run.samples),
         .y_gradients = run.output_gradient,
         .x_gradients = run.input_gradients[0].empty() ? unwanted : run.input_gradients[0],
         .gain_gradients = run.parameter_gradients[0],
         .bias_gradients = run.parameter_gradients[1]});
  }

 private:
  std::span<const float> gain_of(const layer_run& run) const {
    const auto gain = run.workspace.first(output.columns());
    std::ranges::transform(run.parameters[0], gain.begin(), [](float more) { return 1 + more; });
    return gain;
  }
};

}  // namespace

result<std::unique_ptr<layer>> make_layer_norm(const layer_section& section) {
  std::string gain = section.table("gain");
  std::string bias = section.table("bias");
  if (auto fits = expect_alike(section, 1, 1); !fits) return fits.error();
  const std::size_t dim = section.inputs[0].columns();
  if (dim < 2 || dim > 1024)
    return error{errc::bad_config,
                 "takes 2 … 1024 values in a row; its input has " + describe(section.inputs[0])};
  auto made = std::make_unique<layer_norm_layer>(section.inputs[0]);
  made->parameters = {{std::move(gain), 1, dim, 0.0F}, {std::move(bias), 1, dim, 0.0F}};
  return std::unique_ptr<layer>(std::move(made));
}

}  // namespace headrace::worker
