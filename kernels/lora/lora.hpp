#pragma once

#include <cstddef>
#include <span>

namespace headrace::kernels {

/// Low-rank adapter beside a frozen layer (Hu et al. 2021, arXiv 2106.09685, eq. 3): Y += s (X A)
/// B.
///
/// x [rows, inputs]; a [inputs, rank]; b [rank, outputs]; y [rows, outputs], added to: what the
/// frozen layer wrote is there. Out: hidden [rows, rank] = s X A, which backward needs. The scale s
/// is the paper's alpha / rank. Any size may be 0. workspace: at least lora_workspace(sizes)
/// floats; the reference needs none. Bound, while nothing over- or underflows: (inputs + rank + 8)
/// * 2^-24 *
/// (|what was there| + |s| (|X| |A|) |B|).
struct lora_sizes {
  std::size_t rows = 0;
  std::size_t inputs = 0;
  std::size_t rank = 0;
  std::size_t outputs = 0;
};

template <class Value>
struct basic_lora_forward_args {
  lora_sizes sizes;
  std::span<const Value> x;
  std::span<const Value> a;
  std::span<const Value> b;
  Value scale = Value{1};
  std::span<Value> hidden;
  std::span<Value> y;
  std::span<Value> workspace = {};
};
using lora_forward_args = basic_lora_forward_args<float>;

/// Floats that forward and backward need.
std::size_t lora_workspace(const lora_sizes& sizes);

void lora_forward_ref(const lora_forward_args& args);  // double accumulators
void lora_forward_ref(const basic_lora_forward_args<double>& args);
void lora_forward_cpu(const lora_forward_args& args);

inline void lora_forward(const lora_forward_args& args) { lora_forward_cpu(args); }

/// With dH = s dY Bᵀ: dX += dH Aᵀ, dA += Xᵀ dH, dB += hiddenᵀ dY.
///
/// x_gradients is added to, unlike other layers' gradients of inputs: the frozen layer's backward
/// wrote it before. It may be empty where nobody asks for it. `hidden` as forward left it. Bounds:
/// (outputs + rank + 8), (outputs + rows + 8), (rows + 8) * 2^-24 * (|what was there| + the same
/// product of magnitudes).
template <class Value>
struct basic_lora_backward_args {
  lora_sizes sizes;
  std::span<const Value> x;
  std::span<const Value> a;
  std::span<const Value> b;
  Value scale = Value{1};
  std::span<const Value> hidden;
  std::span<const Value> y_gradients;
  std::span<Value> x_gradients;
  std::span<Value> a_gradients;
  std::span<Value> b_gradients;
  std::span<Value> workspace = {};
};
using lora_backward_args = basic_lora_backward_args<float>;

void lora_backward_ref(const lora_backward_args& args);
void lora_backward_ref(const basic_lora_backward_args<double>& args);
void lora_backward_cpu(const lora_backward_args& args);

inline void lora_backward(const lora_backward_args& args) { lora_backward_cpu(args); }

}  // namespace headrace::kernels
