#include "kernels/block_int4/block_int4.hpp"

#include "kernels/runtime/bench_cases.hpp"

#include <cstring>

namespace headrace::kernels {
namespace {

/// range(0) values: 32 K stay in L2, 16 M stream from memory. Peers: memcpy of as many bytes, read
/// and written together, as the op moves.
struct int4_case {
  explicit int4_case(benchmark::State& state)
      : n(static_cast<std::size_t>(state.range(0))),
        values(n),
        residuals(n),
        copies(n),
        codes(int4_bytes(n)),
        scales(int4_scales(n)) {
    random_stream random(1);
    for (float& value : values.span()) value = static_cast<float>(random.next_unit()) - 0.5F;
    encode(false);
  }
  void encode(bool feedback) {
    encode_int4({.values = values.span(),
                 .residuals = feedback ? residuals.span() : std::span<float>(),
                 .codes = codes.span(),
                 .scales = scales.span()});
  }
  std::size_t code_bytes() const { return int4_bytes(n) + 2 * int4_scales(n); }
  void copy_bytes(std::size_t moved) {
    std::memcpy(copies.data(), values.data(), std::min(moved / 2, n * sizeof(float)));
    if (moved / 2 > n * sizeof(float)) {
      std::memcpy(copies.data(), residuals.data(), moved / 2 - n * sizeof(float));
    }
    benchmark::ClobberMemory();
  }
  std::size_t n;
  huge_buffer<float> values;
  huge_buffer<float> residuals;
  huge_buffer<float> copies;
  huge_buffer<std::uint8_t> codes;
  huge_buffer<std::uint16_t> scales;
};

void int4_encode(benchmark::State& state) {
  int4_case one(state);
  const std::size_t bytes = 4 * one.n + one.code_bytes();
  compare(
      state,
      one.n,
      4,
      [&one](std::size_t) { one.encode(false); },
      [&one, bytes](std::size_t) { one.copy_bytes(bytes); });
}

void int4_encode_feedback(benchmark::State& state) {
  int4_case one(state);
  const std::size_t bytes = 12 * one.n + one.code_bytes();
  compare(
      state,
      one.n,
      12,
      [&one](std::size_t) { one.encode(true); },
      [&one, bytes](std::size_t) { one.copy_bytes(bytes); });
}

void int4_decode(benchmark::State& state) {
  int4_case one(state);
  const std::size_t bytes = 4 * one.n + one.code_bytes();
  compare(
      state,
      one.n,
      4,
      [&one](std::size_t) {
        decode_int4(
            {.codes = one.codes.span(), .scales = one.scales.span(), .values = one.copies.span()});
      },
      [&one, bytes](std::size_t) { one.copy_bytes(bytes); });
}

BENCHMARK(int4_encode)->Arg(1 << 15)->Arg(16 << 20)->UseManualTime();
BENCHMARK(int4_encode_feedback)->Arg(1 << 15)->Arg(16 << 20)->UseManualTime();
BENCHMARK(int4_decode)->Arg(1 << 15)->Arg(16 << 20)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
