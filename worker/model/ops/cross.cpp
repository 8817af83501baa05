#include "kernels/cross/cross.hpp"

#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::worker {
namespace {

// x0 ⊙ (x W + b) + x, or with W of a lower rank (kernels/cross/cross.hpp). Inputs x0 and x.
class cross_layer final : public layer {
 public:
  cross_layer(const value_shape& shape, std::size_t rank) : dim_(shape.columns()), rank_(rank) {
    output = shape;
  }
  std::size_t saved(std::size_t samples) const override { return samples * (dim_ + rank_); }
  std::size_t workspace(std::size_t samples) const override {
    return std::max(kernels::cross_workspace(shape(samples)),
                    kernels::cross_backward_workspace(shape(samples)) + 2 * samples * dim_);
  }
  bool backward_reads_inputs() const override { return true; }
  layer_cost cost(std::size_t samples) const override {
    const double matrix = static_cast<double>(rank_ == 0 ? dim_ * dim_ : 2 * dim_ * rank_);
    const double product = 2.0 * static_cast<double>(samples) * matrix;
    return {product, 2.0 * product};
  }

  double forward(const layer_run& run) const override {
    kernels::cross({.shape = shape(run.samples),
                    .x0 = run.inputs[0],
                    .x = run.inputs[1],
                    .weights = weights_in<const float>(run.parameters),
                    .out = run.output,
                    .affine = run.saved.first(run.samples * dim_),
                    .projected = run.saved.subspan(run.samples * dim_, run.samples * rank_),
                    .workspace = run.workspace});
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    const std::size_t values = run.samples * dim_;
    // An input that nothing learns from has no gradient of its own.
    const auto place = [&](std::size_t input) {
      const auto gradient = run.input_gradients[input];
      return gradient.empty() ? run.workspace.subspan(input * values, values) : gradient;
    };
    std::ranges::fill(place(0), 0.0F);
    kernels::cross_backward({.shape = shape(run.samples),
                             .x0 = run.inputs[0],
                             .x = run.inputs[1],
                             .weights = weights_in<const float>(run.parameters),
                             .affine = run.saved.first(values),
                             .projected = run.saved.subspan(values, run.samples * rank_),
                             .out_gradients = run.output_gradient,
                             .x_gradients = place(1),
                             .x0_gradients = place(0),
                             .weight_gradients = weights_in<float>(run.parameter_gradients),
                             .workspace = run.workspace.subspan(2 * values)});
  }

 private:
  kernels::cross_shape shape(std::size_t samples) const { return {samples, dim_, rank_}; }
  template <class Value, class Spans>
  kernels::cross_weights<Value> weights_in(const Spans& of) const {
    if (rank_ == 0) return {.full = of[0], .bias = of[1]};
    return {.down = of[0], .up = of[1], .bias = of[2]};
  }

  std::size_t dim_;
  std::size_t rank_;
};

}  // namespace

result<std::unique_ptr<layer>> make_cross(const layer_section& section) {
  const auto rank =
      static_cast<std::size_t>(section.config.whole(section.key("rank"), 0, {0, 1024}));
  std::string weights = section.table("weights");
  std::string up = rank > 0 ? section.table("up") : std::string();
  std::string bias = section.table("bias");
  if (auto fits = expect_dense(section, 2, 2); !fits) return fits.error();
  const std::size_t dim = section.inputs[1].columns();
  if (section.inputs[0].columns() != dim)
    return error{errc::bad_config,
                 "its inputs x0 and x have one width; these are " + describe(section.inputs[0]) +
                     " and " + describe(section.inputs[1])};
  if (dim > 1024)
    return error{errc::bad_config,
                 "takes at most 1024 columns, its input has " + std::to_string(dim)};
  auto made = std::make_unique<cross_layer>(section.inputs[1], rank);
  const auto scale = [](std::size_t in, std::size_t out) {  // Glorot and Bengio 2010, eq. 16
    return std::sqrt(6.0F / static_cast<float>(in + out));
  };
  if (rank == 0) {
    made->parameters = {{std::move(weights), dim, dim, scale(dim, dim)}};
  } else {
    made->parameters = {{std::move(weights), dim, rank, scale(dim, rank)},
                        {std::move(up), dim, rank, scale(dim, rank)}};
  }
  made->parameters.push_back({std::move(bias), 1, dim, 0.0F});
  return std::unique_ptr<layer>(std::move(made));
}

}  // namespace headrace::worker
