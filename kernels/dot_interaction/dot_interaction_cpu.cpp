#include "base/check.hpp"
#include "kernels/dot_interaction/dot_interaction.hpp"

#include <algorithm>
#include <array>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/dot_interaction/dot_interaction_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/dot_interaction/transpose-inl.hpp"
#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// Rows of a tile: 4 by 2 vectors are the 8 sums that two multiply-adds a cycle of latency 4 need.
constexpr std::size_t tile_rows = 4;

using row_pointers = std::array<const float*, tile_rows>;

/// One sample of the forward pass.
struct sample_view {
  const float* vectors;  // [n, dim], `stride` apart
  std::size_t stride;
  std::size_t n;
  std::size_t dim;
  const float* transposed;  // [dim, columns]
  std::size_t columns;      // n, rounded up to lanes_max
  float* out;               // [field_pairs(n)]

  HWY_INLINE const float* row(std::size_t f) const { return vectors + std::min(f, n - 1) * stride; }
};

/// Stores products of field i with fields [j, j + Lanes). What lies right of the diagonal lands on
/// later rows, which are stored later; nothing is stored past the end.
template <class D>
HWY_INLINE void store_products(
    D d, const sample_view& sample, std::size_t i, std::size_t j, hn::Vec<D> products) {
  if (i >= sample.n || j >= i) return;
  const std::size_t at = pair_index(i, j);
  const std::size_t left = field_pairs(sample.n) - at;
  if (hn::Lanes(d) <= left) {
    hn::StoreU(products, d, sample.out + at);
  } else {
    std::array<float, lanes_max> last;
    hn::StoreU(products, d, last.data());
    std::copy_n(last.data(), left, sample.out + at);
  }
}

/// Products of fields [i, i + tile_rows) with those of one vector from j on; even and odd columns
/// apart, so that there are 8 sums, too.
template <class D>
HWY_INLINE void tile_of_one(D d, const sample_view& sample, std::size_t i, std::size_t j) {
  const row_pointers row = {sample.row(i), sample.row(i + 1), sample.row(i + 2), sample.row(i + 3)};
  auto even0 = hn::Zero(d);
  auto even1 = even0;
  auto even2 = even0;
  auto even3 = even0;
  auto odd0 = even0;
  auto odd1 = even0;
  auto odd2 = even0;
  auto odd3 = even0;
  const float* column = sample.transposed + j;
  std::size_t k = 0;
  for (; k + 2 <= sample.dim; k += 2, column += 2 * sample.columns) {
    const auto even = hn::LoadU(d, column);
    const auto odd = hn::LoadU(d, column + sample.columns);
    even0 = hn::MulAdd(hn::Set(d, row[0][k]), even, even0);
    even1 = hn::MulAdd(hn::Set(d, row[1][k]), even, even1);
    even2 = hn::MulAdd(hn::Set(d, row[2][k]), even, even2);
    even3 = hn::MulAdd(hn::Set(d, row[3][k]), even, even3);
    odd0 = hn::MulAdd(hn::Set(d, row[0][k + 1]), odd, odd0);
    odd1 = hn::MulAdd(hn::Set(d, row[1][k + 1]), odd, odd1);
    odd2 = hn::MulAdd(hn::Set(d, row[2][k + 1]), odd, odd2);
    odd3 = hn::MulAdd(hn::Set(d, row[3][k + 1]), odd, odd3);
  }
  if (k < sample.dim) {
    const auto even = hn::LoadU(d, column);
    even0 = hn::MulAdd(hn::Set(d, row[0][k]), even, even0);
    even1 = hn::MulAdd(hn::Set(d, row[1][k]), even, even1);
    even2 = hn::MulAdd(hn::Set(d, row[2][k]), even, even2);
    even3 = hn::MulAdd(hn::Set(d, row[3][k]), even, even3);
  }
  store_products(d, sample, i, j, hn::Add(even0, odd0));
  store_products(d, sample, i + 1, j, hn::Add(even1, odd1));
  store_products(d, sample, i + 2, j, hn::Add(even2, odd2));
  store_products(d, sample, i + 3, j, hn::Add(even3, odd3));
}

/// The same with two vectors from j on. Row by row, and the left vector after the right one of the
/// row above, as store_products needs it.
template <class D>
HWY_INLINE void tile_of_two(D d, const sample_view& sample, std::size_t i, std::size_t j) {
  const row_pointers row = {sample.row(i), sample.row(i + 1), sample.row(i + 2), sample.row(i + 3)};
  const std::size_t lanes = hn::Lanes(d);
  auto left0 = hn::Zero(d);
  auto left1 = left0;
  auto left2 = left0;
  auto left3 = left0;
  auto right0 = left0;
  auto right1 = left0;
  auto right2 = left0;
  auto right3 = left0;
  const float* column = sample.transposed + j;
  for (std::size_t k = 0; k < sample.dim; ++k, column += sample.columns) {
    const auto left = hn::LoadU(d, column);
    const auto right = hn::LoadU(d, column + lanes);
    const auto e0 = hn::Set(d, row[0][k]);
    const auto e1 = hn::Set(d, row[1][k]);
    left0 = hn::MulAdd(e0, left, left0);
    right0 = hn::MulAdd(e0, right, right0);
    left1 = hn::MulAdd(e1, left, left1);
    right1 = hn::MulAdd(e1, right, right1);
    const auto e2 = hn::Set(d, row[2][k]);
    const auto e3 = hn::Set(d, row[3][k]);
    left2 = hn::MulAdd(e2, left, left2);
    right2 = hn::MulAdd(e2, right, right2);
    left3 = hn::MulAdd(e3, left, left3);
    right3 = hn::MulAdd(e3, right, right3);
  }
  store_products(d, sample, i, j, left0);
  store_products(d, sample, i, j + lanes, right0);
  store_products(d, sample, i + 1, j, left1);
  store_products(d, sample, i + 1, j + lanes, right1);
  store_products(d, sample, i + 2, j, left2);
  store_products(d, sample, i + 2, j + lanes, right2);
  store_products(d, sample, i + 3, j, left3);
  store_products(d, sample, i + 3, j + lanes, right3);
}

/// Fields [i, i + tile_rows) with all before them, from the right to the left: what a row leaves
/// behind its diagonal is at the left of the next row, whose left tile comes later.
HWY_INLINE void tile_row(const sample_view& sample, std::size_t i) {
  const hn::CappedTag<float, lanes_max> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t before = std::min(i + tile_rows, sample.n) - 1;  // columns that are needed
  std::size_t vectors = (before + lanes - 1) / lanes;
  if (vectors % 2 == 1) tile_of_one(d, sample, i, --vectors * lanes);
  for (; vectors > 0; vectors -= 2) tile_of_two(d, sample, i, (vectors - 2) * lanes);
}

void dot_interaction_target(const dot_interaction_args& args) {
  const field_view<const float>& fields = args.fields;
  const std::size_t columns = (fields.fields + lanes_max - 1) / lanes_max * lanes_max;
  float* transposed = args.workspace.data();
  std::fill_n(transposed, columns * fields.dim, 0.0F);  // the columns that no field fills
  for (std::size_t s = 0; s < fields.samples; ++s) {
    const sample_view sample = {.vectors = fields.at(s, 0),
                                .stride = fields.field_stride,
                                .n = fields.fields,
                                .dim = fields.dim,
                                .transposed = transposed,
                                .columns = columns,
                                .out = args.out.data() + s * args.out_stride};
    transpose(fields.at(s, 0), fields.field_stride, fields.fields, fields.dim, columns, transposed);
    for (std::size_t i = 1; i < sample.n; i += tile_rows) tile_row(sample, i);
  }
}

/// One sample of the backward pass.
struct gradient_view {
  const float* vectors;  // [n, dim], `stride` apart
  std::size_t stride;
  std::size_t n;
  const float* g;  // [field_pairs(n)]
  float* to;       // [n, dim], `to_stride` apart
  std::size_t to_stride;
};

/// Calls step(j, factors) for each field j with its factors in the gradients of fields [i, i +
/// tile_rows): a row of G + Gᵀ, zero on the diagonal and for fields that are not there.
template <class Step>
HWY_INLINE void for_factors(const gradient_view& sample, std::size_t i, const Step& step) {
  const auto factor = [&sample](std::size_t a, std::size_t j) {
    if (a == j || a >= sample.n) return 0.0F;
    return sample.g[pair_index(std::max(a, j), std::min(a, j))];
  };
  row_pointers row;
  for (std::size_t r = 0; r < tile_rows; ++r) {
    const std::size_t a = std::min(i + r, sample.n - 1);
    row[r] = sample.g + (a == 0 ? 0 : pair_index(a, 0));
  }
  std::size_t j = 0;
  for (; j < i; ++j) step(j, row[0][j], row[1][j], row[2][j], row[3][j]);
  for (; j < std::min(i + tile_rows, sample.n); ++j) {
    step(j, factor(i, j), factor(i + 1, j), factor(i + 2, j), factor(i + 3, j));
  }
  for (; j < sample.n; ++j) {
    const float* below = sample.g + pair_index(j, i);
    step(j, below[0], below[1], below[2], below[3]);
  }
}

template <class D>
HWY_INLINE void store_gradient(
    D d, const gradient_view& sample, std::size_t i, std::size_t k, hn::Vec<D> gradient) {
  if (i < sample.n) hn::StoreU(gradient, d, sample.to + i * sample.to_stride + k);
}

/// Gradients of fields [i, i + tile_rows), columns of one vector from k on.
template <class D>
HWY_INLINE void gradients_of_one(D d, const gradient_view& sample, std::size_t i, std::size_t k) {
  auto sum0 = hn::Zero(d);
  auto sum1 = sum0;
  auto sum2 = sum0;
  auto sum3 = sum0;
  for_factors(sample, i, [&](std::size_t j, float g0, float g1, float g2, float g3) HWY_ATTR {
    const auto e = hn::LoadU(d, sample.vectors + j * sample.stride + k);
    sum0 = hn::MulAdd(hn::Set(d, g0), e, sum0);
    sum1 = hn::MulAdd(hn::Set(d, g1), e, sum1);
    sum2 = hn::MulAdd(hn::Set(d, g2), e, sum2);
    sum3 = hn::MulAdd(hn::Set(d, g3), e, sum3);
  });
  store_gradient(d, sample, i, k, sum0);
  store_gradient(d, sample, i + 1, k, sum1);
  store_gradient(d, sample, i + 2, k, sum2);
  store_gradient(d, sample, i + 3, k, sum3);
}

/// The same, two vectors from k on.
template <class D>
HWY_INLINE void gradients_of_two(D d, const gradient_view& sample, std::size_t i, std::size_t k) {
  const std::size_t lanes = hn::Lanes(d);
  auto left0 = hn::Zero(d);
  auto left1 = left0;
  auto left2 = left0;
  auto left3 = left0;
  auto right0 = left0;
  auto right1 = left0;
  auto right2 = left0;
  auto right3 = left0;
  for_factors(sample, i, [&](std::size_t j, float f0, float f1, float f2, float f3) HWY_ATTR {
    const float* e = sample.vectors + j * sample.stride + k;
    const auto left = hn::LoadU(d, e);
    const auto right = hn::LoadU(d, e + lanes);
    const auto g0 = hn::Set(d, f0);
    const auto g1 = hn::Set(d, f1);
    left0 = hn::MulAdd(g0, left, left0);
    right0 = hn::MulAdd(g0, right, right0);
    left1 = hn::MulAdd(g1, left, left1);
    right1 = hn::MulAdd(g1, right, right1);
    const auto g2 = hn::Set(d, f2);
    const auto g3 = hn::Set(d, f3);
    left2 = hn::MulAdd(g2, left, left2);
    right2 = hn::MulAdd(g2, right, right2);
    left3 = hn::MulAdd(g3, left, left3);
    right3 = hn::MulAdd(g3, right, right3);
  });
  store_gradient(d, sample, i, k, left0);
  store_gradient(d, sample, i, k + lanes, right0);
  store_gradient(d, sample, i + 1, k, left1);
  store_gradient(d, sample, i + 1, k + lanes, right1);
  store_gradient(d, sample, i + 2, k, left2);
  store_gradient(d, sample, i + 2, k + lanes, right2);
  store_gradient(d, sample, i + 3, k, left3);
  store_gradient(d, sample, i + 3, k + lanes, right3);
}

void dot_interaction_backward_target(const dot_interaction_backward_args& args) {
  const field_view<const float>& fields = args.fields;
  const hn::CappedTag<float, lanes_max> wide;
  const std::size_t two = 2 * hn::Lanes(wide);
  for (std::size_t s = 0; s < fields.samples; ++s) {
    const gradient_view sample = {.vectors = fields.at(s, 0),
                                  .stride = fields.field_stride,
                                  .n = fields.fields,
                                  .g = args.out_gradients.data() + s * args.out_stride,
                                  .to = args.field_gradients.at(s, 0),
                                  .to_stride = args.field_gradients.field_stride};
    for (std::size_t i = 0; i < sample.n; i += tile_rows) {
      std::size_t k = 0;
      for (; k + two <= fields.dim; k += two) gradients_of_two(wide, sample, i, k);
      for_columns(k, fields.dim, [&sample, i](auto d, std::size_t column) HWY_ATTR {
        gradients_of_one(d, sample, i, column);
      });
    }
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(dot_interaction_target);
HWY_EXPORT(dot_interaction_backward_target);

namespace {

/// Floats of [samples, field_pairs] with this stride.
std::size_t pairs_size(const field_view<const float>& fields, std::size_t stride) {
  const std::size_t pairs = field_pairs(fields.fields);
  return fields.samples == 0 || pairs == 0 ? 0 : (fields.samples - 1) * stride + pairs;
}

}  // namespace

void dot_interaction_cpu(const dot_interaction_args& args) {
  CHECK(args.fields.fits());
  CHECK(args.fields.fields <= dot_interaction_fields_max);
  CHECK(args.out_stride >= field_pairs(args.fields.fields));
  CHECK(args.out.size() >= pairs_size(args.fields, args.out_stride));
  CHECK(args.workspace.size() >= dot_interaction_workspace(args.fields.fields, args.fields.dim));
  HWY_DYNAMIC_DISPATCH(dot_interaction_target)(args);
}

void dot_interaction_backward_cpu(const dot_interaction_backward_args& args) {
  CHECK(args.fields.fits());
  CHECK(args.fields.fields <= dot_interaction_fields_max);
  CHECK(args.out_stride >= field_pairs(args.fields.fields));
  CHECK(args.out_gradients.size() >= pairs_size(args.fields, args.out_stride));
  CHECK(args.field_gradients.samples == args.fields.samples);
  CHECK(args.field_gradients.fields == args.fields.fields);
  CHECK(args.field_gradients.dim == args.fields.dim);
  CHECK(args.field_gradients.fits());
  HWY_DYNAMIC_DISPATCH(dot_interaction_backward_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
