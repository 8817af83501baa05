#include "base/check.hpp"
#include "kernels/gather_fields/gather_fields.hpp"
#include "kernels/runtime/prefetch.hpp"

#include <algorithm>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gather_fields/gather_fields_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

HWY_INLINE void copy(const float* from, std::size_t dim, float* to) {
  for_columns(0, dim, [from, to](auto d, std::size_t k) HWY_ATTR {
    hn::StoreU(hn::LoadU(d, from + k), d, to + k);
  });
}

HWY_INLINE void copy_scaled(float x, const float* from, std::size_t dim, float* to) {
  for_columns(0, dim, [x, from, to](auto d, std::size_t k) HWY_ATTR {
    hn::StoreU(hn::Mul(hn::Set(d, x), hn::LoadU(d, from + k)), d, to + k);
  });
}

HWY_INLINE void add(const float* from, std::size_t dim, float* to) {
  for_columns(0, dim, [from, to](auto d, std::size_t k) HWY_ATTR {
    hn::StoreU(hn::Add(hn::LoadU(d, to + k), hn::LoadU(d, from + k)), d, to + k);
  });
}

HWY_INLINE void add_scaled(float x, const float* from, std::size_t dim, float* to) {
  for_columns(0, dim, [x, from, to](auto d, std::size_t k) HWY_ATTR {
    const auto term = hn::Mul(hn::Set(d, x), hn::LoadU(d, from + k));
    hn::StoreU(hn::Add(hn::LoadU(d, to + k), term), d, to + k);
  });
}

/// The rows without the columns before the first one; no rows stay none.
template <class Value>
HWY_INLINE std::span<Value> from_column(std::span<Value> rows, std::size_t column) {
  return rows.subspan(std::min(column, rows.size()));
}

/// Rows of fewer bytes are left to the caches. Measured with this bench, 32 MiB of L3: asking costs
/// 1 to 3 ns a vector in cache; with 40 to 156 MB of rows it wins 10 to 20 %, near the noise.
constexpr std::size_t prefetch_from_bytes = std::size_t{32} << 20;

/// Calls step(occurrence, row, vector of its field) in order; `rows` is its span from the first
/// column that is used.
template <class Row, class Vector, class Step>
HWY_INLINE void for_occurrences(
    std::span<Row> rows,
    std::size_t width,
    std::span<const std::uint32_t> inverse,
    field_view<Vector> vectors,  // a copy: stores of floats can't change it
    const Step& step) {
  const std::size_t asked_for = rows.size_bytes() < prefetch_from_bytes ? 0 : inverse.size();
  std::size_t i = 0;
  for (std::size_t s = 0; s < vectors.samples; ++s) {
    for (std::size_t f = 0; f < vectors.fields; ++f, ++i) {
      const std::size_t later = i + prefetch_rows_ahead;
      if (later < asked_for) {
        prefetch_row(rows.data() + inverse[later] * width, vectors.dim * sizeof(float));
      }
      step(i, rows.data() + inverse[i] * width, vectors.at(s, f));
    }
  }
}

void gather_fields_target(const gather_fields_args& args) {
  const std::span<const float> rows = from_column(args.rows, args.first_column);
  const float* values = args.values.data();
  const std::size_t dim = args.out.dim;
  const auto plain = [dim](std::size_t, const float* row, float* to)
                         HWY_ATTR { copy(row, dim, to); };
  const auto scaled = [values, dim](std::size_t i, const float* row, float* to)
                          HWY_ATTR { copy_scaled(values[i], row, dim, to); };
  if (args.values.empty()) {
    for_occurrences(rows, args.width, args.inverse, args.out, plain);
  } else {
    for_occurrences(rows, args.width, args.inverse, args.out, scaled);
  }
}

void gather_fields_backward_target(const gather_fields_backward_args& args) {
  const std::span<float> rows = from_column(args.row_gradients, args.first_column);
  const float* values = args.values.data();
  const std::size_t dim = args.out_gradients.dim;
  const auto plain = [dim](std::size_t, float* row, const float* from)
                         HWY_ATTR { add(from, dim, row); };
  const auto scaled = [values, dim](std::size_t i, float* row, const float* from)
                          HWY_ATTR { add_scaled(values[i], from, dim, row); };
  if (args.values.empty()) {
    for_occurrences(rows, args.width, args.inverse, args.out_gradients, plain);
  } else {
    for_occurrences(rows, args.width, args.inverse, args.out_gradients, scaled);
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(gather_fields_target);
HWY_EXPORT(gather_fields_backward_target);

void gather_fields_cpu(const gather_fields_args& args) {
  CHECK(args.inverse.size() == args.out.samples * args.out.fields);
  CHECK(args.values.empty() || args.values.size() == args.inverse.size());
  CHECK(args.width > 0);
  CHECK(args.first_column + args.out.dim <= args.width);
  CHECK(args.rows.size() % args.width == 0);
  CHECK(args.out.fits());
  HWY_DYNAMIC_DISPATCH(gather_fields_target)(args);
}

void gather_fields_backward_cpu(const gather_fields_backward_args& args) {
  CHECK(args.inverse.size() == args.out_gradients.samples * args.out_gradients.fields);
  CHECK(args.values.empty() || args.values.size() == args.inverse.size());
  CHECK(args.width > 0);
  CHECK(args.first_column + args.out_gradients.dim <= args.width);
  CHECK(args.row_gradients.size() % args.width == 0);
  CHECK(args.out_gradients.fits());
  HWY_DYNAMIC_DISPATCH(gather_fields_backward_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
