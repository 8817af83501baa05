#pragma once

#include "kernels/gemm/gemm.hpp"

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <span>

namespace headrace::bench {

/// A matrix without gaps, or its transpose.
struct matrix {
  const float* data;
  bool transposed = false;
};

struct product_size {
  std::size_t m;
  std::size_t n;
  std::size_t k;
};

/// C = op(A) op(B), or C += …: op(A) [m, k], op(B) [k, n], C [m, n].
inline void multiply(matrix a,
                     matrix b,
                     float* c,
                     const product_size& size,
                     bool accumulate,
                     std::span<float> workspace) {
  kernels::gemm({.a = a.data,
                 .a_stride = a.transposed ? size.m : size.k,
                 .a_transposed = a.transposed,
                 .b = b.data,
                 .b_stride = b.transposed ? size.k : size.n,
                 .b_transposed = b.transposed,
                 .c = c,
                 .c_stride = size.n,
                 .m = size.m,
                 .n = size.n,
                 .k = size.k,
                 .accumulate = accumulate,
                 .workspace = workspace});
}

/// Floats of workspace for any of these.
inline std::size_t products_workspace(std::initializer_list<product_size> sizes) {
  std::size_t most = 0;
  for (const auto& [m, n, k] : sizes) most = std::max(most, kernels::gemm_workspace(m, n, k));
  return most;
}

}  // namespace headrace::bench
