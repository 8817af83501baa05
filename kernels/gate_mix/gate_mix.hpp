#pragma once

#include <cstddef>
#include <span>

namespace headrace::kernels {

/// The gate of a multi-gate mixture of experts (Ma et al., KDD'18, section 4.2):
/// g = softmax(gate logits), out = Σ_e g_e expert_e.
///
/// gate_logits [rows, experts], experts >= 1; expert_outputs [rows, experts, dim]. Out: gates
/// [rows, experts], which backward needs; outputs [rows, dim]. A NaN among a row's logits makes the
/// row NaN. Bounds of the CPU version, with u = 2^-24, D = max |logit| of the row: gates (8 D +
/// experts + 16) u relative (down to 2^-120), outputs (8 D + 2 experts + 20) u Σ_e g_e |expert_e|.
template <class Value>
struct basic_gate_mix_args {
  std::span<const Value> gate_logits;
  std::span<const Value> expert_outputs;
  std::size_t experts = 0;
  std::size_t dim = 0;
  std::span<Value> gates;
  std::span<Value> outputs;
};
using gate_mix_args = basic_gate_mix_args<float>;

void gate_mix_ref(const gate_mix_args& args);
void gate_mix_ref(const basic_gate_mix_args<double>& args);
void gate_mix_cpu(const gate_mix_args& args);

inline void gate_mix(const gate_mix_args& args) { gate_mix_cpu(args); }

/// With d = output gradients [rows, dim], s_e = ⟨d, expert_e⟩: expert_gradients_e = g_e d and
/// gate_logit_gradients_e = g_e (s_e − Σ_j g_j s_j). Both are written.
///
/// Bounds of the CPU version on these gates, with S_e = Σ_k |d_k expert_ek|: expert gradients u
/// relative; logit gradients (dim + experts + 8) u g_e (S_e + Σ_j g_j S_j).
template <class Value>
struct basic_gate_mix_backward_args {
  std::span<const Value> gates;
  std::span<const Value> expert_outputs;
  std::size_t experts = 0;
  std::size_t dim = 0;
  std::span<const Value> output_gradients;
  std::span<Value> gate_logit_gradients;
  std::span<Value> expert_gradients;
};
using gate_mix_backward_args = basic_gate_mix_backward_args<float>;

void gate_mix_backward_ref(const gate_mix_backward_args& args);
void gate_mix_backward_ref(const basic_gate_mix_backward_args<double>& args);
void gate_mix_backward_cpu(const gate_mix_backward_args& args);

inline void gate_mix_backward(const gate_mix_backward_args& args) { gate_mix_backward_cpu(args); }

}  // namespace headrace::kernels
