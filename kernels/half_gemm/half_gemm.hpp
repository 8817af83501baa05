#pragma once

#include "kernels/half_gemm/packed_words.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

/// Matrix products of 16-bit floats with sums in f32: what AMX does with bf16, and the same numbers
/// from plain code where there is no AMX.
namespace headrace::kernels {

/// bf16 has the range of a float and 8 bits of precision; fp16 has 11 bits, and ends at 65,504.
enum class half_format : std::uint8_t { bf16, fp16 };

/// words[i] = values[i] rounded to the nearest, ties to even. From half a step beyond the largest
/// finite word on they are infinite, as IEEE 754 has it, and NaN stays NaN: what overflows is seen.
struct round_halves_args {
  half_format format = half_format::bf16;
  std::span<const float> values;
  std::span<std::uint16_t> words;
};
void round_halves_ref(const round_halves_args& args);
void round_halves_cpu(const round_halves_args& args);
inline void round_halves(const round_halves_args& args) { round_halves_cpu(args); }

/// Rounds a matrix B [k, n] and packs it as products read it: packed_words.hpp.
///
/// values [k, n], or, where `transposed`, [n, k], row-major without gaps; packed: packed_words(k,
/// n), all of them written, zeros where the matrix ends.
struct pack_halves_args {
  half_format format = half_format::bf16;
  std::span<const float> values;
  bool transposed = false;
  std::size_t k = 0;
  std::size_t n = 0;
  std::span<std::uint16_t> packed;
};
void pack_halves_ref(const pack_halves_args& args);
void pack_halves_cpu(const pack_halves_args& args);
inline void pack_halves(const pack_halves_args& args) { pack_halves_cpu(args); }

/// C = op(A) B, or C += op(A) B, C [m, n] in f32, row-major without gaps.
///
/// op(A) is [m, k]: A [m, k], or, where `a_transposed`, A [k, m], row-major without gaps; B as
/// pack_halves left it. Each product of two words is exact in f32, sums are f32. Sizes may be 0.
/// One thread. On one machine the same call gives the same bits; machines differ (orders of
/// summation; AMX takes subnormal words for 0). Bound: (k + 2) 2^-24 (Σ|a b| + |c|), while nothing
/// over- or underflows; against the unrounded matrices twice 2^-9 Σ|a b| more in bf16, 2^-12 in
/// fp16.
struct half_gemm_args {
  half_format format = half_format::bf16;
  std::span<const std::uint16_t> a;
  bool a_transposed = false;
  std::span<const std::uint16_t> b;
  std::span<float> c;
  std::size_t m = 0;
  std::size_t n = 0;
  std::size_t k = 0;
  bool accumulate = false;
  /// At least half_gemm_workspace(m, n, k) floats; the reference needs none.
  std::span<float> workspace = {};
};

/// Never more for a smaller m, n or k.
std::size_t half_gemm_workspace(std::size_t m, std::size_t n, std::size_t k);

void half_gemm_ref(const half_gemm_args& args);  // double accumulators
/// Widens both matrices and multiplies in f32: right everywhere, slower than f32 by the widening.
void half_gemm_cpu(const half_gemm_args& args);
/// By oneDNN where half_machine says so and the format is bf16, else by half_gemm_cpu.
void half_gemm(const half_gemm_args& args);

/// What multiplies bf16 faster than f32 here: bf16 instructions of AVX-512, or the tiles of AMX.
enum class half_machine : std::uint8_t { plain, avx512, amx };

/// Found out at the first call, which also multiplies two small matrices both ways: `plain` where
/// oneDNN was not there to build with, the processor has no such instructions, or oneDNN's product
/// differs from half_gemm_cpu's by more than the order of summation explains.
half_machine fastest_half_machine();

}  // namespace headrace::kernels
