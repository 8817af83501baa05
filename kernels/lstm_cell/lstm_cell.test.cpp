#include "kernels/lstm_cell/lstm_cell.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;

/// All that forward and backward read and write, as one type of value.
template <class Value>
struct lstm_case {
  explicit lstm_case(const lstm_cell_sizes& s)
      : sizes(s),
        x(s.rows * s.inputs),
        h(s.rows * s.hidden),
        c(s.rows * s.hidden),
        w(s.inputs * 4 * s.hidden),
        u(s.hidden * 4 * s.hidden),
        bias(4 * s.hidden),
        next_h(h.span().size()),
        next_c(h.span().size()),
        gates(4 * h.span().size()),
        tanhs(h.span().size()),
        next_dh(h.span().size()),
        next_dc(h.span().size()),
        dx(x.span().size()),
        dh(h.span().size()),
        dc(h.span().size()),
        dw(w.span().size()),
        du(u.span().size()),
        dbias(bias.span().size()),
        workspace(lstm_cell_workspace(s)) {}

  void draw(std::uint64_t seed, float scale) {
    random_stream random(seed);
    for (auto* values : {&x, &h, &c, &w, &u, &bias, &next_dh, &next_dc, &dw, &du, &dbias}) {
      for (Value& value : values->span()) value = static_cast<Value>(next_signed(random, scale));
    }
    for (auto* values : {&next_h, &next_c, &gates, &tanhs, &dx, &dh, &dc, &workspace}) {
      for (Value& value : values->span()) value = std::numeric_limits<Value>::quiet_NaN();
    }
  }
  /// The same numbers as doubles.
  lstm_case<double> widened() const {
    lstm_case<double> to(sizes);
    const auto copy = [](const misaligned<Value>& from, misaligned<double>& into) {
      std::copy(from.span().begin(), from.span().end(), into.span().begin());
    };
    copy(x, to.x), copy(h, to.h), copy(c, to.c), copy(w, to.w), copy(u, to.u);
    copy(bias, to.bias), copy(gates, to.gates), copy(tanhs, to.tanhs);
    copy(next_dh, to.next_dh), copy(next_dc, to.next_dc);
    copy(dw, to.dw), copy(du, to.du), copy(dbias, to.dbias);
    return to;
  }

  template <class Op>
  void forward(const Op& op) {
    op(basic_lstm_cell_forward_args<Value>{.sizes = sizes,
                                           .x = x.span(),
                                           .h = h.span(),
                                           .c = c.span(),
                                           .input_weights = w.span(),
                                           .hidden_weights = u.span(),
                                           .bias = bias.span(),
                                           .next_h = next_h.span(),
                                           .next_c = next_c.span(),
                                           .gates = gates.span(),
                                           .cell_tanhs = tanhs.span(),
                                           .workspace = workspace.span()});
  }
  template <class Op>
  void backward(const Op& op) {
    op(basic_lstm_cell_backward_args<Value>{.sizes = sizes,
                                            .x = x.span(),
                                            .h = h.span(),
                                            .c = c.span(),
                                            .input_weights = w.span(),
                                            .hidden_weights = u.span(),
                                            .gates = gates.span(),
                                            .cell_tanhs = tanhs.span(),
                                            .next_h_gradients = next_dh.span(),
                                            .next_c_gradients = next_dc.span(),
                                            .x_gradients = dx.span(),
                                            .h_gradients = dh.span(),
                                            .c_gradients = dc.span(),
                                            .input_weight_gradients = dw.span(),
                                            .hidden_weight_gradients = du.span(),
                                            .bias_gradients = dbias.span(),
                                            .workspace = workspace.span()});
  }

  lstm_cell_sizes sizes;
  misaligned<Value> x, h, c, w, u, bias, next_h, next_c, gates, tanhs;
  misaligned<Value> next_dh, next_dc, dx, dh, dc, dw, du, dbias, workspace;
};

constexpr auto forward_ref = [](const auto& args) { lstm_cell_forward_ref(args); };
constexpr auto backward_ref = [](const auto& args) { lstm_cell_backward_ref(args); };

template <class Check>
void for_each_case(const Check& check) {
  const std::vector<lstm_cell_sizes> all = {{0, 3, 4},
                                            {2, 0, 5},
                                            {2, 3, 0},
                                            {1, 1, 1},
                                            {1, 6, 32},
                                            {3, 5, 3},
                                            {2, 9, 7},
                                            {5, 4, 8},
                                            {4, 2, 9},
                                            {1, 64, 128},
                                            {17, 12, 17}};
  for (const lstm_cell_sizes& sizes : all) {
    for (const float scale : {0.5F, 4.0F}) {
      SCOPED_TRACE(std::to_string(sizes.rows) + " rows, " + std::to_string(sizes.inputs) + " to " +
                   std::to_string(sizes.hidden) + ", scale " + std::to_string(scale));
      lstm_case<float> one(sizes);
      one.draw(test_seed() + sizes.hidden, scale);
      check(one);
    }
  }
}

/// How far z of a row and column may be off.
double pre_gate_bound(const lstm_case<float>& one, std::size_t row, std::size_t column) {
  const auto& [rows, inputs, hidden] = one.sizes;
  const auto term = [](float a, float b) {
    return std::abs(static_cast<double>(a) * static_cast<double>(b));
  };
  double terms = std::abs(static_cast<double>(one.bias.span()[column]));
  for (std::size_t i = 0; i < inputs; ++i) {
    terms += term(one.x.span()[row * inputs + i], one.w.span()[i * 4 * hidden + column]);
  }
  for (std::size_t i = 0; i < hidden; ++i) {
    terms += term(one.h.span()[row * hidden + i], one.u.span()[i * 4 * hidden + column]);
  }
  return static_cast<double>(inputs + hidden + 5) * unit_roundoff * terms;
}

template <class Forward>
void expect_forward_within_bound(lstm_case<float> one, const Forward& forward) {
  constexpr double u = unit_roundoff;
  lstm_case<double> exact = one.widened();
  exact.forward(forward_ref);
  one.forward(forward);
  const std::size_t hidden = one.sizes.hidden;
  for (std::size_t n = 0; n < one.next_h.span().size(); ++n) {
    const std::size_t row = n / hidden;
    const std::size_t j = n % hidden;
    std::array<double, 4> gate{};
    std::array<double, 4> off{};
    for (std::size_t k = 0; k < 4; ++k) {
      const std::size_t at = (row * 4 + k) * hidden + j;
      const double z_off = pre_gate_bound(one, row, k * hidden + j);
      gate[k] = std::abs(exact.gates.span()[at]);
      off[k] = k == 2 ? z_off + 8.0 * u * gate[k] : z_off / 4.0 + 4.0 * u * gate[k];
      ASSERT_LE(std::abs(static_cast<double>(one.gates.span()[at]) - exact.gates.span()[at]),
                off[k])
          << "gate " << k << " of " << n;
    }
    const double c = std::abs(static_cast<double>(one.c.span()[n]));
    const double c_off = c * off[1] + gate[0] * off[2] + gate[2] * off[0] + off[0] * off[2] +
                         3.0 * u * (gate[1] * c + gate[0] * gate[2]);
    ASSERT_LE(std::abs(static_cast<double>(one.next_c.span()[n]) - exact.next_c.span()[n]), c_off)
        << "cell " << n;
    const double t = std::abs(exact.tanhs.span()[n]);
    const double t_off = c_off + 8.0 * u * t;
    ASSERT_LE(std::abs(static_cast<double>(one.tanhs.span()[n]) - exact.tanhs.span()[n]), t_off);
    const double h_off = t * off[3] + gate[3] * t_off + off[3] * t_off + 2.0 * u * gate[3] * t;
    ASSERT_LE(std::abs(static_cast<double>(one.next_h.span()[n]) - exact.next_h.span()[n]), h_off)
        << "output " << n;
  }
}

TEST(LstmCell, ForwardStaysWithinItsBounds) {
  in_both_float_modes([] {
    for_each_case([](const lstm_case<float>& one) {
      expect_forward_within_bound(one, forward_ref);
      for_each_cpu_target([&one] { expect_forward_within_bound(one, lstm_cell_forward_cpu); });
    });
  });
}

void expect_close(const misaligned<float>& got, const misaligned<double>& exact) {
  double error = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i < exact.span().size(); ++i) {
    error += std::pow(static_cast<double>(got.span()[i]) - exact.span()[i], 2);
    norm += std::pow(exact.span()[i], 2);
  }
  ASSERT_LE(error, 1e-10 * norm);  // fails on NaN
}

template <class Backward>
void expect_backward_close(lstm_case<float> one, const Backward& backward) {
  one.forward(forward_ref);
  lstm_case<double> exact = one.widened();
  exact.backward(backward_ref);
  one.backward(backward);
  expect_close(one.dx, exact.dx);
  expect_close(one.dh, exact.dh);
  expect_close(one.dc, exact.dc);
  expect_close(one.dw, exact.dw);
  expect_close(one.du, exact.du);
  expect_close(one.dbias, exact.dbias);
}

TEST(LstmCell, BackwardIsCloseToTheReference) {
  for_each_case([](const lstm_case<float>& one) {
    expect_backward_close(one, backward_ref);
    for_each_cpu_target([&one] { expect_backward_close(one, lstm_cell_backward_cpu); });
  });
}

/// <next_dh, h'> + <next_dc, c'>.
double loss(lstm_case<double> one) {
  one.forward(forward_ref);
  double sum = 0.0;
  for (std::size_t i = 0; i < one.next_h.span().size(); ++i) {
    sum += one.next_h.span()[i] * one.next_dh.span()[i];
    sum += one.next_c.span()[i] * one.next_dc.span()[i];
  }
  return sum;
}

/// Step 1e-5: the third derivative costs some 1e-10, rounding 1e-11.
TEST(LstmCell, GradientsOfTheReferenceEqualCentralDifferences) {
  constexpr double step = 1e-5;
  lstm_case<double> one({.rows = 3, .inputs = 4, .hidden = 3});
  one.draw(test_seed(), 1.0F);
  for (auto* gradients : {&one.dw, &one.du, &one.dbias}) {
    for (double& value : gradients->span()) value = 0.0;
  }
  one.forward(forward_ref);
  one.backward(backward_ref);
  const auto expect_slopes = [&one](misaligned<double>& of, const misaligned<double>& gradients) {
    for (std::size_t i = 0; i < of.span().size(); ++i) {
      const double value = of.span()[i];
      of.span()[i] = value + step;
      const double above = loss(one);
      of.span()[i] = value - step;
      const double below = loss(one);
      of.span()[i] = value;
      const double slope = (above - below) / (2.0 * step);
      ASSERT_NEAR(gradients.span()[i], slope, 1e-9 + 1e-6 * std::abs(slope)) << "at " << i;
    }
  };
  expect_slopes(one.x, one.dx);
  expect_slopes(one.h, one.dh);
  expect_slopes(one.c, one.dc);
  expect_slopes(one.w, one.dw);
  expect_slopes(one.u, one.du);
  expect_slopes(one.bias, one.dbias);
}

TEST(LstmCell, GivesTheSameBitsTwice) {
  for_each_cpu_target([] {
    for_each_case([](const lstm_case<float>& one) {
      lstm_case<float> first = one;
      lstm_case<float> second = one;
      for (lstm_case<float>* each : {&first, &second}) {
        each->forward(lstm_cell_forward_cpu);
        each->backward(lstm_cell_backward_cpu);
      }
      ASSERT_TRUE(same_bits(first.next_h.span(), second.next_h.span()));
      ASSERT_TRUE(same_bits(first.next_c.span(), second.next_c.span()));
      ASSERT_TRUE(same_bits(first.dx.span(), second.dx.span()));
      ASSERT_TRUE(same_bits(first.dh.span(), second.dh.span()));
      ASSERT_TRUE(same_bits(first.du.span(), second.du.span()));
    });
  });
}

/// Gates driven to their ends by the bias, one after the other: i f g o.
TEST(LstmCell, KeepsForgetsAndWritesAsItsGatesSay) {
  const auto next = [](std::array<float, 4> bias) {
    lstm_case<float> one({.rows = 1, .inputs = 1, .hidden = 1});
    one.draw(test_seed(), 1.0F);
    for (float& value : one.x.span()) value = 0.0F;
    for (float& value : one.h.span()) value = 0.0F;
    one.c.span()[0] = 0.5F;
    std::copy(bias.begin(), bias.end(), one.bias.span().begin());
    one.forward(lstm_cell_forward_cpu);
    return std::array{one.next_c.span()[0], one.next_h.span()[0]};
  };
  constexpr float on = 200.0F;
  for_each_cpu_target([&next] {
    EXPECT_EQ(next({-on, -on, on, on}), (std::array{0.0F, 0.0F}));    // forgets
    EXPECT_EQ(next({-on, on, on, -on}), (std::array{0.5F, 0.0F}));    // keeps, shows nothing
    EXPECT_EQ(next({on, on, on, -on}), (std::array{1.5F, 0.0F}));     // adds
    EXPECT_EQ(next({on, -on, -on, -on}), (std::array{-1.0F, 0.0F}));  // overwrites
    EXPECT_NEAR(next({on, -on, on, on})[1], std::tanh(1.0), 1e-6);    // shows
  });
}

TEST(LstmCell, RefusesAWorkspaceThatIsTooSmall) {
  lstm_case<float> one({.rows = 3, .inputs = 4, .hidden = 3});
  one.workspace = misaligned<float>(5);
  EXPECT_DEATH(one.forward(lstm_cell_forward_cpu), "workspace");
}

}  // namespace
}  // namespace headrace::kernels
