#include "kernels/gate_mix/gate_mix.hpp"
#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <numeric>

namespace headrace::worker {
namespace {

// A gate's mixture of experts (MMoE; Ma et al., KDD'18): Σ_e softmax(gate)_e expert_e, gate
// [samples, experts], experts [samples, experts, dim].
class mixture_layer final : public layer {
 public:
  mixture_layer(std::size_t experts, std::size_t dim) : experts_(experts), dim_(dim) {
    output = {.fields = 1, .dim = dim};
  }
  std::size_t saved(std::size_t samples) const override { return samples * experts_; }  // gates
  bool backward_reads_inputs() const override { return true; }
  layer_cost cost(std::size_t samples) const override {
    const double product = 2.0 * static_cast<double>(samples * experts_ * dim_);
    return {product, 1.5 * product};
  }

  double forward(const layer_run& run) const override {
    kernels::gate_mix({.gate_logits = run.inputs[0],
                       .expert_outputs = run.inputs[1],
                       .experts = experts_,
                       .dim = dim_,
                       .gates = gates_of(run),
                       .outputs = run.output});
    return 0.0;
  }
  void backward(const layer_run& run) const override {
    if (run.input_gradients[0].empty()) return expert_gradients(run);
    if (run.input_gradients[1].empty()) return gate_gradients(run);
    kernels::gate_mix_backward({.gates = gates_of(run),
                                .expert_outputs = run.inputs[1],
                                .experts = experts_,
                                .dim = dim_,
                                .output_gradients = run.output_gradient,
                                .gate_logit_gradients = run.input_gradients[0],
                                .expert_gradients = run.input_gradients[1]});
  }

 private:
  std::span<float> gates_of(const layer_run& run) const {
    return run.saved.first(run.samples * experts_);
  }
  // Alone, where the gate has nothing to learn: gate_e d.
  void expert_gradients(const layer_run& run) const {
    for (std::size_t e = 0; e < run.samples * experts_; ++e) {
      for (std::size_t k = 0; k < dim_; ++k)
        run.input_gradients[1][e * dim_ + k] =
            run.saved[e] * run.output_gradient[e / experts_ * dim_ + k];
    }
  }
  // Alone, where the experts have nothing to learn: gate_e (s_e − Σ_j gate_j s_j), s_e = ⟨d,
  // expert_e⟩.
  void gate_gradients(const layer_run& run) const {
    for (std::size_t s = 0; s < run.samples; ++s) {
      const auto gates = run.saved.subspan(s * experts_, experts_);
      const auto gradients = run.input_gradients[0].subspan(s * experts_, experts_);
      const auto d = run.output_gradient.subspan(s * dim_, dim_);
      for (std::size_t e = 0; e < experts_; ++e) {
        const auto expert = run.inputs[1].subspan((s * experts_ + e) * dim_, dim_);
        gradients[e] = std::inner_product(d.begin(), d.end(), expert.begin(), 0.0F);
      }
      const float mean = std::inner_product(gates.begin(), gates.end(), gradients.begin(), 0.0F);
      for (std::size_t e = 0; e < experts_; ++e) gradients[e] = gates[e] * (gradients[e] - mean);
    }
  }

  std::size_t experts_;
  std::size_t dim_;
};

}  // namespace

result<std::unique_ptr<layer>> make_mixture(const layer_section& section) {
  if (auto fits = expect_dense(section, 2, 2); !fits) return fits.error();
  const value_shape& gate = section.inputs[0];
  const value_shape& experts = section.inputs[1];
  const std::size_t count = gate.columns();
  const bool fits = experts.fields == 1 ? experts.dim % count == 0 : experts.fields == count;
  if (!fits)
    return error{
        errc::bad_config,
        "takes a gate and its experts, a vector for each number of the gate; the gate is " +
            describe(gate) + " and the experts are " + describe(experts) +
            ": units of the experts a multiple of " + std::to_string(count) +
            ", or so many vectors by concat"};
  return std::unique_ptr<layer>(std::make_unique<mixture_layer>(count, experts.columns() / count));
}

}  // namespace headrace::worker
