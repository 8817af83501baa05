// Products with a handful of rows or columns, without tiles: bound by reading the other matrix
// once. Included once for each target by gemm_cpu.cpp (no `#pragma once`: Highway's toggle is the
// guard).
#if defined(HEADRACE_KERNELS_GEMM_THIN_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_GEMM_THIN_INL_HPP
#undef HEADRACE_KERNELS_GEMM_THIN_INL_HPP
#else
#define HEADRACE_KERNELS_GEMM_THIN_INL_HPP
#endif

#include "kernels/gemm/blocks.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/gemm/tile-inl.hpp"
#include "kernels/runtime/columns-inl.hpp"

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// A matrix read element by element: at(i, j) = data[i * row + j * column].
struct thin_matrix {
  const float* data;
  std::size_t row;
  std::size_t column;
};

/// C [rows, n], rows apart by c_stride, = or += thin [rows, k] times wide [k, n], rows of which are
/// contiguous.
struct row_product {
  thin_matrix thin;
  const float* wide;
  std::size_t wide_stride;
  float* c;
  std::size_t c_stride;
  std::size_t k;
  bool accumulate;
};

/// Adds `steps` rows of `wide` from p on to columns [begin, end) of C.
template <std::size_t rows, std::size_t steps>
HWY_INLINE void add_steps(const row_product& of,
                          std::size_t p,
                          std::size_t begin,
                          std::size_t end) {
  std::array<std::array<float, steps>, rows> factors;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t s = 0; s < steps; ++s) {
      factors[i][s] = of.thin.data[i * of.thin.row + (p + s) * of.thin.column];
    }
  }
  const float* wide = of.wide + p * of.wide_stride;
  const bool fresh = p == 0 && !of.accumulate;
  for_columns(begin, end, [&](auto d, std::size_t j) HWY_ATTR {
    std::array<hn::Vec<decltype(d)>, steps> values;
    unrolled<steps>([&](auto s)
                        HWY_ATTR { values[s] = hn::LoadU(d, wide + s * of.wide_stride + j); });
    unrolled<rows>([&](auto i) HWY_ATTR {
      float* to = of.c + i * of.c_stride + j;
      auto sum = fresh ? hn::Zero(d) : hn::LoadU(d, to);
      unrolled<steps>(
          [&](auto s) HWY_ATTR { sum = hn::MulAdd(hn::Set(d, factors[i][s]), values[s], sum); });
      hn::StoreU(sum, d, to);
    });
  });
}

template <std::size_t rows>
void multiply_rows(const row_product& of, std::size_t n) {
  constexpr std::size_t steps = 4;
  constexpr std::size_t columns = 1024;  // of C stay in L1
  for (std::size_t j = 0; j < n; j += columns) {
    const std::size_t end = std::min(j + columns, n);
    std::size_t p = 0;
    for (; p + steps <= of.k; p += steps) add_steps<rows, steps>(of, p, j, end);
    for (; p < of.k; ++p) add_steps<rows, 1>(of, p, j, end);
  }
}

/// c[i * thin_step + j * wide_step] = or += <thin row i, wide row j>, rows contiguous over k.
struct dot_product {
  const float* thin;
  std::size_t thin_stride;
  const float* wide;
  std::size_t wide_stride;
  float* c;
  std::size_t thin_step;
  std::size_t wide_step;
  std::size_t k;
  bool accumulate;
};

/// The dots of all thin rows with the wide rows j … j + count - 1.
template <std::size_t rows, std::size_t count>
HWY_INLINE void multiply_dots(const dot_product& of, std::size_t j) {
  const float_tag d;
  const float* wide = of.wide + j * of.wide_stride;
  std::array<std::array<float_vector, count>, rows> sums;
  unrolled<rows * count>([&](auto at) HWY_ATTR { sums[at / count][at % count] = hn::Zero(d); });
  std::size_t p = 0;
  for (; p + lanes <= of.k; p += lanes) {
    std::array<float_vector, count> values;
    unrolled<count>([&](auto q)
                        HWY_ATTR { values[q] = hn::LoadU(d, wide + q * of.wide_stride + p); });
    unrolled<rows>([&](auto i) HWY_ATTR {
      const float_vector left = hn::LoadU(d, of.thin + i * of.thin_stride + p);
      unrolled<count>([&](auto q)
                          HWY_ATTR { sums[i][q] = hn::MulAdd(left, values[q], sums[i][q]); });
    });
  }
  unrolled<rows * count>([&](auto at) HWY_ATTR {
    constexpr std::size_t i = at / count;
    constexpr std::size_t q = at % count;
    float sum = hn::GetLane(hn::SumOfLanes(d, sums[i][q]));
    for (std::size_t rest = p; rest < of.k; ++rest) {
      sum += of.thin[i * of.thin_stride + rest] * wide[q * of.wide_stride + rest];
    }
    float& to = of.c[i * of.thin_step + (j + q) * of.wide_step];
    to = of.accumulate ? to + sum : sum;
  });
}

template <std::size_t rows>
void multiply_all_dots(const dot_product& of, std::size_t wide_rows) {
  constexpr std::size_t count = rows <= 2 ? 4 : 2;  // sums in registers: 4 … 8
  std::size_t j = 0;
  for (; j + count <= wide_rows; j += count) multiply_dots<rows, count>(of, j);
  for (; j < wide_rows; ++j) multiply_dots<rows, 1>(of, j);
}

/// Calls work(n) with n in 1 … thin_max as a constant.
template <class Work>
HWY_INLINE void with_constant(std::size_t n, const Work& work) {
  unrolled<thin_max>([&](auto i) HWY_ATTR {
    if (i + 1 == n) work(std::integral_constant<std::size_t, i + 1>());
  });
}

/// Dots of `rows` rows of a thin matrix, copied into the workspace where they aren't contiguous.
HWY_INLINE void multiply_dots_in_parts(const thin_matrix& thin,
                                       std::size_t rows,
                                       dot_product of,
                                       std::size_t wide_rows,
                                       float* workspace) {
  const std::size_t k = of.k;
  const std::size_t depth = block_depth(k);
  const float* wide = of.wide;
  for (std::size_t p = 0; p < k; p += depth) {
    of.k = std::min(depth, k - p);
    of.wide = wide + p;
    of.thin = thin.data + p;
    of.thin_stride = thin.row;
    if (thin.column != 1) {
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t q = 0; q < of.k; ++q) {
          workspace[i * depth + q] = thin.data[i * thin.row + (p + q) * thin.column];
        }
      }
      of.thin = workspace;
      of.thin_stride = depth;
    }
    with_constant(rows, [&](auto n) HWY_ATTR { multiply_all_dots<n>(of, wide_rows); });
    of.accumulate = true;
  }
}

/// C's rows as sums of B's rows: A has few rows, or few columns.
HWY_INLINE void add_right_rows(const gemm_args& args, const thin_matrix& a) {
  row_product of = {.thin = a,
                    .wide = args.b,
                    .wide_stride = args.b_stride,
                    .c = args.c,
                    .c_stride = args.c_stride,
                    .k = args.k,
                    .accumulate = args.accumulate};
  if (args.m == 2) return multiply_rows<2>(of, args.n);
  for (std::size_t i = 0; i < args.m; ++i) {
    multiply_rows<1>(of, args.n);
    of.thin.data += a.row;
    of.c += args.c_stride;
  }
}

/// C's only column, without gaps, as a sum of the rows that a transposed A is stored in.
HWY_INLINE void add_left_rows(const gemm_args& args, const thin_matrix& b_rows) {
  multiply_rows<1>({.thin = b_rows,
                    .wide = args.a,
                    .wide_stride = args.a_stride,
                    .c = args.c,
                    .c_stride = args.c_stride,
                    .k = args.k,
                    .accumulate = args.accumulate},
                   args.m);
}

/// Whether the product was thin and is done.
HWY_INLINE bool multiply_thin(const gemm_args& args) {
  const thin_matrix a = {.data = args.a,
                         .row = args.a_transposed ? 1 : args.a_stride,
                         .column = args.a_transposed ? args.a_stride : 1};
  const thin_matrix b_rows = {.data = args.b,  // op(B) transposed: [n, k]
                              .row = args.b_transposed ? args.b_stride : 1,
                              .column = args.b_transposed ? 1 : args.b_stride};
  dot_product dots = {.thin = nullptr,
                      .thin_stride = 0,
                      .wide = args.b,
                      .wide_stride = args.b_stride,
                      .c = args.c,
                      .thin_step = args.c_stride,
                      .wide_step = 1,
                      .k = args.k,
                      .accumulate = args.accumulate};
  if (!args.b_transposed && (args.m <= added_rows_max || args.k <= thin_max)) {
    add_right_rows(args, a);
    return true;
  }
  if (args.b_transposed && args.m <= thin_max) {
    multiply_dots_in_parts(a, args.m, dots, args.n, args.workspace.data());
    return true;
  }
  if (args.n <= thin_max && !args.a_transposed) {
    dots.wide = args.a;
    dots.wide_stride = args.a_stride;
    dots.thin_step = 1;
    dots.wide_step = args.c_stride;
    multiply_dots_in_parts(b_rows, args.n, dots, args.m, args.workspace.data());
    return true;
  }
  if (args.n == 1 && args.a_transposed && args.c_stride == 1) {
    add_left_rows(args, b_rows);
    return true;
  }
  return false;
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
