#include "kernels/stored_weights/stored_weights.hpp"

#include "kernels/runtime/bench_cases.hpp"
#include "kernels/runtime/float_mode.hpp"

#include <algorithm>
#include <cstring>

namespace headrace::kernels {
namespace {

// A chunk of ps/table/row_step.cpp is 64 rows at dim 64; rows stay in L2, where a push of compact
// rows finds them, so this is the price of the arithmetic alone.
constexpr std::size_t rows_n = 4'096;

struct rows_case {
  rows_case(value_format of, std::size_t row_dim)
      : format(of),
        dim(row_dim),
        row_bytes(stored_bytes(format, dim)),
        memory(rows_n * row_bytes),
        values(random_floats(rows_n * dim)),
        copies(values),
        draws(rows_n) {
    for (std::size_t i = 0; i < rows_n; ++i) {
      places.push_back(memory.data() + i * row_bytes);
      draws[i] = rounding_draw(1, i, 1);
    }
    const_places.assign(places.begin(), places.end());
    round();
  }
  void round() {
    round_weights({.format = format, .values = values, .dim = dim, .draws = draws, .rows = places});
  }
  void widen() {
    widen_weights({.format = format, .rows = const_places, .dim = dim, .values = copies});
  }
  /// Limit: memcpy of as many bytes read and written.
  void copy_same_bytes() {
    const std::size_t bytes = rows_n * (row_bytes + dim * sizeof(float)) / 2;
    std::memcpy(copies.data(), values.data(), std::min(bytes, copies.size() * sizeof(float)));
    benchmark::ClobberMemory();
  }
  value_format format;
  std::size_t dim;
  std::size_t row_bytes;
  huge_buffer<std::byte> memory;
  std::vector<std::byte*> places;
  std::vector<const std::byte*> const_places;
  std::vector<float> values;
  std::vector<float> copies;
  std::vector<std::uint64_t> draws;
};

void stored_weights_round(benchmark::State& state, value_format format) {
  const float_mode mode;
  rows_case one(format, static_cast<std::size_t>(state.range(0)));
  compare(
      state,
      rows_n,
      one.row_bytes + one.dim * sizeof(float),
      [&one](std::size_t) { one.round(); },
      [&one](std::size_t) { one.copy_same_bytes(); });
}

void stored_weights_widen(benchmark::State& state, value_format format) {
  const float_mode mode;
  rows_case one(format, static_cast<std::size_t>(state.range(0)));
  compare(
      state,
      rows_n,
      one.row_bytes + one.dim * sizeof(float),
      [&one](std::size_t) { one.widen(); },
      [&one](std::size_t) { one.copy_same_bytes(); });
}

#define CODEC(op, name, format) \
  BENCHMARK_CAPTURE(op, name, format)->Arg(16)->Arg(64)->UseManualTime()
CODEC(stored_weights_round, bf16, value_format::bf16);
CODEC(stored_weights_round, fp16, value_format::fp16);
CODEC(stored_weights_round, int8, value_format::int8);
CODEC(stored_weights_widen, bf16, value_format::bf16);
CODEC(stored_weights_widen, fp16, value_format::fp16);
CODEC(stored_weights_widen, int8, value_format::int8);
#undef CODEC

}  // namespace
}  // namespace headrace::kernels
