#include "base/check.hpp"
#include "kernels/quantized_linear/quantized_linear.hpp"

#include <algorithm>
#include <array>
#include <utility>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantized_linear/quantized_linear_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

using float_tag = hn::CappedTag<float, lanes_max>;
using float_vector = hn::Vec<float_tag>;
using code_tag = hn::RebindToSigned<float_tag>;
constexpr std::size_t lanes = hn::MaxLanes(float_tag());

/// Most rows that share the codes of one pass.
constexpr std::size_t rows_max = 4;

/// Sums of one panel: rows of panel_outputs floats.
using panel_sums = std::array<float, rows_max * panel_outputs>;

/// What a pass reads: words of one panel from input `begin` on, and rows of x.
struct code_span {
  const std::uint32_t* words;
  const float* x;
  std::size_t x_stride;
  std::size_t begin;
  std::size_t end;
};

/// Calls step(i) with i = 0 … n - 1 as constants, so that what it indexes stays in registers.
template <std::size_t n, class Step>
HWY_INLINE void each_index(const Step& step) {
  [&step]<std::size_t... i>(std::index_sequence<i...>) HWY_ATTR {
    (step(std::integral_constant<std::size_t, i>()), ...);
  }
  (std::make_index_sequence<n>());
}

/// Running sums, [rows, vectors]: registers, as the loops over them are unrolled. Each is one chain
/// of additions in the order of the inputs, so that a row's result doesn't depend on the rows
/// beside it; the decoding takes as long as the chain.
template <std::size_t rows, std::size_t vectors>
using code_sums = float_vector[rows * vectors];

/// Adds x * code for the inputs of one word and `vectors` vectors of outputs: the top bits are the
/// next input's codes, then they are shifted out.
template <std::size_t bits, std::size_t rows, std::size_t vectors>
HWY_INLINE void add_word(const std::uint32_t* words,
                         const float* x,
                         std::size_t x_stride,
                         code_sums<rows, vectors>& sums) {
  const float_tag d;
  hn::Vec<code_tag> codes[vectors];
  each_index<vectors>([&codes, words](auto v) HWY_ATTR {
    const hn::RebindToUnsigned<float_tag> du;
    codes[v] = hn::BitCast(code_tag(), hn::LoadU(du, words + v * lanes));
  });
  HWY_UNROLL(8)
  for (std::size_t k = 0; k < 32 / bits; ++k) {
    HWY_UNROLL(8)
    for (std::size_t v = 0; v < vectors; ++v) {
      const float_vector code = hn::ConvertTo(d, hn::ShiftRight<32 - bits>(codes[v]));
      codes[v] = hn::ShiftLeft<bits>(codes[v]);
      HWY_UNROLL(4)
      for (std::size_t r = 0; r < rows; ++r) {
        float_vector& sum = sums[r * vectors + v];
        sum = hn::MulAdd(hn::Set(d, x[r * x_stride + k]), code, sum);
      }
    }
  }
}

/// to[r] = Σ x[r] * code over inputs [begin, end), for `vectors` vectors of outputs from `first`
/// on.
template <std::size_t bits, std::size_t rows, std::size_t vectors>
HWY_INLINE void multiply_codes(const code_span& of, std::size_t first, panel_sums& to) {
  constexpr std::size_t per_word = 32 / bits;
  const float_tag d;
  code_sums<rows, vectors> sums;
  each_index<rows * vectors>([&sums, d](auto at) HWY_ATTR { sums[at] = hn::Zero(d); });
  const std::uint32_t* words = of.words + first;
  std::size_t input = of.begin;
  for (; input + per_word <= of.end; input += per_word, words += panel_outputs) {
    add_word<bits, rows, vectors>(words, of.x + input, of.x_stride, sums);
  }
  if (input < of.end) {
    std::array<float, rows * per_word> x{};
    for (std::size_t r = 0; r < rows; ++r) {
      std::copy(of.x + r * of.x_stride + input, of.x + r * of.x_stride + of.end, &x[r * per_word]);
    }
    add_word<bits, rows, vectors>(words, x.data(), per_word, sums);
  }
  each_index<rows * vectors>([&sums, &to, first, d](auto at) HWY_ATTR {
    hn::StoreU(
        sums[at], d, to.data() + at / vectors * panel_outputs + first + at % vectors * lanes);
  });
}

/// One panel for `rows` rows, group by group; results go to y [rows, outputs] from `output` on.
template <std::size_t bits, std::size_t rows>
void multiply_panel(const quantized_linear_args& args, std::size_t row, std::size_t output) {
  constexpr std::size_t per_word = 32 / bits;
  constexpr std::size_t vectors = std::min<std::size_t>(panel_outputs / lanes, rows == 1 ? 4 : 2);
  const quantized_shape& shape = args.shape;
  const std::size_t count = std::min(panel_outputs, shape.outputs - output);
  const std::uint32_t* words = args.codes.data() + word_of(shape, 0, output);
  panel_sums totals{};
  for (std::size_t group = 0; group < scale_groups(shape); ++group) {
    const std::size_t begin = group * inputs_per_scale(shape);
    const code_span of = {.words = words + begin / per_word * panel_outputs,
                          .x = args.x.data() + row * shape.inputs,
                          .x_stride = shape.inputs,
                          .begin = begin,
                          .end = std::min(begin + inputs_per_scale(shape), shape.inputs)};
    panel_sums sums;
    for (std::size_t first = 0; first < panel_outputs; first += vectors * lanes) {
      multiply_codes<bits, rows, vectors>(of, first, sums);
    }
    const float* scales = args.scales.data() + group * shape.outputs + output;
    for (std::size_t r = 0; r < rows; ++r) {
      const float* from = sums.data() + r * panel_outputs;
      float* to = totals.data() + r * panel_outputs;
      for_columns(0, count, [from, to, scales](auto d, std::size_t o) HWY_ATTR {
        const auto scaled = hn::LoadU(d, from + o);
        hn::StoreU(hn::MulAdd(scaled, hn::LoadU(d, scales + o), hn::LoadU(d, to + o)), d, to + o);
      });
    }
  }
  for (std::size_t r = 0; r < rows; ++r) {
    const float* from = totals.data() + r * panel_outputs;
    float* to = args.y.data() + (row + r) * shape.outputs + output;
    for (std::size_t o = 0; o < count; ++o) {
      to[o] = args.bias.empty() ? from[o] : from[o] + args.bias[output + o];
    }
  }
}

template <std::size_t bits>
void multiply_all(const quantized_linear_args& args) {
  for (std::size_t output = 0; output < args.shape.outputs; output += panel_outputs) {
    std::size_t row = 0;
    for (; row + 4 <= args.rows; row += 4) multiply_panel<bits, 4>(args, row, output);
    if (args.rows - row == 3) multiply_panel<bits, 3>(args, row, output);
    if (args.rows - row == 2) multiply_panel<bits, 2>(args, row, output);
    if (args.rows - row == 1) multiply_panel<bits, 1>(args, row, output);
  }
}

void quantized_linear_target(const quantized_linear_args& args) {
  if (args.shape.bits == weight_bits::four) return multiply_all<4>(args);
  multiply_all<8>(args);
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(quantized_linear_target);

void quantized_linear_cpu(const quantized_linear_args& args) {
  CHECK(args.x.size() == args.rows * args.shape.inputs);
  CHECK(args.codes.size() == word_count(args.shape));
  CHECK(args.scales.size() == scale_count(args.shape));
  CHECK(args.bias.empty() || args.bias.size() == args.shape.outputs);
  CHECK(args.y.size() == args.rows * args.shape.outputs);
  HWY_DYNAMIC_DISPATCH(quantized_linear_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
