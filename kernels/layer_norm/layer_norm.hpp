#pragma once

#include <cstddef>
#include <span>

namespace headrace::kernels {

enum class norm_kind {
  layer,  // Ba et al., arXiv 1607.06450: takes the mean off, has a bias
  rms,    // Zhang and Sennrich, arXiv 1910.07467, eq. 4: neither
};

/// Normalizes rows: s = x + residual, xhat = (s - mean) * rstd, y = xhat * gain + bias.
///
/// mean = average of s, rstd = 1 / sqrt(average of (s - mean)^2 + epsilon); `rms` has mean 0 and no
/// bias. x [rows, dim]; residual likewise, or empty: then s = x and `sum` is empty. gain [dim];
/// bias [dim], empty for rms. Out: sum [rows, dim] = s, which backward and the next residual need;
/// y [rows, dim]; mean [rows], empty for rms; rstd [rows]. epsilon >= 0, dim >= 1. Finite values
/// whose squares' sum does not overflow. Outputs overlap no input. On one target the same call
/// gives the same bits; targets differ.
///
/// Bounds for floats, a row: ||y error||_2 <= 1e-5 * (||y - bias||_2 + ||gain||_2 * |mean| * rstd)
/// + 2^-23 * ||y||_2, where |mean| is in it because s and the mean are rounded to float; |mean
/// error|
/// <= 1e-6 * average |s|; rstd relative 1e-5 * (1 + |mean| * rstd); sum half an ulp.
template <class Value>
struct basic_layer_norm_forward_args {
  norm_kind kind = norm_kind::layer;
  std::span<const Value> x;
  std::span<const Value> residual = {};
  std::span<const Value> gain;
  std::span<const Value> bias = {};
  std::size_t dim = 1;
  Value epsilon = Value{1e-5};
  std::span<Value> sum = {};
  std::span<Value> y;
  std::span<Value> mean = {};
  std::span<Value> rstd;
};
using layer_norm_forward_args = basic_layer_norm_forward_args<float>;

void layer_norm_forward_ref(const layer_norm_forward_args& args);  // double accumulators
void layer_norm_forward_ref(const basic_layer_norm_forward_args<double>& args);
void layer_norm_forward_cpu(const layer_norm_forward_args& args);

inline void layer_norm_forward(const layer_norm_forward_args& args) {
  layer_norm_forward_cpu(args);
}

/// Gradients, with g = dy * gain and averages over the row:
/// dx = ds + rstd * (g - average(g) - xhat * average(g * xhat)), without average(g) for rms.
///
/// sum [rows, dim] is s (x where there was no residual), mean and rstd as forward left them; y's
/// gradients [rows, dim]; sum_gradients [rows, dim] = ds, what reaches `sum` by other ways, or
/// empty for none. Out: x_gradients [rows, dim], written: the gradient of x and of the residual
/// alike. Added to: gain_gradients [dim] += dy * xhat and bias_gradients [dim] += dy over the rows
/// in order; the latter empty for rms. Outputs overlap no input. Bits as forward.
///
/// Bounds for floats on these inputs, while nothing over- or underflows: ||dx error||_2 of a row <=
/// 1e-5 * (rstd * ||g||_2 + ||ds||_2); each gain or bias gradient (rows + 5) * 2^-24 * (|what was
/// there| + sum of |terms|).
template <class Value>
struct basic_layer_norm_backward_args {
  norm_kind kind = norm_kind::layer;
  std::span<const Value> sum;
  std::span<const Value> gain;
  std::size_t dim = 1;
  std::span<const Value> mean = {};
  std::span<const Value> rstd;
  std::span<const Value> y_gradients;
  std::span<const Value> sum_gradients = {};
  std::span<Value> x_gradients;
  std::span<Value> gain_gradients;
  std::span<Value> bias_gradients = {};
};
using layer_norm_backward_args = basic_layer_norm_backward_args<float>;

void layer_norm_backward_ref(const layer_norm_backward_args& args);  // double accumulators
void layer_norm_backward_ref(const basic_layer_norm_backward_args<double>& args);
void layer_norm_backward_cpu(const layer_norm_backward_args& args);

inline void layer_norm_backward(const layer_norm_backward_args& args) {
  layer_norm_backward_cpu(args);
}

}  // namespace headrace::kernels
