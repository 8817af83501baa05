#include "kernels/gate_mix/gate_mix.hpp"
#include "kernels/gate_mix/gate_mix_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"

namespace headrace::kernels {
namespace {

constexpr float poison = std::numeric_limits<float>::quiet_NaN();
constexpr double tolerance = 1e-5;

struct emulated_gates {
  emulated_gates(std::uint32_t row_count, std::uint32_t expert_count, std::uint32_t width)
      : rows(row_count),
        experts(expert_count),
        dim(width),
        logits(std::size_t{rows} * experts),
        outputs_of_experts(logits.size() * dim),
        gradients(std::size_t{rows} * dim),
        gates(logits.size(), poison),
        outputs(gradients.size(), poison),
        logit_gradients(logits.size(), poison),
        expert_gradients(outputs_of_experts.size(), poison) {
    random_stream random(test_seed() + experts * 100 + dim);
    fill_signed<float>(logits, random, 3.0F);
    fill_signed<float>(outputs_of_experts, random);
    fill_signed<float>(gradients, random);
  }
  void forward(const emulated_launch& launch) {
    launch_gate_mix({.gate_logits = logits.data(),
                     .expert_outputs = outputs_of_experts.data(),
                     .gates = gates.data(),
                     .outputs = outputs.data(),
                     .rows = rows,
                     .experts = experts,
                     .dim = dim,
                     .aligned = dim % 4 == 0},
                    launch);
  }
  void forward_ref() {
    gate_mix_ref(gate_mix_args{.gate_logits = logits,
                               .expert_outputs = outputs_of_experts,
                               .experts = experts,
                               .dim = dim,
                               .gates = gates,
                               .outputs = outputs});
  }
  void backward(const emulated_launch& launch) {
    launch_gate_mix_backward({.gates = gates.data(),
                              .expert_outputs = outputs_of_experts.data(),
                              .output_gradients = gradients.data(),
                              .gate_logit_gradients = logit_gradients.data(),
                              .expert_gradients = expert_gradients.data(),
                              .rows = rows,
                              .experts = experts,
                              .dim = dim,
                              .aligned = dim % 4 == 0},
                             launch);
  }
  void backward_ref() {
    gate_mix_backward_ref(gate_mix_backward_args{.gates = gates,
                                                 .expert_outputs = outputs_of_experts,
                                                 .experts = experts,
                                                 .dim = dim,
                                                 .output_gradients = gradients,
                                                 .gate_logit_gradients = logit_gradients,
                                                 .expert_gradients = expert_gradients});
  }

  std::uint32_t rows;
  std::uint32_t experts;
  std::uint32_t dim;
  std::vector<float> logits, outputs_of_experts, gradients, gates, outputs, logit_gradients,
      expert_gradients;
};

/// Logits' gradients may be little of what they were made of: against Σ |d expert|, as the header.
void expect_logit_gradients_near(const emulated_gates& got, const emulated_gates& wanted) {
  for (std::size_t i = 0; i < got.logits.size(); ++i) {
    double size = 0.0;
    for (std::size_t e = i / got.experts * got.experts; e < (i / got.experts + 1) * got.experts;
         ++e) {
      for (std::size_t k = 0; k < got.dim; ++k) {
        size += std::abs(static_cast<double>(got.gradients[i / got.experts * got.dim + k]) *
                         static_cast<double>(got.outputs_of_experts[e * got.dim + k]));
      }
    }
    ASSERT_NEAR(got.logit_gradients[i], wanted.logit_gradients[i], 1e-6 * size) << "at " << i;
  }
}

TEST(GateMixKernel, IsTheReferenceBothWays) {
  for_each_order([](const emulated_launch& launch) {
    for (const std::uint32_t rows : {0U, 1U, 9U}) {
      for (const std::uint32_t experts : {1U, 4U, 33U}) {
        for (const std::uint32_t dim : {0U, 1U, 7U, 64U, 132U}) {
          if (dim > 7 && experts > 4 && rows > 1) continue;
          SCOPED_TRACE(std::to_string(rows) + " rows, " + std::to_string(experts) +
                       " experts, dim " + std::to_string(dim));
          emulated_gates got(rows, experts, dim);
          emulated_gates wanted = got;
          got.forward(launch);
          wanted.forward_ref();
          EXPECT_LE(relative_error<float>(got.gates, std::span<float>(wanted.gates)), tolerance);
          EXPECT_LE(relative_error<float>(got.outputs, std::span<float>(wanted.outputs)),
                    tolerance);
          got.gates = wanted.gates;
          got.backward(launch);
          wanted.backward_ref();
          expect_logit_gradients_near(got, wanted);
          EXPECT_LE(relative_error<float>(got.expert_gradients,
                                          std::span<float>(wanted.expert_gradients)),
                    tolerance);
        }
      }
    }
  });
}

TEST(GateMixKernel, MakesARowNanWhoseLogitsHaveOne) {
  emulated_gates one(2, 40, 8);
  one.logits[33] = poison;
  one.forward({test_seed()});
  for (std::size_t i = 0; i < 80; ++i) EXPECT_EQ(std::isnan(one.gates[i]), i < 40) << i;
  for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(std::isnan(one.outputs[i]), i < 8) << i;
}

}  // namespace
}  // namespace headrace::kernels
