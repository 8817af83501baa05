#pragma once

#include "kernels/gather_fields/field_view.hpp"

#include <cstddef>
#include <span>

namespace headrace::kernels {

/// What is left of the columns of a sample.
enum class pairwise_output {
  per_sample,  // their sum, one value: the second order of a factorization machine
  per_column,  // all of them, dim values: bi-interaction pooling
};

/// Sum of the products of all pairs of a sample's fields (D2 of the kernel plan; Rendle, ICDM'10,
/// eq. 5; per column He and Chua, SIGIR'17, eq. 4): out = ½ Σ_k [(Σ_f v_fk)² − Σ_f v_fk²], or, per
/// column, the same without Σ_k.
///
/// fields [samples, fields, dim] with strides. Out: out [samples], or [samples, dim] per column;
/// sums [samples, dim] = Σ_f v_f, which backward needs. With fewer than two fields or dim 0 out is
/// 0 (one field: up to the bound). Bounds against exact, while nothing over- or underflows, with
/// S_k = Σ_f |v_fk|: sums (fields + 1) * 2^-24 * S_k; out (2 fields + dim + 8) * 2^-23 * ½ Σ_k
/// S_k², per column (2 fields + 8) * 2^-23 * ½ S_k².
template <class Value>
struct basic_pairwise_args {
  field_view<const Value> fields;
  pairwise_output output = pairwise_output::per_sample;
  std::span<Value> out;
  std::span<Value> sums;
};
using pairwise_args = basic_pairwise_args<float>;

void pairwise_ref(const pairwise_args& args);  // double accumulators
void pairwise_ref(const basic_pairwise_args<double>& args);
void pairwise_cpu(const pairwise_args& args);

inline void pairwise(const pairwise_args& args) { pairwise_cpu(args); }

/// Gradient of pairwise: dv_fk = g (sums_k − v_fk), with g = out_gradients of the sample, or of the
/// sample and column k.
///
/// `sums` as forward left them. Writes field_gradients, of the same samples, fields and dim as
/// `fields`, in a place and with strides of its own. Bound on these inputs, while nothing over- or
/// underflows: 2 * 2^-24 * |g (sums_k − v_fk)| * (1 + 2^-24); the CPU targets agree bit for bit.
template <class Value>
struct basic_pairwise_backward_args {
  field_view<const Value> fields;
  pairwise_output output = pairwise_output::per_sample;
  std::span<const Value> sums;
  std::span<const Value> out_gradients;
  field_view<Value> field_gradients;
};
using pairwise_backward_args = basic_pairwise_backward_args<float>;

void pairwise_backward_ref(const pairwise_backward_args& args);
void pairwise_backward_ref(const basic_pairwise_backward_args<double>& args);
void pairwise_backward_cpu(const pairwise_backward_args& args);

inline void pairwise_backward(const pairwise_backward_args& args) { pairwise_backward_cpu(args); }

}  // namespace headrace::kernels
