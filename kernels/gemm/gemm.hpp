#pragma once

#include <cstddef>
#include <span>

namespace headrace::kernels {

/// C = op(A) op(B), or C += op(A) op(B): matrices of one type, row-major, one thread.
///
/// op(A) is [m, k]: A [m, k] with rows `a_stride` apart, or, where `a_transposed`, A [k, m]. op(B)
/// is [k, n], likewise; C [m, n]. A stride is at least the width of what is stored. Sizes may be 0:
/// with k = 0, C is zeroed or left. C overlaps neither A nor B. On one target the same call gives
/// the same bits; targets differ (fused multiply-adds, other orders of summation). Bound for
/// floats: (k + 2) * 2^-24 * (Σ|a b| + |c|), while nothing over- or underflows.
template <class Value>
struct basic_gemm_args {
  const Value* a = nullptr;
  std::size_t a_stride = 0;
  bool a_transposed = false;
  const Value* b = nullptr;
  std::size_t b_stride = 0;
  bool b_transposed = false;
  Value* c = nullptr;
  std::size_t c_stride = 0;
  std::size_t m = 0;
  std::size_t n = 0;
  std::size_t k = 0;
  bool accumulate = false;
  /// Room for packed panels, at least gemm_workspace(m, n, k) values; the reference needs none.
  std::span<Value> workspace = {};
};
using gemm_args = basic_gemm_args<float>;

/// Floats of workspace that gemm needs for these sizes; never more for a smaller m, n or k.
std::size_t gemm_workspace(std::size_t m, std::size_t n, std::size_t k);

void gemm_ref(const gemm_args& args);  // double accumulators
void gemm_ref(const basic_gemm_args<double>& args);
void gemm_cpu(const gemm_args& args);

inline void gemm(const gemm_args& args) { gemm_cpu(args); }

}  // namespace headrace::kernels
