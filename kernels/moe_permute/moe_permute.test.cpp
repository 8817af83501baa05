#include "kernels/moe_permute/moe_permute.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;

struct permute_shape {
  std::size_t tokens = 1;
  std::size_t per_token = 1;
  std::size_t dim = 1;
  std::size_t experts = 5;
};

/// Routes of which some are dropped and one expert has none, and values in every place. Misaligned.
template <class Value>
struct permute_case {
  permute_case(const permute_shape& s, std::uint64_t seed)
      : shape(s),
        routes(s.tokens * s.per_token),
        offsets(s.experts + 1, 99),
        places(routes.span().size(), 99),
        x(s.tokens * s.dim),
        gates(routes.span().size()),
        dy(x.span().size()) {
    random_stream random(seed);
    for (std::uint32_t& route : routes.span()) {
      route = static_cast<std::uint32_t>(random.next_below(s.experts));
      if (route == 1 || random.next_below(6) == 0) route = no_expert;
    }
    plan(moe_plan_ref);
    rows = misaligned<Value>(offsets.span().back() * s.dim);
    const auto fill = [&random](std::span<Value> values) {
      for (Value& value : values) value = static_cast<Value>(next_signed(random));
    };
    fill(x.span());
    fill(rows.span());
    fill(gates.span());
    fill(dy.span());
    // What belongs to nobody must not be read.
    for (std::size_t i = 0; i < gates.span().size(); ++i) {
      if (routes.span()[i] == no_expert) gates.span()[i] = nan;
    }
  }

  template <class Plan>
  void plan(const Plan& op) {
    op(moe_plan_args{.routes = routes.span(),
                     .per_token = shape.per_token,
                     .offsets = offsets.span(),
                     .places = places.span()});
  }
  template <class Permute>
  misaligned<Value> permute(const Permute& op) const {
    misaligned<Value> out(rows.span().size(), nan);
    op(basic_moe_permute_args<Value>{.x = x.span(),
                                     .places = places.span(),
                                     .per_token = shape.per_token,
                                     .dim = shape.dim,
                                     .rows = out.span()});
    return out;
  }
  template <class Combine>
  misaligned<Value> combine(const Combine& op, bool gated = true) const {
    misaligned<Value> out(x.span().size(), nan);
    op(basic_moe_combine_args<Value>{.rows = rows.span(),
                                     .places = places.span(),
                                     .gates = gated ? gates.span() : std::span<const Value>(),
                                     .per_token = shape.per_token,
                                     .dim = shape.dim,
                                     .y = out.span()});
    return out;
  }
  struct gradients {
    misaligned<Value> rows;
    misaligned<Value> gates;
  };
  template <class Backward>
  gradients combine_backward(const Backward& op) const {
    gradients out = {misaligned<Value>(rows.span().size(), nan),
                     misaligned<Value>(gates.span().size(), nan)};
    op(basic_moe_combine_backward_args<Value>{.rows = rows.span(),
                                              .places = places.span(),
                                              .gates = gates.span(),
                                              .per_token = shape.per_token,
                                              .dim = shape.dim,
                                              .y_gradients = dy.span(),
                                              .row_gradients = out.rows.span(),
                                              .gate_gradients = out.gates.span()});
    return out;
  }
  /// Σ |gate * value| over the slots of a token with a place, column i.
  double magnitude(std::size_t token, std::size_t i, bool gated) const {
    double sum = 0.0;
    for (std::size_t s = token * shape.per_token; s < (token + 1) * shape.per_token; ++s) {
      if (places.span()[s] == no_place) continue;
      const double g = gated ? static_cast<double>(gates.span()[s]) : 1.0;
      sum += std::abs(g * static_cast<double>(rows.span()[places.span()[s] * shape.dim + i]));
    }
    return sum;
  }

  static constexpr Value nan = std::numeric_limits<Value>::quiet_NaN();
  permute_shape shape;
  misaligned<std::uint32_t> routes;
  misaligned<std::uint32_t> offsets;
  misaligned<std::uint32_t> places;
  misaligned<Value> x;
  misaligned<Value> gates;
  misaligned<Value> dy;
  misaligned<Value> rows{0};
};

const auto permute_ref = [](const auto& args) { moe_permute_ref(args); };
const auto combine_ref = [](const auto& args) { moe_combine_ref(args); };
const auto backward_ref = [](const auto& args) { moe_combine_backward_ref(args); };
const auto backward_cpu = [](const moe_combine_backward_args& args) {
  moe_combine_backward_cpu(args);
};

template <class Check>
void for_each_case(const Check& check) {
  for (const std::size_t tokens : {0U, 1U, 2U, 17U, 40U}) {
    for (const std::size_t per_token : {1U, 2U, 3U, 4U, 5U, 9U}) {
      for (const std::size_t dim : test_dims()) {
        const permute_shape shape = {tokens, per_token, dim};
        SCOPED_TRACE(std::to_string(tokens) + " tokens, top " + std::to_string(per_token) +
                     ", dim " + std::to_string(dim));
        permute_case<float> one(shape, test_seed() + tokens * 10 + per_token);
        check(one);
      }
    }
  }
}

TEST(MoePlan, EqualsTheReference) {
  for_each_case([](permute_case<float>& one) {
    misaligned<std::uint32_t> offsets = one.offsets;
    misaligned<std::uint32_t> places = one.places;
    std::fill(one.offsets.span().begin(), one.offsets.span().end(), 77U);
    std::fill(one.places.span().begin(), one.places.span().end(), 77U);
    one.plan(moe_plan_cpu);
    ASSERT_TRUE(same_bits(one.offsets.span(), offsets.span()));
    ASSERT_TRUE(same_bits(one.places.span(), places.span()));
  });
}

TEST(MoePlan, OrdersASmallCaseByExpertThenToken) {
  const std::array<std::uint32_t, 8> routes = {2, 0, no_expert, 2, 0, 3, 3, 3};
  for (const auto plan : {moe_plan_ref, moe_plan_cpu}) {
    std::array<std::uint32_t, 5> offsets{};
    std::array<std::uint32_t, 8> places{};
    plan({.routes = routes, .per_token = 2, .offsets = offsets, .places = places});
    EXPECT_EQ(offsets, (std::array<std::uint32_t, 5>{0, 2, 2, 4, 7}));
    EXPECT_EQ(places, (std::array<std::uint32_t, 8>{2, 0, no_place, 3, 1, 4, 5, 6}));
  }
}

TEST(MoePlan, RefusesARouteToAnExpertThatIsNotThere) {
  permute_case<float> one({.tokens = 3}, test_seed());
  one.routes.span()[2] = 5;
  EXPECT_DEATH(one.plan(moe_plan_cpu), "expert < experts");
}

TEST(MoePermute, CopiesEveryRowExactly) {
  for_each_cpu_target([] {
    for_each_case([](permute_case<float>& one) {
      ASSERT_TRUE(same_bits(one.permute(moe_permute_cpu).span(), one.permute(permute_ref).span()));
    });
  });
}

TEST(MoeCombine, StaysWithinItsBoundOfTheExactSum) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for_each_case([](permute_case<float>& one) {
        for (const bool gated : {true, false}) {
          misaligned<float> got = one.combine(moe_combine_cpu, gated);
          ASSERT_TRUE(same_bits(one.combine(moe_combine_cpu, gated).span(), got.span()));
          misaligned<float> wanted = one.combine(combine_ref, gated);
          const double steps = static_cast<double>(one.shape.per_token + 1) * unit_roundoff;
          for (std::size_t i = 0; i < got.span().size(); ++i) {
            const double bound = steps * one.magnitude(i / one.shape.dim, i % one.shape.dim, gated);
            const double error = std::abs(double{got.span()[i]} - double{wanted.span()[i]});
            ASSERT_LE(error, 2.0 * bound) << "at " << i;  // the reference is rounded, too
          }
        }
      });
    });
  });
}

TEST(MoeCombineBackward, StaysWithinItsBoundsOfTheExactGradients) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for_each_case([](permute_case<float>& one) {
        auto got = one.combine_backward(backward_cpu);
        auto wanted = one.combine_backward(backward_ref);
        ASSERT_TRUE(same_bits(got.rows.span(), wanted.rows.span()));  // one product, rounded once
        ASSERT_TRUE(same_bits(one.combine_backward(backward_cpu).gates.span(), got.gates.span()));
        for (std::size_t s = 0; s < got.gates.span().size(); ++s) {
          double terms = 0.0;
          const std::size_t place = one.places.span()[s];
          for (std::size_t i = 0; i < one.shape.dim && place != no_place; ++i) {
            terms += std::abs(double{one.dy.span()[s / one.shape.per_token * one.shape.dim + i]} *
                              double{one.rows.span()[place * one.shape.dim + i]});
          }
          ASSERT_LE(std::abs(double{got.gates.span()[s]} - double{wanted.gates.span()[s]}),
                    static_cast<double>(one.shape.dim + 2) * unit_roundoff * terms)
              << "gate " << s;
        }
      });
    });
  });
}

TEST(MoeCombineBackward, MayWriteOverTheRows) {
  for_each_cpu_target([] {
    permute_case<float> one({.tokens = 11, .per_token = 2, .dim = 77}, test_seed());
    auto wanted = one.combine_backward(backward_cpu);
    misaligned<float> gates(one.gates.span().size());
    moe_combine_backward_cpu({.rows = one.rows.span(),
                              .places = one.places.span(),
                              .gates = one.gates.span(),
                              .per_token = 2,
                              .dim = 77,
                              .y_gradients = one.dy.span(),
                              .row_gradients = one.rows.span(),
                              .gate_gradients = gates.span()});
    ASSERT_TRUE(same_bits(one.rows.span(), wanted.rows.span()));
    ASSERT_TRUE(same_bits(gates.span(), wanted.gates.span()));
  });
}

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// <dy, combine(rows, gates)> is linear in either, so a central difference of any step is exact but
/// for rounding.
TEST(MoeCombineBackward, EqualsCentralDifferencesOfTheReference) {
  permute_case<double> one({.tokens = 9, .per_token = 3, .dim = 5}, test_seed());
  auto got = one.combine_backward(backward_ref);
  const auto loss = [&one] { return dot(one.dy.span(), one.combine(combine_ref).span()); };
  const auto expect_gradients = [&loss](std::span<double> values, std::span<double> gradients) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(values[i])) continue;  // the gate of a dropped assignment
      const double value = values[i];
      values[i] = value + 0.5;
      const double above = loss();
      values[i] = value - 0.5;
      const double below = loss();
      values[i] = value;
      ASSERT_NEAR(gradients[i], above - below, 1e-12) << "at " << i;
    }
  };
  expect_gradients(one.rows.span(), got.rows.span());
  expect_gradients(one.gates.span(), got.gates.span());
}

/// The gradient of a linear map is its adjoint: <rows, permute(x)> = <combine(rows), x>.
TEST(MoePermute, HasCombineWithoutGatesAsItsGradient) {
  permute_case<double> one({.tokens = 23, .per_token = 4, .dim = 6}, test_seed());
  const misaligned<double> permuted = one.permute(permute_ref);
  const misaligned<double> back = one.combine(combine_ref, false);
  const misaligned<double>& rows = one.rows;
  const misaligned<double>& x = one.x;
  ASSERT_NEAR(dot(rows.span(), permuted.span()), dot(back.span(), x.span()), 1e-12);
}

TEST(MoeCombine, GivesZeroToATokenWhoseAssignmentsAreAllDropped) {
  const std::array<std::uint32_t, 4> places = {no_place, no_place, 0, no_place};
  const std::array<float, 2> rows = {3.0F, -5.0F};
  const std::array<float, 4> gates = {1.0F, 1.0F, 0.5F, 1.0F};
  for_each_cpu_target([&] {
    std::array<float, 4> y = {9.0F, 9.0F, 9.0F, 9.0F};
    moe_combine_cpu(
        {.rows = rows, .places = places, .gates = gates, .per_token = 2, .dim = 2, .y = y});
    EXPECT_EQ(y, (std::array{0.0F, 0.0F, 1.5F, -2.5F}));
  });
}

}  // namespace
}  // namespace headrace::kernels
