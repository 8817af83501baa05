#include "base/check.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/linear/linear.hpp"
#include "kernels/linear/row_stages.hpp"

#include <algorithm>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/linear/linear_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/linear/activations-inl.hpp"
#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// Calls work<activation>().
template <class Work>
HWY_INLINE void with_activation(linear_activation activation, const Work& work) {
  using enum linear_activation;
  switch (activation) {
    case none:
      return work.template operator()<none>();
    case relu:
      return work.template operator()<relu>();
    case sigmoid:
      return work.template operator()<sigmoid>();
    case silu:
      return work.template operator()<silu>();
    case gelu:
      return work.template operator()<gelu>();
    case linear_activation::tanh:
      return work.template operator()<linear_activation::tanh>();
  }
}

template <linear_activation activation>
void activate(const float* z, float* y, std::size_t n) {
  for_columns(0, n, [z, y](auto d, std::size_t at) HWY_ATTR {
    hn::StoreU(activated<activation>(d, hn::LoadU(d, z + at)), d, y + at);
  });
}

/// dz = dy φ'.
template <linear_activation activation>
void slope(const float* kept, const float* dy, float* dz, std::size_t n) {
  for_columns(0, n, [=](auto d, std::size_t at) HWY_ATTR {
    hn::StoreU(sloped<activation>(d, hn::LoadU(d, kept + at), hn::LoadU(d, dy + at)), d, dz + at);
  });
}

/// Calls work(first, count) for rows of some 16 KB at a time, so that a second pass over them finds
/// them in L1.
template <class Work>
HWY_INLINE void for_row_blocks(std::size_t rows, std::size_t out, const Work& work) {
  const std::size_t step = std::max<std::size_t>(4096 / out, 1);
  for (std::size_t first = 0; first < rows; first += step)
    work(first, std::min(step, rows - first));
}

/// Adds bias [out] to each of the rows of z.
void add_bias(const float* bias, std::size_t rows, std::size_t out, float* z) {
  for (std::size_t r = 0; r < rows; ++r) {
    float* row = z + r * out;
    for_columns(0, out, [bias, row](auto d, std::size_t j) HWY_ATTR {
      hn::StoreU(hn::Add(hn::LoadU(d, row + j), hn::LoadU(d, bias + j)), d, row + j);
    });
  }
}

/// dbias += Σ_rows dz, in the order of the rows.
void add_rows(const float* dz, std::size_t rows, std::size_t out, float* dbias) {
  constexpr std::size_t together = 4;
  std::size_t r = 0;
  for (; r + together <= rows; r += together) {
    const float* row = dz + r * out;
    for_columns(0, out, [row, out, dbias](auto d, std::size_t j) HWY_ATTR {
      auto sum = hn::LoadU(d, dbias + j);
      for (std::size_t i = 0; i < together; ++i) {
        sum = hn::Add(sum, hn::LoadU(d, row + i * out + j));
      }
      hn::StoreU(sum, d, dbias + j);
    });
  }
  for (; r < rows; ++r) {
    const float* row = dz + r * out;
    for_columns(0, out, [row, dbias](auto d, std::size_t j) HWY_ATTR {
      hn::StoreU(hn::Add(hn::LoadU(d, dbias + j), hn::LoadU(d, row + j)), d, dbias + j);
    });
  }
}

/// z [rows, out] += bias (unless null), then y = φ(z), which may be z itself.
void finish_rows_target(linear_activation activation,
                        const float* bias,
                        std::size_t rows,
                        std::size_t out,
                        float* z,
                        float* y) {
  for_row_blocks(rows, out, [=](std::size_t first, std::size_t count) HWY_ATTR {
    if (bias != nullptr) add_bias(bias, count, out, z + first * out);
    if (activation == linear_activation::none) return;
    with_activation(activation, [=]<linear_activation chosen>() HWY_ATTR {
      activate<chosen>(z + first * out, y + first * out, count * out);
    });
  });
}

/// dz [rows, out] = dy φ' (unless null: φ is the identity), then dbias (unless null) += its rows.
void slope_rows_target(linear_activation activation,
                       const float* kept,
                       const float* dy,
                       std::size_t rows,
                       std::size_t out,
                       float* dz,
                       float* dbias) {
  for_row_blocks(rows, out, [=](std::size_t first, std::size_t count) HWY_ATTR {
    const std::size_t at = first * out;
    if (dz != nullptr) {
      with_activation(activation, [=]<linear_activation chosen>() HWY_ATTR {
        slope<chosen>(kept + at, dy + at, dz + at, count * out);
      });
    }
    if (dbias != nullptr) add_rows((dz != nullptr ? dz : dy) + at, count, out, dbias);
  });
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(finish_rows_target);
HWY_EXPORT(slope_rows_target);

void finish_rows(linear_activation activation,
                 const float* bias,
                 std::size_t rows,
                 std::size_t out,
                 float* z,
                 float* y) {
  HWY_DYNAMIC_DISPATCH(finish_rows_target)(activation, bias, rows, out, z, y);
}

void slope_rows(linear_activation activation,
                const float* kept,
                const float* dy,
                std::size_t rows,
                std::size_t out,
                float* dz,
                float* dbias) {
  HWY_DYNAMIC_DISPATCH(slope_rows_target)(activation, kept, dy, rows, out, dz, dbias);
}

namespace {

/// Rows that are done at a time: 512 KB of y or dz, which are in L2 for the next pass, but enough
/// rows (256) that packing the weights again is little beside multiplying by them.
std::size_t chunk_rows(std::size_t rows, std::size_t out) {
  constexpr std::size_t chunk_values = 128 * 1024;
  return std::min(rows, std::max<std::size_t>(chunk_values / std::max<std::size_t>(out, 1), 256));
}

/// z [rows, out] of the rows from `begin` on.
void multiply_forward(const linear_args& args, std::size_t begin, std::size_t rows, float* z) {
  gemm({.a = args.x.data() + begin * args.in,
        .a_stride = args.in,
        .b = args.weights.data(),
        .b_stride = args.out,
        .c = z,
        .c_stride = args.out,
        .m = rows,
        .n = args.out,
        .k = args.in,
        .workspace = args.workspace});
}

/// dx of the rows from `begin` on.
void multiply_backward(const linear_backward_args& args,
                       std::size_t begin,
                       std::size_t rows,
                       const float* dz,
                       std::span<float> workspace) {
  gemm({.a = dz,
        .a_stride = args.out,
        .b = args.weights.data(),
        .b_stride = args.out,
        .b_transposed = true,
        .c = args.dx.data() + begin * args.in,
        .c_stride = args.in,
        .m = rows,
        .n = args.in,
        .k = args.out,
        .workspace = workspace});
}

/// Adds to dweights what the rows from `begin` on give.
void add_weight_gradients(const linear_backward_args& args,
                          std::size_t begin,
                          std::size_t rows,
                          const float* dz,
                          std::span<float> workspace) {
  gemm({.a = args.x.data() + begin * args.in,
        .a_stride = args.in,
        .a_transposed = true,
        .b = dz,
        .b_stride = args.out,
        .c = args.dweights.data(),
        .c_stride = args.out,
        .m = args.in,
        .n = args.out,
        .k = rows,
        .accumulate = true,
        .workspace = workspace});
}

/// dz of the rows from `begin` on: dy itself where φ is the identity, else in `room`. Adds it to
/// dbias.
const float* output_gradients(const linear_backward_args& args,
                              std::size_t begin,
                              std::size_t rows,
                              float* room) {
  const bool identity = args.activation == linear_activation::none;
  const std::size_t at = begin * args.out;
  const float* dy = args.dy.data() + at;
  const std::span<const float> kept = linear_reads_saved(args.activation) ? args.saved : args.y;
  slope_rows(args.activation,
             identity ? nullptr : kept.data() + at,
             dy,
             rows,
             args.out,
             identity ? nullptr : room,
             args.dbias.empty() ? nullptr : args.dbias.data());
  return identity ? dy : room;
}

}  // namespace

std::size_t linear_workspace(std::size_t rows, std::size_t in, std::size_t out) {
  const std::size_t chunk = chunk_rows(rows, out);
  return chunk * out + std::max({gemm_workspace(chunk, out, in),
                                 gemm_workspace(chunk, in, out),
                                 gemm_workspace(in, out, chunk)});
}

void linear_forward_cpu(const linear_args& args) {
  CHECK(args.x.size() == args.rows * args.in);
  CHECK(args.weights.size() == args.in * args.out);
  CHECK(args.bias.empty() || args.bias.size() == args.out);
  CHECK(args.y.size() == args.rows * args.out);
  CHECK(args.saved.size() == (linear_reads_saved(args.activation) ? args.y.size() : 0));
  CHECK(args.workspace.size() >= linear_workspace(args.rows, args.in, args.out));
  if (args.y.empty()) return;
  float* z = args.saved.empty() ? args.y.data() : args.saved.data();
  const float* bias = args.bias.empty() ? nullptr : args.bias.data();
  const std::size_t chunk = chunk_rows(args.rows, args.out);
  for (std::size_t begin = 0; begin < args.rows; begin += chunk) {
    const std::size_t rows = std::min(chunk, args.rows - begin);
    const std::size_t at = begin * args.out;
    multiply_forward(args, begin, rows, z + at);
    finish_rows(args.activation, bias, rows, args.out, z + at, args.y.data() + at);
  }
}

void linear_backward_cpu(const linear_backward_args& args) {
  CHECK(args.x.size() == args.rows * args.in);
  CHECK(args.weights.size() == args.in * args.out);
  CHECK(args.dy.size() == args.rows * args.out);
  CHECK(!linear_reads_y(args.activation) || args.y.size() == args.dy.size());
  CHECK(!linear_reads_saved(args.activation) || args.saved.size() == args.dy.size());
  CHECK(args.dx.empty() || args.dx.size() == args.x.size());
  CHECK(args.dweights.size() == args.weights.size());
  CHECK(args.dbias.empty() || args.dbias.size() == args.out);
  CHECK(args.workspace.size() >= linear_workspace(args.rows, args.in, args.out));
  const std::size_t chunk = chunk_rows(args.rows, args.out);
  const std::span<float> rest = args.workspace.subspan(chunk * args.out);
  for (std::size_t begin = 0; begin < args.rows; begin += chunk) {
    const std::size_t rows = std::min(chunk, args.rows - begin);
    const float* dz =
        args.out == 0 ? nullptr : output_gradients(args, begin, rows, args.workspace.data());
    if (!args.dx.empty()) multiply_backward(args, begin, rows, dz, rest);
    add_weight_gradients(args, begin, rows, dz, rest);
  }
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
