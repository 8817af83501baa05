#include "kernels/softmax_loss/vocab_softmax.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

struct vocab_shape {
  std::size_t positions = 1;
  std::size_t items = 1;
  std::size_t dim = 1;
  bool weighted = false;
  float scale = 1.0F;
};

template <class Value>
struct vocab_case {
  vocab_case(const vocab_shape& s, std::uint64_t seed)
      : shape(s),
        x(s.positions * s.dim),
        items(s.items * s.dim),
        weights(s.weighted ? s.positions : 0),
        losses(s.positions),
        lse(s.positions),
        x_gradients(x.span().size()),
        before(items.span().size()),
        item_gradients(items.span().size()) {
    random_stream random(seed);
    for (Value& value : x.span()) value = static_cast<Value>(next_signed(random, s.scale));
    for (Value& value : items.span()) value = static_cast<Value>(next_signed(random));
    for (Value& value : before.span()) value = static_cast<Value>(next_signed(random, 0.1F));
    for (Value& value : weights.span()) {
      value = random.next_below(4) == 0 ? Value{0} : static_cast<Value>(random.next_unit());
    }
    for (std::size_t t = 0; t < s.positions; ++t) {
      const bool ignored = s.weighted && weights.span()[t] == Value{0};
      labels.push_back(ignored ? 0xFFFFFFFFU
                               : static_cast<std::uint32_t>(random.next_below(s.items)));
    }
  }

  template <class Op>
  double forward(const Op& op, std::span<Value> workspace = {}) {
    std::fill(losses.span().begin(), losses.span().end(), static_cast<Value>(nan_value));
    std::fill(lse.span().begin(), lse.span().end(), static_cast<Value>(nan_value));
    return op(basic_vocab_softmax_args<Value>{.x = x.span(),
                                              .items = items.span(),
                                              .dim = shape.dim,
                                              .labels = labels,
                                              .weights = weights.span(),
                                              .losses = losses.span(),
                                              .lse = lse.span(),
                                              .workspace = workspace});
  }

  template <class Op>
  void backward(const Op& op, std::span<Value> workspace = {}) {
    std::fill(x_gradients.span().begin(), x_gradients.span().end(), static_cast<Value>(nan_value));
    std::copy(before.span().begin(), before.span().end(), item_gradients.span().begin());
    op(basic_vocab_softmax_backward_args<Value>{.x = x.span(),
                                                .items = items.span(),
                                                .dim = shape.dim,
                                                .labels = labels,
                                                .weights = weights.span(),
                                                .lse = lse.span(),
                                                .x_gradients = x_gradients.span(),
                                                .item_gradients = item_gradients.span(),
                                                .workspace = workspace});
  }

  double weight(std::size_t t) const {
    return shape.weighted ? static_cast<double>(weights.span()[t]) : 1.0;
  }

  vocab_shape shape;
  misaligned<Value> x;
  misaligned<Value> items;
  misaligned<Value> weights;
  std::vector<std::uint32_t> labels;
  misaligned<Value> losses;
  misaligned<Value> lse;
  misaligned<Value> x_gradients;
  misaligned<Value> before;
  misaligned<Value> item_gradients;
};

double forward_on_reference(vocab_case<double>& one) {
  return one.forward([](const auto& args) { return vocab_softmax_ref(args); });
}
void backward_on_reference(vocab_case<double>& one) {
  one.backward([](const auto& args) { vocab_softmax_backward_ref(args); });
}

misaligned<float> poisoned_workspace(const vocab_shape& s) {
  return misaligned<float>(vocab_softmax_workspace(s.positions, s.items, s.dim), nan_value);
}

/// Forward, then backward; Σ losses.
double run_cpu(vocab_case<float>& one) {
  misaligned<float> workspace = poisoned_workspace(one.shape);
  const double sum = one.forward(vocab_softmax_cpu, workspace.span());
  workspace = poisoned_workspace(one.shape);
  one.backward(vocab_softmax_backward_cpu, workspace.span());
  return sum;
}

/// The same numbers in double, the reference's results, and the sums that the bounds are made of.
struct exact_case {
  explicit exact_case(const vocab_case<float>& from)
      : values(from.shape, 0),
        logit_error(from.shape.positions),
        logit_max(from.shape.positions),
        x_bound(from.x.span().size()),
        item_bound(from.items.span().size()) {
    const auto copy = [](const misaligned<float>& source, misaligned<double>& to) {
      std::copy(source.span().begin(), source.span().end(), to.span().begin());
    };
    copy(from.x, values.x);
    copy(from.items, values.items);
    copy(from.weights, values.weights);
    copy(from.before, values.before);
    values.labels = from.labels;
    sum = forward_on_reference(values);
    backward_on_reference(values);
    for (double& bound : item_bound) bound = 0.0;
    for (std::size_t t = 0; t < from.shape.positions; ++t) add_position(t);
    const double steps = (3.0 * static_cast<double>(from.shape.positions) + 8.0) * unit_roundoff;
    for (std::size_t i = 0; i < item_bound.size(); ++i) {
      item_bound[i] += steps * std::abs(values.before.span()[i]);
    }
  }

  double loss_bound(std::size_t t) const {
    const double items = static_cast<double>(values.shape.items);
    return 2.0 * logit_error[t] + (9.0 * logit_max[t] + items + 64.0) * unit_roundoff;
  }

  void add_position(std::size_t t) {
    const vocab_shape& s = values.shape;
    std::vector<double> logits(s.items);
    for (std::size_t v = 0; v < s.items; ++v) {
      double magnitude = 0.0;
      for (std::size_t k = 0; k < s.dim; ++k) {
        const double term = values.x.span()[t * s.dim + k] * values.items.span()[v * s.dim + k];
        logits[v] += term;
        magnitude += std::abs(term);
      }
      const double steps = static_cast<double>(s.dim + 2) * unit_roundoff;
      logit_error[t] = std::max(logit_error[t], steps * magnitude);
      logit_max[t] = std::max(logit_max[t], std::abs(logits[v]));
    }
    const double items = static_cast<double>(s.items);
    const double relative =
        3.0 * logit_error[t] + (17.0 * logit_max[t] + items + 80.0) * unit_roundoff;
    const double x_steps = (3.0 * items + 8.0) * unit_roundoff;
    const double item_steps = (3.0 * static_cast<double>(s.positions) + 8.0) * unit_roundoff;
    const double weight = values.weight(t);
    for (std::size_t v = 0; v < s.items; ++v) {
      const double p = weight * std::exp(logits[v] - values.lse.span()[t]);
      const double full = std::abs(v == values.labels[t] ? p - weight : p);
      for (std::size_t k = 0; k < s.dim; ++k) {
        const std::size_t x_at = t * s.dim + k;
        const std::size_t item_at = v * s.dim + k;
        x_bound[x_at] +=
            (relative * p + x_steps * full) * std::abs(values.items.span()[item_at]) + 0x1p-110;
        item_bound[item_at] +=
            (relative * p + item_steps * full) * std::abs(values.x.span()[x_at]) + 0x1p-110;
      }
    }
  }

  vocab_case<double> values;
  double sum = 0.0;
  std::vector<double> logit_error;
  std::vector<double> logit_max;
  std::vector<double> x_bound;
  std::vector<double> item_bound;
};

void expect_within(std::span<const float> got,
                   std::span<const double> wanted,
                   const std::vector<double>& bounds) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_LE(std::abs(static_cast<double>(got[i]) - wanted[i]), bounds[i])
        << "at " << i << ", wanted " << wanted[i];
  }
}

double relative_error(std::span<const float> got, std::span<const double> wanted) {
  double off = 0.0;
  double all = 1e-30;
  for (std::size_t i = 0; i < got.size(); ++i) {
    off += std::pow(static_cast<double>(got[i]) - wanted[i], 2);
    all += wanted[i] * wanted[i];
  }
  return std::sqrt(off / all);
}

const std::vector<vocab_shape>& shapes() {
  static const std::vector<vocab_shape> all = {{0, 3, 4},
                                               {1, 1, 1},
                                               {1, 2, 3, true},
                                               {3, 5, 8, false, 30.0F},
                                               {4, 17, 16, true, 100.0F},
                                               {5, 33, 65, true},
                                               {127, 9, 7, false, 3.0F},
                                               {128, 31, 4, true, 3.0F},
                                               {129, 65, 5, true},
                                               {2, 511, 33, false},
                                               {3, 512, 8, true, 10.0F},
                                               {7, 513, 31, true},
                                               {131, 1100, 8, true}};
  return all;
}

TEST(VocabSoftmax, StaysWithinItsBoundsForSizesAroundTheTiles) {
  for (const vocab_shape& shape : shapes()) {
    SCOPED_TRACE(std::to_string(shape.positions) + " positions, " + std::to_string(shape.items) +
                 " items, dim " + std::to_string(shape.dim));
    vocab_case<float> one(shape, test_seed() + shape.items);
    exact_case exact(one);
    in_both_float_modes([&] {
      for_each_cpu_target([&] {
        const double sum = run_cpu(one);
        double sum_bound = 0.0;
        for (std::size_t t = 0; t < shape.positions; ++t) {
          const double bound = exact.loss_bound(t);
          ASSERT_NEAR(one.lse.span()[t], exact.values.lse.span()[t], bound);
          const double loss_bound = exact.values.weight(t) * bound;
          ASSERT_NEAR(one.losses.span()[t], exact.values.losses.span()[t], loss_bound);
          sum_bound += loss_bound;
        }
        ASSERT_NEAR(sum, exact.sum, sum_bound);
        expect_within(one.x_gradients.span(), exact.values.x_gradients.span(), exact.x_bound);
        expect_within(
            one.item_gradients.span(), exact.values.item_gradients.span(), exact.item_bound);
      });
    });
  }
}

TEST(VocabSoftmax, StaysWithinTheProjectsRelativeErrorOnOrdinaryNumbers) {
  vocab_case<float> one({131, 1100, 32}, test_seed());
  exact_case exact(one);
  for_each_cpu_target([&] {
    run_cpu(one);
    EXPECT_LE(relative_error(one.losses.span(), exact.values.losses.span()), 1e-6);
    EXPECT_LE(relative_error(one.x_gradients.span(), exact.values.x_gradients.span()), 1e-5);
    EXPECT_LE(relative_error(one.item_gradients.span(), exact.values.item_gradients.span()), 1e-5);
  });
}

/// `backward` of the reference against central differences of its forward: truncation step^2 / 6
/// times a third derivative (below 10), 2e-10; rounding of Σ losses, some 1e-14 over the step.
TEST(VocabSoftmax, GradientsEqualCentralDifferencesOfTheReference) {
  constexpr double step = 1e-5;
  vocab_case<double> one({5, 9, 4, true, 2.0F}, test_seed());
  std::fill(one.before.span().begin(), one.before.span().end(), 0.0);
  forward_on_reference(one);
  backward_on_reference(one);
  const auto check = [&one](std::span<double> inputs, std::span<const double> gradients) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const double value = inputs[i];
      inputs[i] = value + step;
      const double above = forward_on_reference(one);
      inputs[i] = value - step;
      const double below = forward_on_reference(one);
      inputs[i] = value;
      const double wanted = (above - below) / (2.0 * step);
      ASSERT_NEAR(gradients[i], wanted, 1e-6 * std::abs(wanted) + 3e-9) << "at " << i;
    }
  };
  check(one.x.span(), one.x_gradients.span());
  check(one.items.span(), one.item_gradients.span());
}

TEST(VocabSoftmax, SpreadsTheLossEvenlyWhereAllLogitsAreEqual) {
  for_each_cpu_target([] {
    vocab_case<float> one({3, 700, 5}, test_seed());
    std::fill(one.x.span().begin(), one.x.span().end(), 0.0F);
    EXPECT_NEAR(run_cpu(one), 3.0 * std::log(700.0), 1e-5);
    for (const float lse : one.lse.span()) EXPECT_NEAR(lse, std::log(700.0), 1e-6);
  });
}

TEST(VocabSoftmax, GivesAnIgnoredPositionNoLossAndNoGradient) {
  for_each_cpu_target([] {
    vocab_case<float> one({2, 600, 8, true}, test_seed());
    one.weights.span()[0] = 0.0F;
    one.weights.span()[1] = 1.0F;
    one.labels = {0xFFFFFFFFU, 599};
    EXPECT_GT(run_cpu(one), 0.0);
    EXPECT_EQ(one.losses.span()[0], 0.0F);
    for (std::size_t k = 0; k < 8; ++k) EXPECT_EQ(one.x_gradients.span()[k], 0.0F);
  });
}

TEST(VocabSoftmax, ShowsANanOfAnyTile) {
  for_each_cpu_target([] {
    for (const std::size_t item : {0U, 511U, 512U, 599U}) {
      vocab_case<float> one({2, 600, 3}, test_seed());
      one.items.span()[item * 3] = nan_value;
      EXPECT_TRUE(std::isnan(run_cpu(one))) << "item " << item;
    }
  });
}

TEST(VocabSoftmax, GivesTheSameBitsTwice) {
  for_each_cpu_target([] {
    vocab_case<float> one({130, 600, 9, true}, test_seed());
    run_cpu(one);
    const vocab_case<float> first = one;
    run_cpu(one);
    const vocab_case<float>& again = one;
    EXPECT_TRUE(same_bits(again.lse.span(), first.lse.span()));
    EXPECT_TRUE(same_bits(again.x_gradients.span(), first.x_gradients.span()));
    EXPECT_TRUE(same_bits(again.item_gradients.span(), first.item_gradients.span()));
  });
}

TEST(VocabSoftmax, NeedsNoMoreWorkspaceForMorePositionsAndItems) {
  EXPECT_EQ(vocab_softmax_workspace(1'000'000, 1'000'000, 64),
            vocab_softmax_workspace(128, 512, 64));
}

TEST(VocabSoftmax, RefusesALabelBeyondTheItems) {
  vocab_case<float> one({2, 3, 4}, test_seed());
  one.labels[1] = 3;
  EXPECT_DEATH(run_cpu(one), "labels");
}

}  // namespace
}  // namespace headrace::kernels
