#include "base/check.hpp"
#include "kernels/gate_mix/gate_mix.hpp"

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gate_mix/gate_mix_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/softmax_loss/softmax_row-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

HWY_INLINE void softmax(const float* logits, std::size_t n, float* gates) {
  const float total = exp_row(logits, n, row_max(logits, n), gates);
  scale_row(gates, n, 1.0F / total);
}

/// out = Σ_e gates_e experts_e for the first `vectors` * Lanes(d) columns.
template <std::size_t vectors, class D>
HWY_INLINE void mix_columns(
    D d, const float* gates, const float* experts, std::size_t n, std::size_t dim, float* out) {
  const std::size_t lanes = hn::Lanes(d);
  hn::Vec<D> sums[vectors];
  for (std::size_t i = 0; i < vectors; ++i) sums[i] = hn::Zero(d);
  for (std::size_t e = 0; e < n; ++e) {
    const auto gate = hn::Set(d, gates[e]);
    for (std::size_t i = 0; i < vectors; ++i) {
      sums[i] = hn::MulAdd(gate, hn::LoadU(d, experts + e * dim + i * lanes), sums[i]);
    }
  }
  for (std::size_t i = 0; i < vectors; ++i) hn::StoreU(sums[i], d, out + i * lanes);
}

/// out = Σ_e gates_e experts_e.
HWY_INLINE void mix(
    const float* gates, const float* experts, std::size_t n, std::size_t dim, float* out) {
  const hn::CappedTag<float, lanes_max> wide;
  const std::size_t step = 4 * hn::Lanes(wide);
  std::size_t k = 0;
  for (; k + step <= dim; k += step) mix_columns<4>(wide, gates, experts + k, n, dim, out + k);
  for_columns(k, dim, [gates, experts, n, dim, out](auto d, std::size_t column) HWY_ATTR {
    mix_columns<1>(d, gates, experts + column, n, dim, out + column);
  });
}

void gate_mix_target(const gate_mix_args& args) {
  const std::size_t rows = args.gate_logits.size() / args.experts;
  // First all gates: a row's softmax is a chain of latencies that the next row's hides.
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t first = r * args.experts;
    softmax(args.gate_logits.data() + first, args.experts, args.gates.data() + first);
  }
  for (std::size_t r = 0; r < rows; ++r) {
    mix(args.gates.data() + r * args.experts,
        args.expert_outputs.data() + r * args.experts * args.dim,
        args.experts,
        args.dim,
        args.outputs.data() + r * args.dim);
  }
}

/// gradient = gate * d; returns ⟨d, expert⟩.
HWY_INLINE float product_and_gradient(
    float gate, const float* expert, const float* d_out, std::size_t dim, float* gradient) {
  return sum_columns(dim, [gate, expert, d_out, gradient](auto d, std::size_t k) HWY_ATTR {
    const auto g = hn::LoadU(d, d_out + k);
    hn::StoreU(hn::Mul(hn::Set(d, gate), g), d, gradient + k);
    return hn::Mul(g, hn::LoadU(d, expert + k));
  });
}

/// gradients, where the products ⟨d, expert_e⟩ are, become g_e (product − Σ g product).
HWY_INLINE void to_logit_gradients(const float* gates, std::size_t n, float* gradients) {
  float mean = 0.0F;
  for (std::size_t e = 0; e < n; ++e) mean += gates[e] * gradients[e];
  for (std::size_t e = 0; e < n; ++e) gradients[e] = gates[e] * (gradients[e] - mean);
}

void gate_mix_backward_target(const gate_mix_backward_args& args) {
  const std::size_t rows = args.gates.size() / args.experts;
  for (std::size_t r = 0; r < rows; ++r) {
    const float* gates = args.gates.data() + r * args.experts;
    const float* d_out = args.output_gradients.data() + r * args.dim;
    float* logit_gradients = args.gate_logit_gradients.data() + r * args.experts;
    for (std::size_t e = 0; e < args.experts; ++e) {
      const std::size_t at = (r * args.experts + e) * args.dim;
      logit_gradients[e] = product_and_gradient(gates[e],
                                                args.expert_outputs.data() + at,
                                                d_out,
                                                args.dim,
                                                args.expert_gradients.data() + at);
    }
    to_logit_gradients(gates, args.experts, logit_gradients);
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(gate_mix_target);
HWY_EXPORT(gate_mix_backward_target);

void gate_mix_cpu(const gate_mix_args& args) {
  CHECK(args.experts > 0);
  CHECK(args.gate_logits.size() % args.experts == 0);
  CHECK(args.expert_outputs.size() == args.gate_logits.size() * args.dim);
  CHECK(args.gates.size() == args.gate_logits.size());
  CHECK(args.outputs.size() == args.gate_logits.size() / args.experts * args.dim);
  HWY_DYNAMIC_DISPATCH(gate_mix_target)(args);
}

void gate_mix_backward_cpu(const gate_mix_backward_args& args) {
  CHECK(args.experts > 0);
  CHECK(args.gates.size() % args.experts == 0);
  CHECK(args.expert_outputs.size() == args.gates.size() * args.dim);
  CHECK(args.output_gradients.size() == args.gates.size() / args.experts * args.dim);
  CHECK(args.gate_logit_gradients.size() == args.gates.size());
  CHECK(args.expert_gradients.size() == args.expert_outputs.size());
  HWY_DYNAMIC_DISPATCH(gate_mix_backward_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
