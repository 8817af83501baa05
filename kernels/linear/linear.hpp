#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// φ of a layer. silu(z) = z σ(z); gelu(z) = z/2 (1 + tanh(√(2/π) (z + 0.044715 z³))) = z σ(2
/// √(2/π) (…)), the tanh form of Hendrycks and Gimpel, arXiv 1606.08415, section 2. NaN stays NaN.
enum class linear_activation : std::uint8_t { none, relu, sigmoid, silu, gelu, tanh };

/// Whether backward reads the pre-activations (`saved`) of these.
constexpr bool linear_reads_saved(linear_activation activation) {
  return activation == linear_activation::silu || activation == linear_activation::gelu;
}
/// Whether backward reads the outputs (`y`) of these.
constexpr bool linear_reads_y(linear_activation activation) {
  return activation == linear_activation::relu || activation == linear_activation::sigmoid ||
         activation == linear_activation::tanh;
}

/// A dense layer: y = φ(z), z = x W + b.
///
/// x [rows, in], weights W [in, out], bias b [out] or empty (0), all row-major. Out: y [rows, out];
/// saved [rows, out] = z where linear_reads_saved, else empty. Sizes may be 0. Outputs overlap
/// nothing. On one target the same call gives the same bits; targets differ. Bounds of the CPU
/// version against exact arithmetic, while nothing over- or underflows, with u = 2^-24:
/// |z error| <= e = (in + 3) u (Σ|x w| + |b|), |y error| <= 1.13 e + 16 u (1 + |y|).
/// 1.13 is the largest slope of any φ (gelu's).
template <class Value>
struct basic_linear_args {
  std::span<const Value> x;
  std::span<const Value> weights;
  std::span<const Value> bias = {};
  std::size_t rows = 0;
  std::size_t in = 0;
  std::size_t out = 0;
  linear_activation activation = linear_activation::none;
  std::span<Value> y;
  std::span<Value> saved = {};
  /// At least linear_workspace(rows, in, out) values; the reference needs none.
  std::span<Value> workspace = {};
};
using linear_args = basic_linear_args<float>;

/// Floats of workspace for forward as for backward; never more for fewer rows.
std::size_t linear_workspace(std::size_t rows, std::size_t in, std::size_t out);

void linear_forward_ref(const linear_args& args);  // double accumulators
void linear_forward_ref(const basic_linear_args<double>& args);
void linear_forward_cpu(const linear_args& args);

inline void linear_forward(const linear_args& args) { linear_forward_cpu(args); }

/// Gradients of the loss, with dz = dy φ'(z): dx = dz Wᵀ, dW += xᵀ dz, db += Σ_rows dz.
///
/// x, weights as in forward; y and saved as forward left them (each may be empty where it isn't
/// read); dy [rows, out]. Overwrites dx [rows, in], or leaves it out if empty; adds to dweights
/// [in, out] and to dbias [out], which may be empty. relu passes dy on where y > 0 (or NaN).
/// Outputs overlap nothing. Bounds of the CPU version, on these inputs, while nothing over- or
/// underflows: |dx error| <= 1.13 (out + 20) u Σ|dy w|, |dW error| <= (rows + 20) u (1.13 Σ|x dy| +
/// |what was there|), db likewise without x.
template <class Value>
struct basic_linear_backward_args {
  std::span<const Value> x;
  std::span<const Value> weights;
  std::span<const Value> y = {};
  std::span<const Value> saved = {};
  std::span<const Value> dy;
  std::size_t rows = 0;
  std::size_t in = 0;
  std::size_t out = 0;
  linear_activation activation = linear_activation::none;
  std::span<Value> dx = {};
  std::span<Value> dweights;
  std::span<Value> dbias = {};
  std::span<Value> workspace = {};  // as in forward
};
using linear_backward_args = basic_linear_backward_args<float>;

void linear_backward_ref(const linear_backward_args& args);
void linear_backward_ref(const basic_linear_backward_args<double>& args);
void linear_backward_cpu(const linear_backward_args& args);

inline void linear_backward(const linear_backward_args& args) { linear_backward_cpu(args); }

}  // namespace headrace::kernels
