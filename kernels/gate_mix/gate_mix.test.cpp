#include "kernels/gate_mix/gate_mix.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

struct gate_shape {
  std::size_t rows = 1;
  std::size_t experts = 1;
  std::size_t dim = 1;
  float scale = 1.0F;
};

template <class Value>
struct gate_case {
  gate_case(const gate_shape& s, std::uint64_t seed)
      : shape(s),
        logits(s.rows * s.experts),
        experts(s.rows * s.experts * s.dim),
        output_gradients(s.rows * s.dim),
        gates(logits.span().size()),
        outputs(s.rows * s.dim),
        logit_gradients(logits.span().size()),
        expert_gradients(experts.span().size()) {
    random_stream random(seed);
    for (Value& value : logits.span()) value = static_cast<Value>(next_signed(random, s.scale));
    for (Value& value : experts.span()) value = static_cast<Value>(next_signed(random));
    for (Value& value : output_gradients.span()) value = static_cast<Value>(next_signed(random));
  }

  template <class Op>
  void forward(const Op& op) {
    poison(gates);
    poison(outputs);
    op(basic_gate_mix_args<Value>{.gate_logits = logits.span(),
                                  .expert_outputs = experts.span(),
                                  .experts = shape.experts,
                                  .dim = shape.dim,
                                  .gates = gates.span(),
                                  .outputs = outputs.span()});
  }
  template <class Op>
  void backward(const Op& op) {
    poison(logit_gradients);
    poison(expert_gradients);
    op(basic_gate_mix_backward_args<Value>{.gates = gates.span(),
                                           .expert_outputs = experts.span(),
                                           .experts = shape.experts,
                                           .dim = shape.dim,
                                           .output_gradients = output_gradients.span(),
                                           .gate_logit_gradients = logit_gradients.span(),
                                           .expert_gradients = expert_gradients.span()});
  }
  static void poison(misaligned<Value>& out) {
    std::fill(out.span().begin(), out.span().end(), static_cast<Value>(nan_value));
  }

  gate_shape shape;
  misaligned<Value> logits;
  misaligned<Value> experts;
  misaligned<Value> output_gradients;
  misaligned<Value> gates;
  misaligned<Value> outputs;
  misaligned<Value> logit_gradients;
  misaligned<Value> expert_gradients;
};

void forward_on_reference(gate_case<double>& one) {
  one.forward([](const auto& args) { gate_mix_ref(args); });
}
void backward_on_reference(gate_case<double>& one) {
  one.backward([](const auto& args) { gate_mix_backward_ref(args); });
}

void copy_values(const misaligned<float>& from, misaligned<double>& to) {
  std::copy(from.span().begin(), from.span().end(), to.span().begin());
}

gate_case<double> in_double(const gate_case<float>& one) {
  gate_case<double> exact(one.shape, 0);
  copy_values(one.logits, exact.logits);
  copy_values(one.experts, exact.experts);
  copy_values(one.output_gradients, exact.output_gradients);
  return exact;
}

double off(const misaligned<float>& got, const misaligned<double>& wanted, std::size_t i) {
  return std::abs(static_cast<double>(got.span()[i]) - wanted.span()[i]);
}

void expect_forward_within_bounds(const gate_case<float>& one) {
  gate_case<double> exact = in_double(one);
  forward_on_reference(exact);
  const gate_shape& s = one.shape;
  for (std::size_t r = 0; r < s.rows; ++r) {
    double largest = 0.0;
    for (std::size_t i = r * s.experts; i < (r + 1) * s.experts; ++i) {
      largest = std::max(largest, std::abs(exact.logits.span()[i]));
    }
    const double n = static_cast<double>(s.experts);
    for (std::size_t i = r * s.experts; i < (r + 1) * s.experts; ++i) {
      const double relative = (8.0 * largest + n + 16.0) * unit_roundoff;
      ASSERT_LE(off(one.gates, exact.gates, i), relative * exact.gates.span()[i] + 0x1p-120);
    }
    for (std::size_t k = 0; k < s.dim; ++k) {
      double magnitude = 0.0;
      for (std::size_t i = r * s.experts; i < (r + 1) * s.experts; ++i) {
        magnitude += exact.gates.span()[i] * std::abs(exact.experts.span()[i * s.dim + k]);
      }
      const double relative = (8.0 * largest + 2.0 * n + 20.0) * unit_roundoff;
      ASSERT_LE(off(one.outputs, exact.outputs, r * s.dim + k), relative * magnitude + 0x1p-110);
    }
  }
}

void expect_backward_within_bounds(const gate_case<float>& one) {
  gate_case<double> exact = in_double(one);
  copy_values(one.gates, exact.gates);
  backward_on_reference(exact);
  const gate_shape& s = one.shape;
  for (std::size_t r = 0; r < s.rows; ++r) {
    std::vector<double> magnitudes(s.experts);
    double mean = 0.0;
    for (std::size_t e = 0; e < s.experts; ++e) {
      const std::size_t i = r * s.experts + e;
      for (std::size_t k = 0; k < s.dim; ++k) {
        magnitudes[e] += std::abs(exact.output_gradients.span()[r * s.dim + k] *
                                  exact.experts.span()[i * s.dim + k]);
        const double wanted = exact.expert_gradients.span()[i * s.dim + k];
        ASSERT_LE(off(one.expert_gradients, exact.expert_gradients, i * s.dim + k),
                  unit_roundoff * std::abs(wanted) + 0x1p-126);
      }
      mean += exact.gates.span()[i] * magnitudes[e];
    }
    const double steps = static_cast<double>(s.dim + s.experts + 8) * unit_roundoff;
    for (std::size_t e = 0; e < s.experts; ++e) {
      const std::size_t i = r * s.experts + e;
      ASSERT_LE(off(one.logit_gradients, exact.logit_gradients, i),
                steps * exact.gates.span()[i] * (magnitudes[e] + mean) + 0x1p-110);
    }
  }
}

template <class Check>
void for_each_shape(const Check& check) {
  for (const std::size_t rows : {0U, 1U, 5U}) {
    for (const std::size_t experts : {1U, 2U, 3U, 4U, 7U, 8U, 9U, 17U, 64U}) {
      for (const std::size_t dim : {0U, 1U, 3U, 4U, 8U, 15U, 16U, 17U, 33U, 64U, 130U}) {
        const float scale = dim % 2 == 0 ? 2.0F : 60.0F;
        SCOPED_TRACE(std::to_string(rows) + " rows, " + std::to_string(experts) + " experts, dim " +
                     std::to_string(dim));
        check(gate_shape{rows, experts, dim, scale});
      }
    }
  }
}

TEST(GateMix, StaysWithinItsBoundsForSizesAtEveryEdge) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for_each_shape([](const gate_shape& shape) {
        gate_case<float> one(shape, test_seed() + shape.dim);
        one.forward(gate_mix_cpu);
        expect_forward_within_bounds(one);
        one.backward(gate_mix_backward_cpu);
        expect_backward_within_bounds(one);
      });
    });
  });
}

/// Outputs are of second degree in gates and experts, smooth in the logits: truncation step^2 / 6
/// times a third derivative (below 10) is 2e-10; rounding of the sum over the step 1e-9.
TEST(GateMix, GradientsEqualCentralDifferencesOfTheReference) {
  constexpr double step = 1e-5;
  gate_case<double> one({4, 5, 7, 2.0F}, test_seed());
  forward_on_reference(one);
  backward_on_reference(one);
  const auto loss = [&one] {
    forward_on_reference(one);
    double sum = 0.0;
    for (std::size_t i = 0; i < one.outputs.span().size(); ++i) {
      sum += one.outputs.span()[i] * one.output_gradients.span()[i];
    }
    return sum;
  };
  const auto check = [&loss](std::span<double> inputs, std::span<const double> gradients) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const double value = inputs[i];
      inputs[i] = value + step;
      const double above = loss();
      inputs[i] = value - step;
      const double below = loss();
      inputs[i] = value;
      const double wanted = (above - below) / (2.0 * step);
      ASSERT_NEAR(gradients[i], wanted, 1e-6 * std::abs(wanted) + 3e-9) << "at " << i;
    }
  };
  check(one.logits.span(), one.logit_gradients.span());
  check(one.experts.span(), one.expert_gradients.span());
}

TEST(GateMix, GivesTheMeanOfTheExpertsWhereTheGateIsIndifferent) {
  for_each_cpu_target([] {
    gate_case<float> one({1, 2, 3}, test_seed());
    const std::array<float, 6> experts = {1.0F, 2.0F, 3.0F, 5.0F, 6.0F, 7.0F};
    std::fill(one.logits.span().begin(), one.logits.span().end(), 7.0F);
    std::copy(experts.begin(), experts.end(), one.experts.span().begin());
    one.forward(gate_mix_cpu);
    EXPECT_EQ(one.gates.span()[1], 0.5F);
    EXPECT_EQ(one.outputs.span()[0], 3.0F);
    EXPECT_EQ(one.outputs.span()[2], 5.0F);
  });
}

TEST(GateMix, PicksOneExpertWhereTheGateIsCertain) {
  for_each_cpu_target([] {
    gate_case<float> one({1, 9, 5}, test_seed());
    one.logits.span()[8] = 500.0F;
    one.forward(gate_mix_cpu);
    one.backward(gate_mix_backward_cpu);
    for (std::size_t k = 0; k < 5; ++k) {
      EXPECT_EQ(one.outputs.span()[k], one.experts.span()[8 * 5 + k]);
      EXPECT_EQ(one.expert_gradients.span()[k], 0.0F);
      EXPECT_EQ(one.expert_gradients.span()[8 * 5 + k], one.output_gradients.span()[k]);
    }
  });
}

TEST(GateMix, ShowsANanAmongTheLogits) {
  for_each_cpu_target([] {
    for (const std::size_t at : {0U, 4U, 16U}) {
      gate_case<float> one({1, 17, 3}, test_seed());
      one.logits.span()[at] = nan_value;
      one.forward(gate_mix_cpu);
      for (const float out : one.outputs.span()) EXPECT_TRUE(std::isnan(out));
    }
  });
}

TEST(GateMix, GivesTheSameBitsTwice) {
  for_each_cpu_target([] {
    gate_case<float> one({9, 7, 61}, test_seed());
    one.forward(gate_mix_cpu);
    one.backward(gate_mix_backward_cpu);
    gate_case<float> again({9, 7, 61}, test_seed());
    again.forward(gate_mix_cpu);
    again.backward(gate_mix_backward_cpu);
    EXPECT_TRUE(same_bits(one.outputs.span(), again.outputs.span()));
    EXPECT_TRUE(same_bits(one.logit_gradients.span(), again.logit_gradients.span()));
  });
}

TEST(GateMix, RefusesExpertOutputsOfTheWrongSize) {
  gate_case<float> one({2, 3, 4}, test_seed());
  one.experts = misaligned<float>(5);
  EXPECT_DEATH(one.forward(gate_mix_cpu), "expert_outputs");
}

}  // namespace
}  // namespace headrace::kernels
