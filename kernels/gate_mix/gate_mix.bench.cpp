#include "kernels/gate_mix/gate_mix.hpp"

#include "kernels/runtime/bench_cases.hpp"

#include <cstring>

namespace headrace::kernels {
namespace {

constexpr std::size_t rows = 512;
constexpr std::size_t dim = 64;

/// 512 rows of state.range(0) experts, 64 wide.
struct gate_bench_case {
  explicit gate_bench_case(std::size_t n)
      : experts(n),
        logits(random_floats(rows * n)),
        outputs_of_experts(random_floats(rows * n * dim, 2)),
        gates(logits.size()),
        outputs(rows * dim),
        output_gradients(random_floats(rows * dim, 3)),
        logit_gradients(logits.size()),
        expert_gradients(outputs_of_experts.size()) {}
  void forward() {
    gate_mix({.gate_logits = logits,
              .expert_outputs = outputs_of_experts,
              .experts = experts,
              .dim = dim,
              .gates = gates,
              .outputs = outputs});
  }
  void backward() {
    gate_mix_backward({.gates = gates,
                       .expert_outputs = outputs_of_experts,
                       .experts = experts,
                       .dim = dim,
                       .output_gradients = output_gradients,
                       .gate_logit_gradients = logit_gradients,
                       .expert_gradients = expert_gradients});
  }
  std::size_t experts;
  std::vector<float> logits;
  std::vector<float> outputs_of_experts;
  std::vector<float> gates;
  std::vector<float> outputs;
  std::vector<float> output_gradients;
  std::vector<float> logit_gradients;
  std::vector<float> expert_gradients;
};

/// Peer of both: a copy of the expert outputs, which reads what forward reads (and writes more),
/// and moves what backward moves.
void copy_experts(gate_bench_case& one) {
  std::memcpy(one.expert_gradients.data(),
              one.outputs_of_experts.data(),
              one.outputs_of_experts.size() * sizeof(float));
  benchmark::ClobberMemory();
}

void gate_mix_forward_batch(benchmark::State& state) {
  gate_bench_case one(static_cast<std::size_t>(state.range(0)));
  compare(
      state,
      rows,
      (one.experts + 1) * dim * sizeof(float),
      [&one](std::size_t) { one.forward(); },
      [&one](std::size_t) { copy_experts(one); });
}
BENCHMARK(gate_mix_forward_batch)->Arg(3)->Arg(4)->Arg(8)->Arg(16)->UseManualTime();

void gate_mix_backward_batch(benchmark::State& state) {
  gate_bench_case one(static_cast<std::size_t>(state.range(0)));
  one.forward();
  compare(
      state,
      rows,
      2 * one.experts * dim * sizeof(float),
      [&one](std::size_t) { one.backward(); },
      [&one](std::size_t) { copy_experts(one); });
}
BENCHMARK(gate_mix_backward_batch)->Arg(3)->Arg(4)->Arg(8)->Arg(16)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
