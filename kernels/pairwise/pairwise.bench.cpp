#include "kernels/pairwise/pairwise.hpp"

#include "kernels/runtime/bench_cases.hpp"

#include <cstring>

namespace headrace::kernels {
namespace {

constexpr std::size_t samples = 256;
constexpr std::size_t fields = 39;

/// 256 samples of 39 fields.
struct pairwise_case {
  explicit pairwise_case(std::size_t vector_dim)
      : dim(vector_dim),
        values(random_floats(samples * fields * vector_dim)),
        gradients(values.size()),
        sums(samples * vector_dim),
        out(samples),
        out_gradients(random_floats(samples)) {}
  void copy() {
    std::memcpy(gradients.data(), values.data(), values.size() * sizeof(float));
    benchmark::ClobberMemory();
  }
  pairwise_args forward_args() {
    return {.fields = packed_fields<const float>(values, samples, fields, dim),
            .out = out,
            .sums = sums};
  }
  std::size_t dim;
  std::vector<float> values;
  std::vector<float> gradients;
  std::vector<float> sums;
  std::vector<float> out;
  std::vector<float> out_gradients;
};

/// Peer: a copy of the fields, which reads as much and writes it, too.
void pairwise_forward(benchmark::State& state) {
  pairwise_case one(static_cast<std::size_t>(state.range(0)));
  compare(
      state,
      samples,
      fields * one.dim * sizeof(float),
      [&one](std::size_t) {
        pairwise(one.forward_args());
        benchmark::ClobberMemory();
      },
      [&one](std::size_t) { one.copy(); });
}
BENCHMARK(pairwise_forward)->Arg(8)->Arg(16)->Arg(64)->UseManualTime();

/// Peer: the same copy; the gradient moves the same bytes.
void pairwise_gradient(benchmark::State& state) {
  pairwise_case one(static_cast<std::size_t>(state.range(0)));
  pairwise(one.forward_args());
  compare(
      state,
      samples,
      2 * fields * one.dim * sizeof(float),
      [&one](std::size_t) {
        pairwise_backward(
            {.fields = packed_fields<const float>(one.values, samples, fields, one.dim),
             .sums = one.sums,
             .out_gradients = one.out_gradients,
             .field_gradients = packed_fields<float>(one.gradients, samples, fields, one.dim)});
        benchmark::ClobberMemory();
      },
      [&one](std::size_t) { one.copy(); });
}
BENCHMARK(pairwise_gradient)->Arg(8)->Arg(16)->Arg(64)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
