#pragma once

#include <cstddef>
#include <span>

namespace headrace::kernels {

/// Sizes of one cross layer. rank 0 is a full matrix, else the matrix is V Uᵀ of that rank.
struct cross_shape {
  std::size_t rows = 0;
  std::size_t dim = 0;
  std::size_t rank = 0;
};

/// Parameters of one cross layer. Matrices are weights [in, out], applied from the right: x [rows,
/// in] times W. (The paper writes columns, W x; its W is this one transposed.)
template <class Value>
struct cross_weights {
  std::span<Value> full = {};  // W [dim, dim]; empty with a rank
  std::span<Value> down = {};  // V [dim, rank]; empty without
  std::span<Value> up = {};    // U [dim, rank], used transposed; empty without
  std::span<Value> bias = {};  // [dim]
};

/// One layer of the cross network v2 (D4 of the kernel plan; DCN-V2, Wang et al. 2020, eq. 1, low
/// rank eq. 2): out = x0 ⊙ u + x with u = x W + b, or u = (x V) Uᵀ + b.
///
/// x0, x [rows, dim], in the first layer the same buffer. Out: out [rows, dim]; what backward
/// needs: affine u [rows, dim], projected x V [rows, rank] (empty without a rank). Outputs overlap
/// nothing else. Deterministic on one target; targets differ. Bound against exact, while nothing
/// over- or underflows, for u, x V and out: (dim + rank + 8) * 2^-24 * the same formula on absolute
/// values.
template <class Value>
struct basic_cross_args {
  cross_shape shape;
  std::span<const Value> x0;
  std::span<const Value> x;
  cross_weights<const Value> weights;
  std::span<Value> out;
  std::span<Value> affine;
  std::span<Value> projected = {};
  /// At least cross_workspace(shape) values; the reference needs none.
  std::span<Value> workspace = {};
};
using cross_args = basic_cross_args<float>;

/// Floats of workspace of the forward pass; of the backward pass. Never more for fewer rows.
std::size_t cross_workspace(const cross_shape& shape);
std::size_t cross_backward_workspace(const cross_shape& shape);

void cross_ref(const cross_args& args);  // double accumulators
void cross_ref(const basic_cross_args<double>& args);
void cross_cpu(const cross_args& args);

inline void cross(const cross_args& args) { cross_cpu(args); }

/// Gradient of cross, with g = out_gradients and du = g ⊙ x0: dx = g + du Wᵀ, dx0 += g ⊙ u, dW +=
/// xᵀ du, db += Σ du over rows; low rank: with dt = du U, dx = g + dt Vᵀ, dV += xᵀ dt, dU += duᵀ (x
/// V).
///
/// Writes x_gradients [rows, dim]. ADDS to x0_gradients [rows, dim], since every layer of a network
/// adds to the same: the caller zeroes it first, and adds the first layer's x_gradients to it last,
/// as x is x0 there. ADDS to the gradients of the parameters. x_gradients may be out_gradients
/// itself; apart from that, outputs overlap nothing. affine and projected as forward left them.
/// Deterministic on one target. Bound on these inputs, while nothing over- or underflows: (dim +
/// rows
/// + rank + 8) * 2^-24 * the same formula on absolute values (with what was there before).
template <class Value>
struct basic_cross_backward_args {
  cross_shape shape;
  std::span<const Value> x0;
  std::span<const Value> x;
  cross_weights<const Value> weights;
  std::span<const Value> affine;
  std::span<const Value> projected = {};
  std::span<const Value> out_gradients;
  std::span<Value> x_gradients;
  std::span<Value> x0_gradients;
  cross_weights<Value> weight_gradients;
  /// At least cross_backward_workspace(shape) values; the reference needs none.
  std::span<Value> workspace = {};
};
using cross_backward_args = basic_cross_backward_args<float>;

void cross_backward_ref(const cross_backward_args& args);
void cross_backward_ref(const basic_cross_backward_args<double>& args);
void cross_backward_cpu(const cross_backward_args& args);

inline void cross_backward(const cross_backward_args& args) { cross_backward_cpu(args); }

}  // namespace headrace::kernels
