#include "kernels/linear/linear.hpp"

#include "kernels/linear/half_linear.hpp"
#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::worker {
namespace {

using kernels::linear_activation;

// A thinner matrix is no work for tiles of 16 x 32, and its layer is often the one whose output is
// the logit.
constexpr std::size_t half_width_min = 16;

// activation(x W + b), x [samples, in], W [in, units] a table of `in` rows.
class linear_layer final : public layer {
 public:
  linear_layer(std::size_t in, std::size_t units, linear_activation activation)
      : in_(in), units_(units), activation_(activation) {
    output = {.fields = 1, .dim = units};
  }
  std::size_t saved(std::size_t samples) const override {
    return kernels::linear_reads_saved(activation_) ? samples * units_ : 0;
  }
  std::size_t workspace(std::size_t samples) const override {
    return kernels::linear_workspace(samples, in_, units_);
  }
  bool backward_reads_inputs() const override { return true; }
  bool backward_reads_output() const override { return kernels::linear_reads_y(activation_); }
  layer_cost cost(std::size_t samples) const override {
    const double product = 2.0 * static_cast<double>(samples * in_ * units_);
    return {product, 2.0 * product};
  }

  std::optional<half_room> half(std::size_t rows) const override {
    if (std::min(in_, units_) < half_width_min) return std::nullopt;
    return half_room{kernels::half_linear_workspace(rows, in_, units_),
                     kernels::half_linear_words(rows, in_, units_),
                     kernels::packed_linear_words(in_, units_)};
  }
  void pack(std::span<const std::span<const float>> matrices,
            precision as,
            std::span<std::uint16_t> packed) const override {
    kernels::pack_linear({format_of(as), matrices[0], in_, units_, packed});
  }

  device_form on_device() const override {
    return output.list ? device_form(no_device_form{}) : linear_form{activation_};
  }
  double forward(const layer_run& run) const override {
    const kernels::linear_args args = {.x = run.inputs[0],
                                       .weights = run.parameters[0],
                                       .bias = run.parameters[1],
                                       .rows = run.samples,
                                       .in = in_,
                                       .out = units_,
                                       .activation = activation_,
                                       .y = run.output,
                                       .saved = saved_of(run),
                                       .workspace = run.workspace};
    if (run.as == precision::f32) {
      kernels::linear_forward(args);
    } else {
      kernels::half_linear_forward({args, format_of(run.as), run.packed, run.words});
    }
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    const kernels::linear_backward_args args = {.x = run.inputs[0],
                                                .weights = run.parameters[0],
                                                .y = run.output,
                                                .saved = saved_of(run),
                                                .dy = run.output_gradient,
                                                .rows = run.samples,
                                                .in = in_,
                                                .out = units_,
                                                .activation = activation_,
                                                .dx = run.input_gradients[0],
                                                .dweights = run.parameter_gradients[0],
                                                .dbias = run.parameter_gradients[1],
                                                .workspace = run.workspace};
    if (run.as == precision::f32) {
      kernels::linear_backward(args);
    } else {
      kernels::half_linear_backward(
          {args, format_of(run.as), run.gradient_scale, run.packed, run.words});
    }
  }

 private:
  std::span<float> saved_of(const layer_run& run) const {
    return run.saved.empty() ? run.saved : run.saved.first(run.samples * units_);
  }

  std::size_t in_;
  std::size_t units_;
  linear_activation activation_;
};

}  // namespace

result<std::unique_ptr<layer>> make_linear(const layer_section& section) {
  const auto units = section.config.optional_whole(section.key("units"), {1, 1024});
  const auto activation =
      section.config.choice<linear_activation>(section.key("activation"),
                                               "none",
                                               {{"none", linear_activation::none},
                                                {"relu", linear_activation::relu},
                                                {"sigmoid", linear_activation::sigmoid},
                                                {"silu", linear_activation::silu},
                                                {"gelu", linear_activation::gelu},
                                                {"tanh", linear_activation::tanh}});
  std::string weights = section.table("weights");
  std::string bias = section.table("bias");
  if (auto fits = expect_alike(section, 1, 1); !fits) return fits.error();
  if (!units) return error{errc::bad_config, "units is missing: how many outputs, 1 … 1024"};
  const std::size_t in = section.inputs[0].columns();
  const auto out = static_cast<std::size_t>(*units);
  auto made = std::make_unique<linear_layer>(in, out, activation);
  made->output.list = section.inputs[0].list;
  // Uniform, so that forward and backward keep their variance: Glorot and Bengio 2010, eq. 16.
  const float scale = std::sqrt(6.0F / static_cast<float>(in + out));
  made->parameters = {{std::move(weights), in, out, scale}, {std::move(bias), 1, out, 0.0F}};
  return std::unique_ptr<layer>(std::move(made));
}

}  // namespace headrace::worker
