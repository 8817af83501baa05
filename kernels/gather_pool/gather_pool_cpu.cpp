#include "base/check.hpp"
#include "kernels/gather_pool/gather_pool.hpp"
#include "kernels/runtime/prefetch.hpp"

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gather_pool/gather_pool_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

HWY_INLINE float weight_at(std::span<const float> weights, std::size_t i) {
  return weights.empty() ? 1.0F : weights[i];
}

/// Asks for the row that occurrence `i` needs, if there is one.
HWY_INLINE void ask_for(const float* rows,
                        std::span<const std::uint32_t> inverse,
                        std::size_t i,
                        std::size_t dim) {
  if (i < inverse.size()) prefetch_row(rows + inverse[i] * dim, dim * sizeof(float));
}

/// Four vectors of columns of a bag's sum at a time, from column 0 on: a single sum waits for each
/// of its additions. Returns the first column that is left.
HWY_INLINE std::size_t pool_wide(const gather_pool_args& args,
                                 std::size_t begin,
                                 std::size_t end,
                                 float* out) {
  const hn::CappedTag<float, lanes_max> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t c = 0;
  for (; c + 4 * lanes <= args.dim; c += 4 * lanes) {
    auto first = hn::Zero(d);
    auto second = hn::Zero(d);
    auto third = hn::Zero(d);
    auto fourth = hn::Zero(d);
    for (std::size_t i = begin; i < end; ++i) {
      const float* row = args.rows.data() + args.inverse[i] * args.dim + c;
      const auto weight = hn::Set(d, weight_at(args.weights, i));
      first = hn::Add(first, hn::Mul(weight, hn::LoadU(d, row)));
      second = hn::Add(second, hn::Mul(weight, hn::LoadU(d, row + lanes)));
      third = hn::Add(third, hn::Mul(weight, hn::LoadU(d, row + 2 * lanes)));
      fourth = hn::Add(fourth, hn::Mul(weight, hn::LoadU(d, row + 3 * lanes)));
    }
    hn::StoreU(first, d, out + c);
    hn::StoreU(second, d, out + c + lanes);
    hn::StoreU(third, d, out + c + 2 * lanes);
    hn::StoreU(fourth, d, out + c + 3 * lanes);
  }
  return c;
}

void pool_bag(const gather_pool_args& args, std::size_t begin, std::size_t end, float* out) {
  const std::size_t dim = args.dim;
  for (std::size_t i = begin; i < end; ++i) {
    ask_for(args.rows.data(), args.inverse, i + prefetch_rows_ahead, dim);
  }
  const std::size_t rest = pool_wide(args, begin, end, out);
  for_columns(rest, dim, [&args, begin, end, out, dim](auto d, std::size_t c) HWY_ATTR {
    auto sum = hn::Zero(d);
    for (std::size_t i = begin; i < end; ++i) {
      const auto value = hn::LoadU(d, args.rows.data() + args.inverse[i] * dim + c);
      sum = hn::Add(sum, hn::Mul(hn::Set(d, weight_at(args.weights, i)), value));
    }
    hn::StoreU(sum, d, out + c);
  });
}

void gather_pool_target(const gather_pool_args& args) {
  for (std::size_t b = 0; b + 1 < args.offsets.size(); ++b) {
    pool_bag(args, args.offsets[b], args.offsets[b + 1], args.out.data() + b * args.dim);
  }
}

/// gradient += weight * out_gradient.
HWY_INLINE void add_scaled(float weight, const float* from, std::size_t dim, float* to) {
  for_columns(0, dim, [weight, from, to](auto d, std::size_t c) HWY_ATTR {
    const auto term = hn::Mul(hn::Set(d, weight), hn::LoadU(d, from + c));
    hn::StoreU(hn::Add(hn::LoadU(d, to + c), term), d, to + c);
  });
}

void gather_pool_backward_target(const gather_pool_backward_args& args) {
  const std::size_t dim = args.dim;
  for (std::size_t b = 0; b + 1 < args.offsets.size(); ++b) {
    const float* from = args.out_gradients.data() + b * dim;
    for (std::size_t i = args.offsets[b]; i < args.offsets[b + 1]; ++i) {
      ask_for(args.row_gradients.data(), args.inverse, i + prefetch_rows_ahead, dim);
      add_scaled(
          weight_at(args.weights, i), from, dim, args.row_gradients.data() + args.inverse[i] * dim);
    }
  }
}

HWY_INLINE float dot_of(const float* left, const float* right, std::size_t n) {
  const hn::CappedTag<float, lanes_max> d;
  std::size_t c = 0;
  auto sum = hn::Zero(d);
  for (; c + hn::Lanes(d) <= n; c += hn::Lanes(d))
    sum = hn::Add(sum, hn::Mul(hn::LoadU(d, left + c), hn::LoadU(d, right + c)));
  float total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; c < n; ++c) total += left[c] * right[c];
  return total;
}

void gather_pool_weights_target(const gather_pool_weights_args& args) {
  const std::size_t dim = args.dim;
  for (std::size_t b = 0; b + 1 < args.offsets.size(); ++b) {
    const float* above = args.out_gradients.data() + b * dim;
    for (std::size_t i = args.offsets[b]; i < args.offsets[b + 1]; ++i) {
      ask_for(args.rows.data(), args.inverse, i + prefetch_rows_ahead, dim);
      args.weight_gradients[i] = dot_of(args.rows.data() + args.inverse[i] * dim, above, dim);
    }
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(gather_pool_target);
HWY_EXPORT(gather_pool_backward_target);
HWY_EXPORT(gather_pool_weights_target);

namespace {

/// Offsets that cover exactly the occurrences there are.
void check_bags(std::span<const std::uint32_t> offsets,
                std::span<const std::uint32_t> inverse,
                std::span<const float> weights) {
  CHECK(!offsets.empty());
  CHECK(offsets.front() == 0);
  CHECK(offsets.back() == inverse.size());
  CHECK(weights.empty() || weights.size() == inverse.size());
}

}  // namespace

void gather_pool_cpu(const gather_pool_args& args) {
  check_bags(args.offsets, args.inverse, args.weights);
  CHECK(args.out.size() == (args.offsets.size() - 1) * args.dim);
  HWY_DYNAMIC_DISPATCH(gather_pool_target)(args);
}

void gather_pool_backward_cpu(const gather_pool_backward_args& args) {
  check_bags(args.offsets, args.inverse, args.weights);
  CHECK(args.out_gradients.size() == (args.offsets.size() - 1) * args.dim);
  HWY_DYNAMIC_DISPATCH(gather_pool_backward_target)(args);
}

void gather_pool_weights_cpu(const gather_pool_weights_args& args) {
  check_bags(args.offsets, args.inverse, {});
  CHECK(args.out_gradients.size() == (args.offsets.size() - 1) * args.dim);
  CHECK(args.weight_gradients.size() == args.inverse.size());
  HWY_DYNAMIC_DISPATCH(gather_pool_weights_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
