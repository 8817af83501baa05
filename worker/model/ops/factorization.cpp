#include "kernels/fm/fm.hpp"
#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

namespace headrace::worker {
namespace {

// bias + Σ w x + ½ Σ_k [(Σ v x)² − Σ (v x)²] over unique rows [w, v …]; with rows of width 1 just
// bias + Σ w x (kernels/fm/fm.hpp).
class factorization_layer final : public layer {
 public:
  explicit factorization_layer(const value_shape& rows, std::string bias)
      : fields_(rows.fields), latent_(rows.dim - 1) {
    parameters = {{std::move(bias), 1, 1, 0.0F, false}};
  }
  std::size_t saved(std::size_t samples) const override { return samples * latent_; }
  layer_cost cost(std::size_t samples) const override {
    const auto values = static_cast<double>(samples * fields_ * (1 + latent_));
    return {4.0 * values, 5.0 * values};
  }

  device_form on_device() const override { return factorization_form{}; }
  double forward(const layer_run& run) const override {
    const lookup_view& rows = run.lookups[0];
    kernels::fm_forward({.rows = rows.rows,
                         .inverse = rows.inverse,
                         .values = rows.factors,
                         .features = rows.features,
                         .latent_dim = latent_,
                         .bias = run.parameters[0][0],
                         .logits = run.output,
                         .sums = run.saved.first(run.samples * latent_)});
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    const lookup_view& rows = run.lookups[0];
    run.parameter_gradients[0][0] +=
        kernels::fm_backward({.rows = rows.rows,
                              .inverse = rows.inverse,
                              .values = rows.factors,
                              .features = rows.features,
                              .latent_dim = latent_,
                              .sums = run.saved.first(run.samples * latent_),
                              .logit_gradients = run.output_gradient,
                              .row_gradients = rows.gradients});
  }

 private:
  std::size_t fields_;
  std::size_t latent_;
};

}  // namespace

result<std::unique_ptr<layer>> make_factorization(const layer_section& section) {
  std::string bias = section.table("bias");
  if (auto fits = expect_rows(section); !fits) return fits.error();
  if (section.inputs[0].first_order != 1)
    return error{errc::bad_config,
                 "needs rows with a first-order column: first_order = true there"};
  return std::unique_ptr<layer>(
      std::make_unique<factorization_layer>(section.inputs[0], std::move(bias)));
}

}  // namespace headrace::worker
