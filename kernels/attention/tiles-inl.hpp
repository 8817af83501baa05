// Small matrix products in registers, as attention needs them. Included once for each target by
// attention's *_cpu.cpp files (no `#pragma once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_ATTENTION_TILES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_ATTENTION_TILES_INL_HPP
#undef HEADRACE_KERNELS_ATTENTION_TILES_INL_HPP
#else
#define HEADRACE_KERNELS_ATTENTION_TILES_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE::attention_parts {

namespace hn = hwy::HWY_NAMESPACE;

using float_tag = hn::CappedTag<float, 16>;

inline std::size_t lanes() { return hn::Lanes(float_tag()); }

/// C = A B, or C = C ⊙ factor + A B: A[i, p] at a[i * a_row + p * a_step], rows of B and C
/// contiguous.
struct product {
  const float* a;
  std::size_t a_row;
  std::size_t a_step;
  const float* b;
  std::size_t b_row;
  float* c;
  std::size_t c_row;
  std::size_t k;
  bool add = false;
  const float* factor = nullptr;  // one a column; null = 1
};

/// One row's share of a step: its value of A times one or two vectors of B.
template <std::size_t vectors, class V>
HWY_INLINE void add_step(const float* a, V b0, V b1, V& c0, V& c1) {
  const auto value = hn::Set(float_tag(), *a);
  c0 = hn::MulAdd(value, b0, c0);
  if constexpr (vectors == 2) c1 = hn::MulAdd(value, b1, c1);
}

template <class V>
HWY_INLINE void store_sum(const product& p, std::size_t row, std::size_t column, V sum) {
  const float_tag d;
  float* c = p.c + row * p.c_row + column;
  if (p.add) {
    const auto factor = p.factor == nullptr ? hn::Set(d, 1.0F) : hn::LoadU(d, p.factor + column);
    sum = hn::MulAdd(hn::LoadU(d, c), factor, sum);
  }
  hn::StoreU(sum, d, c);
}
template <std::size_t vectors, class V>
HWY_INLINE void store_sums(const product& p, std::size_t row, std::size_t column, V c0, V c1) {
  store_sum(p, row, column, c0);
  if constexpr (vectors == 2) store_sum(p, row, column + lanes(), c1);
}

/// Rows i … i + rows - 1 of C in one or two vectors from `column` on: 12 sums at most, which with
/// two vectors of B and one value of A fill 15 of 16 registers.
template <std::size_t rows, std::size_t vectors>
HWY_INLINE void product_tile(const product& p, std::size_t i, std::size_t column) {
  const float_tag d;
  auto c00 = hn::Zero(d);
  auto c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00;
  auto c30 = c00, c31 = c00, c40 = c00, c41 = c00, c50 = c00, c51 = c00;
  const float* a = p.a + i * p.a_row;
  const float* b = p.b + column;
  for (std::size_t step = 0; step < p.k; ++step, a += p.a_step, b += p.b_row) {
    const auto b0 = hn::LoadU(d, b);
    const auto b1 = hn::LoadU(d, b + (vectors - 1) * hn::Lanes(d));
    add_step<vectors>(a, b0, b1, c00, c01);
    if constexpr (rows > 1) add_step<vectors>(a + p.a_row, b0, b1, c10, c11);
    if constexpr (rows > 2) add_step<vectors>(a + 2 * p.a_row, b0, b1, c20, c21);
    if constexpr (rows > 3) add_step<vectors>(a + 3 * p.a_row, b0, b1, c30, c31);
    if constexpr (rows > 4) add_step<vectors>(a + 4 * p.a_row, b0, b1, c40, c41);
    if constexpr (rows > 5) add_step<vectors>(a + 5 * p.a_row, b0, b1, c50, c51);
  }
  store_sums<vectors>(p, i, column, c00, c01);
  if constexpr (rows > 1) store_sums<vectors>(p, i + 1, column, c10, c11);
  if constexpr (rows > 2) store_sums<vectors>(p, i + 2, column, c20, c21);
  if constexpr (rows > 3) store_sums<vectors>(p, i + 3, column, c30, c31);
  if constexpr (rows > 4) store_sums<vectors>(p, i + 4, column, c40, c41);
  if constexpr (rows > 5) store_sums<vectors>(p, i + 5, column, c50, c51);
}

/// Rows taken six at a time, but 8 as 4 + 4 and 7 as 4 + 3: two rows alone would wait for their
/// sums.
template <std::size_t vectors>
HWY_INLINE void product_rows(const product& p, std::size_t m, std::size_t column) {
  for (std::size_t i = 0; i < m;) {
    const std::size_t left = m - i;
    const std::size_t rows = left == 7 || left == 8 ? 4 : std::min<std::size_t>(left, 6);
    switch (rows) {
      case 1:
        product_tile<1, vectors>(p, i, column);
        break;
      case 2:
        product_tile<2, vectors>(p, i, column);
        break;
      case 3:
        product_tile<3, vectors>(p, i, column);
        break;
      case 4:
        product_tile<4, vectors>(p, i, column);
        break;
      case 5:
        product_tile<5, vectors>(p, i, column);
        break;
      default:
        product_tile<6, vectors>(p, i, column);
    }
    i += rows;
  }
}

/// All m rows of C, `columns` wide: a multiple of the lanes.
HWY_NOINLINE inline void multiply(const product& p, std::size_t m, std::size_t columns) {
  const std::size_t n = lanes();
  std::size_t column = 0;
  for (; column + 2 * n <= columns; column += 2 * n) product_rows<2>(p, m, column);
  if (column < columns) product_rows<1>(p, m, column);
}

#if HWY_TARGET != HWY_SCALAR
/// A square of 4 of `transpose`.
template <class V>
HWY_INLINE void transpose_square(
    const float* from, std::size_t from_row, V factors, float* to, std::size_t to_row) {
  const hn::FixedTag<float, 4> d;
  const auto row0 = hn::Mul(factors, hn::LoadU(d, from));
  const auto row1 = hn::Mul(factors, hn::LoadU(d, from + from_row));
  const auto row2 = hn::Mul(factors, hn::LoadU(d, from + 2 * from_row));
  const auto row3 = hn::Mul(factors, hn::LoadU(d, from + 3 * from_row));
  const auto low01 = hn::InterleaveLower(d, row0, row1);
  const auto low23 = hn::InterleaveLower(d, row2, row3);
  const auto high01 = hn::InterleaveUpper(d, row0, row1);
  const auto high23 = hn::InterleaveUpper(d, row2, row3);
  hn::StoreU(hn::ConcatLowerLower(d, low23, low01), d, to);
  hn::StoreU(hn::ConcatUpperUpper(d, low23, low01), d, to + to_row);
  hn::StoreU(hn::ConcatLowerLower(d, high23, high01), d, to + 2 * to_row);
  hn::StoreU(hn::ConcatUpperUpper(d, high23, high01), d, to + 3 * to_row);
}
#endif

/// to[c * to_row + i] = factors[c * factor_step] * from[i * from_row + c] for `rows` rows of
/// `from`; factor_step 0: one factor for all.
HWY_NOINLINE inline void transpose(const float* from,
                                   std::size_t from_row,
                                   std::size_t rows,
                                   std::size_t columns,
                                   const float* factors,
                                   std::size_t factor_step,
                                   float* to,
                                   std::size_t to_row) {
  std::size_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<float, 4> d;
  for (; i + 4 <= rows; i += 4) {
    std::size_t c = 0;
    for (; c + 4 <= columns; c += 4) {
      const auto four = factor_step == 0 ? hn::Set(d, *factors) : hn::LoadU(d, factors + c);
      transpose_square(from + i * from_row + c, from_row, four, to + c * to_row + i, to_row);
    }
    for (; c < columns; ++c) {
      for (std::size_t r = i; r < i + 4; ++r)
        to[c * to_row + r] = factors[c * factor_step] * from[r * from_row + c];
    }
  }
#endif
  for (; i < rows; ++i) {
    for (std::size_t c = 0; c < columns; ++c)
      to[c * to_row + i] = factors[c * factor_step] * from[i * from_row + c];
  }
}

/// Queries as columns: row_i * factor for n rows `stride` apart; zeros in columns n … columns - 1.
HWY_INLINE void load_columns(const float* from,
                             std::size_t stride,
                             std::size_t n,
                             std::size_t head_dim,
                             float factor,
                             float* to,
                             std::size_t columns,
                             std::size_t to_row) {
  transpose(from, stride, n, head_dim, &factor, 0, to, to_row);
  for (std::size_t c = 0; n < columns && c < head_dim; ++c)
    std::fill(to + c * to_row + n, to + c * to_row + columns, 0.0F);
}

}  // namespace headrace::kernels::HWY_NAMESPACE::attention_parts
HWY_AFTER_NAMESPACE();

#endif
