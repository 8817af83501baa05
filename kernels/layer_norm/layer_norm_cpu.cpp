#include "base/check.hpp"
#include "kernels/layer_norm/layer_norm.hpp"

#include <algorithm>
#include <array>
#include <cmath>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/layer_norm/layer_norm_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// Σ over [0, dim), where add(tag, column, sum) returns sum plus the terms of the columns: four
/// running vectors hide the latency of an addition and keep the chains short; then one, then single
/// columns.
template <class Add>
HWY_INLINE float row_sum(std::size_t dim, const Add& add) {
  const hn::CappedTag<float, lanes_max> d;
  const std::size_t lanes = hn::Lanes(d);
  auto s0 = hn::Zero(d);
  auto s1 = hn::Zero(d);
  auto s2 = hn::Zero(d);
  auto s3 = hn::Zero(d);
  std::size_t c = 0;
  for (; c + 4 * lanes <= dim; c += 4 * lanes) {
    s0 = add(d, c, s0);
    s1 = add(d, c + lanes, s1);
    s2 = add(d, c + 2 * lanes, s2);
    s3 = add(d, c + 3 * lanes, s3);
  }
  for (; c + lanes <= dim; c += lanes) s0 = add(d, c, s0);
  const hn::CappedTag<float, 1> single;
  auto rest = hn::Zero(single);
  for (; c < dim; ++c) rest = add(single, c, rest);
  const auto all = hn::Add(hn::Add(s0, s1), hn::Add(s2, s3));
  return hn::GetLane(hn::SumOfLanes(d, all)) + hn::GetLane(rest);
}

/// sum = x + residual; returns Σ sum (for rms unused, and cheap beside the memory it moves).
HWY_INLINE float add_residual(const float* x, const float* residual, std::size_t dim, float* sum) {
  return row_sum(dim, [=](auto d, std::size_t c, auto total) HWY_ATTR {
    const auto s = hn::Add(hn::LoadU(d, x + c), hn::LoadU(d, residual + c));
    hn::StoreU(s, d, sum + c);
    return hn::Add(total, s);
  });
}

HWY_INLINE float plain_sum(const float* row, std::size_t dim) {
  return row_sum(dim, [=](auto d, std::size_t c, auto total) HWY_ATTR {
    return hn::Add(total, hn::LoadU(d, row + c));
  });
}

/// Asks for the lines of y meanwhile: the stores that follow find them.
HWY_INLINE float squares_around(const float* row, std::size_t dim, float mean, const float* y) {
  return row_sum(dim, [=](auto d, std::size_t c, auto total) HWY_ATTR {
    __builtin_prefetch(y + c, 1);
    const auto centred = hn::Sub(hn::LoadU(d, row + c), hn::Set(d, mean));
    return hn::MulAdd(centred, centred, total);
  });
}

/// What is known of a row once its statistics are; `to_next` is how far on lie the inputs that are
/// asked for while it is written, 0 at the end (measured: bench, 16,384 rows of 1,024).
struct forward_row {
  std::size_t at;  // of its first value
  float mean;
  std::size_t to_next;
};

/// `Added`: there is a residual; `Biased`: there is a bias. The loop has no branch on either.
template <bool Added, bool Biased>
HWY_INLINE void write_row(const forward_row& row, float rstd, const layer_norm_forward_args& args) {
  const float* s = (Added ? args.sum.data() : args.x.data()) + row.at;
  const float* next_x = args.x.data() + row.at + row.to_next;
  const float* next_residual = Added ? args.residual.data() + row.at + row.to_next : nullptr;
  const float* gain = args.gain.data();
  const float* bias = args.bias.data();
  float* y = args.y.data() + row.at;
  const float mean = row.mean;
  for_columns(0, args.dim, [=](auto d, std::size_t c) HWY_ATTR {
    __builtin_prefetch(next_x + c);
    if constexpr (Added) __builtin_prefetch(next_residual + c);
    const auto xhat = hn::Mul(hn::Sub(hn::LoadU(d, s + c), hn::Set(d, mean)), hn::Set(d, rstd));
    const auto scale = hn::LoadU(d, gain + c);
    if constexpr (Biased) {
      hn::StoreU(hn::MulAdd(xhat, scale, hn::LoadU(d, bias + c)), d, y + c);
    } else {
      hn::StoreU(hn::Mul(xhat, scale), d, y + c);
    }
  });
}

/// Writes the sum where there is a residual; returns the row's mean, 0 for rms.
HWY_INLINE float row_mean(const layer_norm_forward_args& args, std::size_t at) {
  const float* x = args.x.data() + at;
  const bool centred = args.kind == norm_kind::layer;
  float total = 0.0F;
  if (!args.residual.empty()) {
    total = add_residual(x, args.residual.data() + at, args.dim, args.sum.data() + at);
  } else if (centred) {
    total = plain_sum(x, args.dim);
  }
  return centred ? total / static_cast<float>(args.dim) : 0.0F;
}

/// Rows that go through each stage together: a short one alone is a chain of latencies (two sums, a
/// square root, divisions). Measured: a third faster at 64 and at 256 columns; at 1,024 groups lose
/// to single rows.
constexpr std::size_t group_rows_max = 16;
constexpr std::size_t group_values = 1024;

template <bool Added, bool Biased>
void forward_rows(const layer_norm_forward_args& args) {
  const std::size_t dim = args.dim;
  const float n = static_cast<float>(dim);
  const std::size_t group = std::clamp(group_values / dim, std::size_t{1}, group_rows_max);
  const std::size_t rows = args.rstd.size();
  const float* s = Added ? args.sum.data() : args.x.data();
  std::array<float, group_rows_max> means;
  for (std::size_t begin = 0; begin < rows; begin += group) {
    const std::size_t end = std::min(begin + group, rows);
    for (std::size_t r = begin; r < end; ++r) means[r - begin] = row_mean(args, r * dim);
    if constexpr (Biased) {
      std::copy_n(means.data(), end - begin, args.mean.data() + begin);
    }
    for (std::size_t r = begin; r < end; ++r) {
      const float* y = args.y.data() + r * dim;
      const float squares = squares_around(s + r * dim, dim, means[r - begin], y);
      args.rstd[r] = 1.0F / std::sqrt(squares / n + args.epsilon);
    }
    for (std::size_t r = begin; r < end; ++r) {
      const std::size_t to_next = r + group < rows ? group * dim : 0;
      write_row<Added, Biased>({r * dim, means[r - begin], to_next}, args.rstd[r], args);
    }
  }
}

void layer_norm_forward_target(const layer_norm_forward_args& args) {
  const bool added = !args.residual.empty();
  if (args.kind == norm_kind::layer) {
    added ? forward_rows<true, true>(args) : forward_rows<false, true>(args);
  } else {
    added ? forward_rows<true, false>(args) : forward_rows<false, false>(args);
  }
}

/// One row of backward: what it reads and its averages.
struct backward_row {
  const float* s;
  const float* dy;
  const float* ds;  // null for none
  float* dx;
  std::size_t to_next;  // from these to the next row's, 0 for none
  float mean;
  float rstd;
  float g_average;
  float gx_average;
};

template <class D>
HWY_INLINE hn::Vec<D> normalized(D d, const backward_row& row, std::size_t c) {
  const auto centred = hn::Sub(hn::LoadU(d, row.s + c), hn::Set(d, row.mean));
  return hn::Mul(centred, hn::Set(d, row.rstd));
}

/// Fills the two averages.
HWY_INLINE void average(backward_row& row, const float* gain, std::size_t dim, bool centred) {
  const float n = static_cast<float>(dim);
  const hn::CappedTag<float, lanes_max> wide;
  const hn::CappedTag<float, 1> single;
  auto g0 = hn::Zero(wide);
  auto g1 = hn::Zero(wide);
  auto gx0 = hn::Zero(wide);
  auto gx1 = hn::Zero(wide);
  const auto step = [&row, gain](auto d, std::size_t c, auto& g_sum, auto& gx_sum) HWY_ATTR {
    __builtin_prefetch(row.dx + c, 1);
    const auto g = hn::Mul(hn::LoadU(d, row.dy + c), hn::LoadU(d, gain + c));
    g_sum = hn::Add(g_sum, g);
    gx_sum = hn::MulAdd(g, normalized(d, row, c), gx_sum);
  };
  const std::size_t lanes = hn::Lanes(wide);
  std::size_t c = 0;
  for (; c + 2 * lanes <= dim; c += 2 * lanes) {
    step(wide, c, g0, gx0);
    step(wide, c + lanes, g1, gx1);
  }
  for (; c + lanes <= dim; c += lanes) step(wide, c, g0, gx0);
  auto g_rest = hn::Zero(single);
  auto gx_rest = hn::Zero(single);
  for (; c < dim; ++c) step(single, c, g_rest, gx_rest);
  const float g_sum = hn::GetLane(hn::SumOfLanes(wide, hn::Add(g0, g1))) + hn::GetLane(g_rest);
  const float gx_sum = hn::GetLane(hn::SumOfLanes(wide, hn::Add(gx0, gx1))) + hn::GetLane(gx_rest);
  row.g_average = centred ? g_sum / n : 0.0F;
  row.gx_average = gx_sum / n;
}

/// dx of the row, and its terms of the parameters' gradients.
template <bool Added, bool Biased>
HWY_INLINE void write_gradients(
    const backward_row& row, const float* gain, std::size_t dim, float* dgain, float* dbias) {
  for_columns(0, dim, [=](auto d, std::size_t c) HWY_ATTR {
    __builtin_prefetch(row.s + row.to_next + c);
    __builtin_prefetch(row.dy + row.to_next + c);
    const auto xhat = normalized(d, row, c);
    const auto dy = hn::LoadU(d, row.dy + c);
    hn::StoreU(hn::MulAdd(dy, xhat, hn::LoadU(d, dgain + c)), d, dgain + c);
    if constexpr (Biased) hn::StoreU(hn::Add(dy, hn::LoadU(d, dbias + c)), d, dbias + c);
    const auto g = hn::Mul(dy, hn::LoadU(d, gain + c));
    const auto off_average = hn::Sub(g, hn::Set(d, row.g_average));
    const auto inner = hn::NegMulAdd(xhat, hn::Set(d, row.gx_average), off_average);
    const auto rstd = hn::Set(d, row.rstd);
    if constexpr (Added) {
      hn::StoreU(hn::MulAdd(inner, rstd, hn::LoadU(d, row.ds + c)), d, row.dx + c);
    } else {
      hn::StoreU(hn::Mul(inner, rstd), d, row.dx + c);
    }
  });
}

template <bool Added, bool Biased>
void backward_rows(const layer_norm_backward_args& args) {
  const bool centred = args.kind == norm_kind::layer;
  const float* gain = args.gain.data();
  float* dgain = args.gain_gradients.data();
  float* dbias = centred ? args.bias_gradients.data() : nullptr;
  for (std::size_t r = 0; r < args.rstd.size(); ++r) {
    const std::size_t at = r * args.dim;
    backward_row row = {args.sum.data() + at,
                        args.y_gradients.data() + at,
                        args.sum_gradients.empty() ? nullptr : args.sum_gradients.data() + at,
                        args.x_gradients.data() + at,
                        r + 1 < args.rstd.size() ? args.dim : 0,
                        centred ? args.mean[r] : 0.0F,
                        args.rstd[r],
                        0.0F,
                        0.0F};
    average(row, gain, args.dim, centred);
    write_gradients<Added, Biased>(row, gain, args.dim, dgain, dbias);
  }
}

void layer_norm_backward_target(const layer_norm_backward_args& args) {
  const bool added = !args.sum_gradients.empty();
  if (args.kind == norm_kind::layer) {
    added ? backward_rows<true, true>(args) : backward_rows<false, true>(args);
  } else {
    added ? backward_rows<true, false>(args) : backward_rows<false, false>(args);
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(layer_norm_forward_target);
HWY_EXPORT(layer_norm_backward_target);

void layer_norm_forward_cpu(const layer_norm_forward_args& args) {
  const std::size_t centred = args.kind == norm_kind::layer ? 1 : 0;
  CHECK(args.dim >= 1);
  CHECK(args.x.size() == args.rstd.size() * args.dim);
  CHECK(args.residual.empty() || args.residual.size() == args.x.size());
  CHECK(args.sum.size() == args.residual.size());
  CHECK(args.y.size() == args.x.size());
  CHECK(args.gain.size() == args.dim);
  CHECK(args.bias.size() == centred * args.dim);
  CHECK(args.mean.size() == centred * args.rstd.size());
  HWY_DYNAMIC_DISPATCH(layer_norm_forward_target)(args);
}

void layer_norm_backward_cpu(const layer_norm_backward_args& args) {
  const std::size_t centred = args.kind == norm_kind::layer ? 1 : 0;
  CHECK(args.dim >= 1);
  CHECK(args.sum.size() == args.rstd.size() * args.dim);
  CHECK(args.y_gradients.size() == args.sum.size());
  CHECK(args.sum_gradients.empty() || args.sum_gradients.size() == args.sum.size());
  CHECK(args.x_gradients.size() == args.sum.size());
  CHECK(args.gain.size() == args.dim);
  CHECK(args.mean.size() == centred * args.rstd.size());
  CHECK(args.gain_gradients.size() == args.dim);
  CHECK(args.bias_gradients.size() == centred * args.dim);
  HWY_DYNAMIC_DISPATCH(layer_norm_backward_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
