#pragma once

#include "kernels/gather_fields/field_view.hpp"

#include <cstddef>
#include <span>

namespace headrace::kernels {

/// Pairs of different fields, and where the pair (i, j) with j < i stands in a row of outputs.
constexpr std::size_t field_pairs(std::size_t fields) {
  return fields == 0 ? 0 : fields * (fields - 1) / 2;
}
constexpr std::size_t pair_index(std::size_t i, std::size_t j) { return i * (i - 1) / 2 + j; }

/// Most fields that dot_interaction takes.
constexpr std::size_t dot_interaction_fields_max = 64;

/// Inner products of all pairs of a sample's fields (D3 of the kernel plan; DLRM, Naumov et al.
/// 2019, section 2.1.3): out[s, pair_index(i, j)] = <e_si, e_sj> for j < i, the strictly lower
/// triangle of E Eᵀ row by row.
///
/// fields [samples, fields, dim] with strides, fields <= 64. out [samples, field_pairs(fields)],
/// out_stride >= field_pairs(fields) values apart (nothing between is touched); it overlaps neither
/// fields nor workspace. Deterministic on one target; targets differ. Bound against exact, while
/// nothing over- or underflows: (dim + 1) * 2^-24 * Σ_k |e_ik e_jk|.
template <class Value>
struct basic_dot_interaction_args {
  field_view<const Value> fields;
  std::span<Value> out;
  std::size_t out_stride = 0;
  /// At least dot_interaction_workspace(fields, dim) values; the reference needs none.
  std::span<Value> workspace = {};
};
using dot_interaction_args = basic_dot_interaction_args<float>;

/// Floats of workspace that the forward pass needs: one sample, transposed.
constexpr std::size_t dot_interaction_workspace(std::size_t fields, std::size_t dim) {
  return (fields + 15) / 16 * 16 * dim;
}

void dot_interaction_ref(const dot_interaction_args& args);  // double accumulators
void dot_interaction_ref(const basic_dot_interaction_args<double>& args);
void dot_interaction_cpu(const dot_interaction_args& args);

inline void dot_interaction(const dot_interaction_args& args) { dot_interaction_cpu(args); }

/// Gradient of dot_interaction: de_si = Σ_{j != i} g_s{i,j} e_sj, that is dE = (G + Gᵀ) E.
///
/// out_gradients laid out as out. Writes field_gradients, of the same samples, fields and dim as
/// `fields`, in a place and with strides of its own; it overlaps no input. Needs no workspace.
/// Bound against exact, while nothing over- or underflows: (fields + 1) * 2^-24 * Σ_j |g_ij e_jk|.
template <class Value>
struct basic_dot_interaction_backward_args {
  field_view<const Value> fields;
  std::span<const Value> out_gradients;
  std::size_t out_stride = 0;
  field_view<Value> field_gradients;
};
using dot_interaction_backward_args = basic_dot_interaction_backward_args<float>;

void dot_interaction_backward_ref(const dot_interaction_backward_args& args);
void dot_interaction_backward_ref(const basic_dot_interaction_backward_args<double>& args);
void dot_interaction_backward_cpu(const dot_interaction_backward_args& args);

inline void dot_interaction_backward(const dot_interaction_backward_args& args) {
  dot_interaction_backward_cpu(args);
}

}  // namespace headrace::kernels
