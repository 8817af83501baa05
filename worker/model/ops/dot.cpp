#include "kernels/dot_interaction/dot_interaction.hpp"
#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

namespace headrace::worker {
namespace {

using kernels::packed_fields;

// The inner product of each pair of vectors (kernels/dot_interaction/dot_interaction.hpp).
class dot_layer final : public layer {
 public:
  explicit dot_layer(const value_shape& input) : input_(input) {
    output = {.fields = 1, .dim = kernels::field_pairs(input.fields)};
  }
  std::size_t workspace(std::size_t) const override {
    return kernels::dot_interaction_workspace(input_.fields, input_.dim);
  }
  bool backward_reads_inputs() const override { return true; }
  layer_cost cost(std::size_t samples) const override {
    const auto products = 2.0 * static_cast<double>(samples * output.dim * input_.dim);
    return {products, 2.0 * products};
  }

  double forward(const layer_run& run) const override {
    kernels::dot_interaction(
        {.fields = packed_fields(run.inputs[0], run.samples, input_.fields, input_.dim),
         .out = run.output,
         .out_stride = output.dim,
         .workspace = run.workspace});
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    if (run.input_gradients[0].empty()) return;
    kernels::dot_interaction_backward(
        {.fields = packed_fields(run.inputs[0], run.samples, input_.fields, input_.dim),
         .out_gradients = run.output_gradient,
         .out_stride = output.dim,
         .field_gradients =
             packed_fields(run.input_gradients[0], run.samples, input_.fields, input_.dim)});
  }

 private:
  value_shape input_;
};

}  // namespace

result<std::unique_ptr<layer>> make_dot(const layer_section& section) {
  if (auto fits = expect_dense(section, 1, 1); !fits) return fits.error();
  const std::size_t fields = section.inputs[0].fields;
  if (fields < 2 || fields > kernels::dot_interaction_fields_max)
    return error{errc::bad_config,
                 "takes 2 … 64 vectors of one width; its input is " + describe(section.inputs[0])};
  return std::unique_ptr<layer>(std::make_unique<dot_layer>(section.inputs[0]));
}

}  // namespace headrace::worker
