#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

enum class ffn_form {
  relu,    // h = max(x W1, 0)
  swiglu,  // h = SiLU(x W1) ⊙ (x W3), SiLU(u) = u / (1 + e^-u) (Shazeer, arXiv 2002.05202, eq. 6)
};

/// Sizes of the feed-forward nets of a mixture of experts.
struct ffn_sizes {
  ffn_form form = ffn_form::swiglu;
  std::size_t experts = 1;
  std::size_t dim = 1;     // D
  std::size_t hidden = 1;  // H
};

/// Each expert's own two-layer net over its own rows: y = h W2, h by the form.
///
/// offsets [experts + 1], ascending from 0: rows offsets[e] up to offsets[e + 1] are expert e's, of
/// R = offsets[experts] in all. x [R, D]; w1 [experts, D, H]; w3 likewise for swiglu, else empty;
/// w2 [experts, H, D]. Out: first [R, H], for backward: x W1, or h for relu; third [R, H] = x W3,
/// empty for relu; y [R, D]. Outputs overlap no input and each other. Weights of an expert without
/// rows are not read. Values are finite. On one target the same call gives the same bits; targets
/// differ. Bound for floats: relative error in the 2-norm of each output, over all rows, 1e-5 for D
/// and H up to 4,096.
template <class Value>
struct basic_grouped_ffn_args {
  ffn_sizes sizes;
  std::span<const std::uint32_t> offsets;
  std::span<const Value> x;
  std::span<const Value> w1;
  std::span<const Value> w3 = {};
  std::span<const Value> w2;
  std::span<Value> first;
  std::span<Value> third = {};
  std::span<Value> y;
  /// At least grouped_ffn_workspace(...) values; the reference needs none.
  std::span<Value> workspace = {};
};
using grouped_ffn_args = basic_grouped_ffn_args<float>;

/// Floats of workspace for up to `rows` rows in all, forward and backward; never more for fewer.
std::size_t grouped_ffn_workspace(const ffn_sizes& sizes, std::size_t rows);

void grouped_ffn_ref(const grouped_ffn_args& args);  // double accumulators
void grouped_ffn_ref(const basic_grouped_ffn_args<double>& args);
void grouped_ffn_cpu(const grouped_ffn_args& args);

inline void grouped_ffn(const grouped_ffn_args& args) { grouped_ffn_cpu(args); }

/// Gradients of grouped_ffn, of loss with dy = y_gradients [R, D].
///
/// x, weights, first and third as forward had and left them. Writes x_gradients [R, D], which may
/// be y_gradients itself but overlaps nothing else. Adds to w1_gradients, w3_gradients (empty for
/// relu) and w2_gradients, of the shapes of the weights; those of an expert without rows are not
/// touched, so its parameters stay as they are. relu's derivative at 0 is 0. Bits and bound as
/// forward, of each gradient, the parameters' without what was there.
template <class Value>
struct basic_grouped_ffn_backward_args {
  ffn_sizes sizes;
  std::span<const std::uint32_t> offsets;
  std::span<const Value> x;
  std::span<const Value> w1;
  std::span<const Value> w3 = {};
  std::span<const Value> w2;
  std::span<const Value> first;
  std::span<const Value> third = {};
  std::span<const Value> y_gradients;
  std::span<Value> x_gradients;
  std::span<Value> w1_gradients;
  std::span<Value> w3_gradients = {};
  std::span<Value> w2_gradients;
  std::span<Value> workspace = {};
};
using grouped_ffn_backward_args = basic_grouped_ffn_backward_args<float>;

void grouped_ffn_backward_ref(const grouped_ffn_backward_args& args);  // double accumulators
void grouped_ffn_backward_ref(const basic_grouped_ffn_backward_args<double>& args);
void grouped_ffn_backward_cpu(const grouped_ffn_backward_args& args);

inline void grouped_ffn_backward(const grouped_ffn_backward_args& args) {
  grouped_ffn_backward_cpu(args);
}

}  // namespace headrace::kernels
