#include "kernels/quantized_linear/quantized_linear.hpp"

#include "kernels/gemm/gemm.hpp"
#include "kernels/quantized_linear/fake_quant.hpp"
#include "kernels/runtime/bench_cases.hpp"

#include <cstring>

namespace headrace::kernels {
namespace {

std::size_t argument(const benchmark::State& state, int at) {
  return static_cast<std::size_t>(state.range(at));
}

/// bits, rows, inputs, outputs: the layer as codes, and as floats for the peer.
struct layer_case {
  explicit layer_case(const benchmark::State& state)
      : shape{.inputs = argument(state, 2),
              .outputs = argument(state, 3),
              .bits = state.range(0) == 4 ? weight_bits::four : weight_bits::eight},
        rows(argument(state, 1)),
        x(random_floats(rows * shape.inputs)),
        weights(shape.inputs * shape.outputs),
        codes(word_count(shape)),
        scales(scale_count(shape)),
        y(rows * shape.outputs),
        workspace(gemm_workspace(rows, shape.outputs, shape.inputs)) {
    const std::vector<float> drawn = random_floats(weights.size(), 2);
    std::copy(drawn.begin(), drawn.end(), weights.data());
    find_scales({.weights = weights.span(), .shape = shape, .scales = scales});
    pack_weights(
        {.weights = weights.span(), .shape = shape, .scales = scales, .codes = codes.span()});
  }

  void run_quantized() {
    quantized_linear({.x = x,
                      .shape = shape,
                      .codes = codes.span(),
                      .scales = scales,
                      .bias = {},
                      .y = y,
                      .rows = rows});
  }
  void run_floats() {
    gemm({.a = x.data(),
          .a_stride = shape.inputs,
          .b = weights.data(),
          .b_stride = shape.outputs,
          .c = y.data(),
          .c_stride = shape.outputs,
          .m = rows,
          .n = shape.outputs,
          .k = shape.inputs,
          .workspace = workspace});
  }

  quantized_shape shape;
  std::size_t rows;
  std::vector<float> x;
  huge_buffer<float> weights;
  huge_buffer<std::uint32_t> codes;
  std::vector<float> scales;
  std::vector<float> y;
  std::vector<float> workspace;
};

/// Peer: our product of floats. An item is a byte of codes and scales: M_items/s * 1e-3 = GB/s.
void against_floats(benchmark::State& state) {
  layer_case one(state);
  compare(
      state,
      quantized_bytes(one.shape),
      1,
      [&one](std::size_t) { one.run_quantized(); },
      [&one](std::size_t) { one.run_floats(); });
}

/// Sum of all words, in eight chains so that the loads are what it waits for.
std::uint64_t read_all(std::span<const std::uint32_t> words) {
  std::uint64_t sums[8] = {};
  for (std::size_t i = 0; i + 16 <= words.size(); i += 16) {
    for (std::size_t k = 0; k < 8; ++k) {
      std::uint64_t pair = 0;
      std::memcpy(&pair, words.data() + i + 2 * k, sizeof(pair));
      sums[k] += pair;
    }
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t one : sums) sum += one;
  return sum;
}

/// Peer: a plain read of the codes.
void against_a_read(benchmark::State& state) {
  layer_case one(state);
  compare(
      state,
      quantized_bytes(one.shape),
      1,
      [&one](std::size_t) { one.run_quantized(); },
      [&one](std::size_t) { benchmark::DoNotOptimize(read_all(one.codes.span())); });
}

/// Peer: a copy of the weights.
void fake_quant_forward(benchmark::State& state) {
  layer_case one(state);
  std::vector<float> quantized(one.weights.size());
  compare(
      state,
      one.weights.size(),
      2 * sizeof(float),
      [&](std::size_t) {
        fake_quant({.weights = one.weights.span(),
                    .shape = one.shape,
                    .scales = one.scales,
                    .quantized = quantized});
      },
      [&](std::size_t) {
        std::memcpy(quantized.data(), one.weights.data(), quantized.size() * sizeof(float));
        benchmark::ClobberMemory();
      });
}

#define HEADRACE_LAYERS(name)                                   \
  BENCHMARK(name)                                               \
      ->ArgsProduct({{8, 4}, {1, 4, 16}, {1024, 4096}, {1024}}) \
      ->ArgNames({"bits", "rows", "in", "out"})                 \
      ->UseManualTime()
HEADRACE_LAYERS(against_floats);
HEADRACE_LAYERS(against_a_read);
BENCHMARK(fake_quant_forward)->Args({8, 1, 1024, 1024})->Args({4, 1, 1024, 1024})->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
