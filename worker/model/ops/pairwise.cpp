#include "kernels/pairwise/pairwise.hpp"

#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

namespace headrace::worker {
namespace {

using kernels::packed_fields;
using kernels::pairwise_output;

// The products of all pairs of vectors, summed (kernels/pairwise/pairwise.hpp).
class pairwise_layer final : public layer {
 public:
  pairwise_layer(const value_shape& input, pairwise_output kind) : input_(input), kind_(kind) {
    output = {.fields = 1, .dim = kind == pairwise_output::per_sample ? 1 : input.dim};
  }
  std::size_t saved(std::size_t samples) const override { return samples * input_.dim; }
  bool backward_reads_inputs() const override { return true; }
  layer_cost cost(std::size_t samples) const override {
    const auto values = static_cast<double>(samples * input_.columns());
    return {4.0 * values, 2.0 * values};
  }

  double forward(const layer_run& run) const override {
    kernels::pairwise(
        {.fields = packed_fields(run.inputs[0], run.samples, input_.fields, input_.dim),
         .output = kind_,
         .out = run.output,
         .sums = run.saved.first(run.samples * input_.dim)});
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    if (run.input_gradients[0].empty()) return;
    kernels::pairwise_backward(
        {.fields = packed_fields(run.inputs[0], run.samples, input_.fields, input_.dim),
         .output = kind_,
         .sums = run.saved.first(run.samples * input_.dim),
         .out_gradients = run.output_gradient,
         .field_gradients =
             packed_fields(run.input_gradients[0], run.samples, input_.fields, input_.dim)});
  }

 private:
  value_shape input_;
  pairwise_output kind_;
};

}  // namespace

result<std::unique_ptr<layer>> make_pairwise(const layer_section& section) {
  const auto kind = section.config.choice<pairwise_output>(
      section.key("sum"),
      "all",
      {{"all", pairwise_output::per_sample}, {"pairs", pairwise_output::per_column}});
  if (auto fits = expect_dense(section, 1, 1); !fits) return fits.error();
  return std::unique_ptr<layer>(std::make_unique<pairwise_layer>(section.inputs[0], kind));
}

}  // namespace headrace::worker
