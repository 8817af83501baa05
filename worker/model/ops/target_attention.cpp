#include "kernels/target_attention/target_attention.hpp"

#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::worker {
namespace {

using kernels::target_activation;

// What of a list matters to a target: its vectors weighted by a small network (DIN, Zhou et al.,
// KDD'18; kernels/target_attention/target_attention.hpp). Inputs: the list [tokens, dim], the
// target [samples, dim].
class target_attention_layer final : public layer {
 public:
  target_attention_layer(std::size_t dim,
                         std::size_t units,
                         target_activation activation,
                         bool softmax)
      : dim_(dim), units_(units), activation_(activation), softmax_(softmax) {
    output = {.fields = 1, .dim = dim};
  }
  std::size_t chunk_saved(const chunk_size& size) const override {
    return size.tokens * (units_ + 1);  // activations, attention
  }
  // A list may be as long as the chunk. The gradient of a target that learns nothing goes here,
  // too.
  std::size_t chunk_workspace(const chunk_size& size) const override {
    return std::max(kernels::target_attention_workspace(dim_, units_, size.tokens),
                    kernels::target_attention_backward_workspace(dim_, units_, size.tokens)) +
           size.samples * dim_;
  }
  bool backward_reads_inputs() const override { return true; }
  layer_cost chunk_cost(const chunk_size& size) const override {
    const double forward = 2.0 * static_cast<double>(size.tokens * (dim_ * units_ + units_ + dim_));
    return {forward, 2.0 * forward};
  }

  double forward(const layer_run& run) const override {
    kernels::target_attention(args_of(run, run.workspace));
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    const std::size_t targets = run.samples * dim_;
    const auto rest = run.workspace.subspan(targets);
    kernels::target_attention_backward({.forward = args_of(run, {}),
                                        .o_gradients = run.output_gradient,
                                        .history_gradients = run.input_gradients[0],
                                        .target_gradients = run.input_gradients[1].empty()
                                                                ? run.workspace.first(targets)
                                                                : run.input_gradients[1],
                                        .first_weight_gradients = run.parameter_gradients[0],
                                        .first_bias_gradients = run.parameter_gradients[1],
                                        .second_weight_gradients = run.parameter_gradients[2],
                                        .second_bias_gradients = run.parameter_gradients[3],
                                        .workspace = rest});
  }

 private:
  kernels::target_attention_args args_of(const layer_run& run, std::span<float> workspace) const {
    const std::size_t tokens = run.offsets.back();
    kernels::target_attention_args args;
    args.history = run.inputs[0];
    args.targets = run.inputs[1];
    args.offsets = run.offsets;
    args.dim = dim_;
    args.hidden = units_;
    args.first_weights = run.parameters[0];
    args.first_bias = run.parameters[1];
    args.second_weights = run.parameters[2];
    args.second_bias = run.parameters[3];
    args.activation = activation_;
    args.softmax = softmax_;
    args.activations = run.saved.first(tokens * units_);
    args.attention = run.saved.subspan(tokens * units_, tokens);
    args.o = run.output;
    args.workspace = workspace;
    return args;
  }

  std::size_t dim_;
  std::size_t units_;
  target_activation activation_;
  bool softmax_;
};

}  // namespace

result<std::unique_ptr<layer>> make_target_attention(const layer_section& section) {
  const auto units =
      static_cast<std::size_t>(section.config.whole(section.key("units"), 36, {1, 1024}));
  const auto activation = section.config.choice<target_activation>(
      section.key("activation"),
      "sigmoid",
      {{"sigmoid", target_activation::sigmoid}, {"relu", target_activation::relu}});
  const bool softmax = section.config.flag(section.key("softmax"), false);
  std::string first_weights = section.table("first_weights");
  std::string first_bias = section.table("first_bias");
  std::string second_weights = section.table("second_weights");
  std::string second_bias = section.table("second_bias");
  if (auto fits = expect_list(section, 2); !fits) return fits.error();
  const value_shape& history = section.inputs[0];
  const value_shape& target = section.inputs[1];
  if (target.rows || target.list || target.columns() != history.columns())
    return error{errc::bad_config,
                 "its second input is the target, a vector of " +
                     std::to_string(history.columns()) + " a sample; it is " +
                     (target.rows ? "rows" : describe(target))};
  const std::size_t dim = history.columns();
  auto made = std::make_unique<target_attention_layer>(dim, units, activation, softmax);
  const auto scale = [](std::size_t in, std::size_t out) {  // Glorot and Bengio 2010, eq. 16
    return std::sqrt(6.0F / static_cast<float>(in + out));
  };
  made->parameters = {{std::move(first_weights), 4 * dim, units, scale(4 * dim, units)},
                      {std::move(first_bias), 1, units, 0.0F},
                      {std::move(second_weights), 1, units, scale(units, 1)},
                      {std::move(second_bias), 1, 1, 0.0F}};
  return std::unique_ptr<layer>(std::move(made));
}

}  // namespace headrace::worker
