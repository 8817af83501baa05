#include "kernels/quantize_rows/quantize_rows.hpp"

#include "kernels/runtime/bench_cases.hpp"

#include <cstring>

namespace headrace::kernels {
namespace {

/// range(1) rows: 4,096 stay in L2, a million stream from memory.
struct codec_case {
  explicit codec_case(benchmark::State& state)
      : dim(static_cast<std::size_t>(state.range(0))),
        rows(static_cast<std::size_t>(state.range(1))),
        values(rows * dim),
        copies(rows * dim),
        codes(rows * dim),
        scales(rows) {
    random_stream random(1);
    for (float& value : values.span()) value = static_cast<float>(random.next_unit()) - 0.5F;
    quantize_rows(
        {.values = values.span(), .codes = codes.span(), .scales = scales.span(), .dim = dim});
  }
  std::size_t row_bytes() const { return dim * sizeof(float) + dim + 2; }
  /// Limit: memcpy of as many bytes read and written as the op moves.
  void copy_same_bytes() {
    std::memcpy(copies.data(), values.data(), rows * row_bytes() / 2);
    benchmark::ClobberMemory();
  }
  std::size_t dim;
  std::size_t rows;
  huge_buffer<float> values;
  huge_buffer<float> copies;
  huge_buffer<std::int8_t> codes;
  huge_buffer<std::uint16_t> scales;
};

void quantize_rows_int8(benchmark::State& state) {
  codec_case one(state);
  compare(
      state,
      one.rows,
      one.row_bytes(),
      [&one](std::size_t) {
        quantize_rows({.values = one.values.span(),
                       .codes = one.codes.span(),
                       .scales = one.scales.span(),
                       .dim = one.dim});
      },
      [&one](std::size_t) { one.copy_same_bytes(); });
}

void dequantize_rows_int8(benchmark::State& state) {
  codec_case one(state);
  compare(
      state,
      one.rows,
      one.row_bytes(),
      [&one](std::size_t) {
        dequantize_rows({.codes = one.codes.span(),
                         .scales = one.scales.span(),
                         .dim = one.dim,
                         .values = one.copies.span()});
      },
      [&one](std::size_t) { one.copy_same_bytes(); });
}

#define CODEC(op)           \
  BENCHMARK(op)             \
      ->Args({16, 4096})    \
      ->Args({64, 4096})    \
      ->Args({16, 1 << 20}) \
      ->Args({64, 1 << 20}) \
      ->UseManualTime()
CODEC(quantize_rows_int8);
CODEC(dequantize_rows_int8);
#undef CODEC

}  // namespace
}  // namespace headrace::kernels
