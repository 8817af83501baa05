#include "kernels/runtime/test_cases.hpp"
#include "kernels/sparse_update/sparse_update.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <numeric>

// What the rules mean, in double and as their sources write them; that every target has the bits
// of the reference is sparse_update.test.cpp's business.
namespace headrace::kernels {
namespace {

/// A row that is pushed on and on: weights, then state.
class pushed_row {
 public:
  pushed_row(const sparse_update_args& args, std::vector<float> weights)
      : args_(args), memory_(std::move(weights)) {
    args_.dim = memory_.size();
    memory_.resize(args_.dim + state_words(args_.rule, args_.dim));
  }
  void begin(float accumulator, float first_accumulator) {
    const std::array<float*, 1> rows = {memory_.data()};
    begin_states_args begin = {args_, accumulator, first_accumulator};
    begin.update.rows = rows;
    begin_states(begin);
  }
  void push(const std::vector<float>& gradients) {
    const std::array<float*, 1> rows = {memory_.data()};
    args_.rows = rows;
    args_.gradients = gradients;
    sparse_update(args_);
  }
  double weight(std::size_t c = 0) const { return static_cast<double>(memory_[c]); }
  double state(std::size_t word) const { return static_cast<double>(memory_[args_.dim + word]); }
  void set_state(std::size_t word, float value) { memory_[args_.dim + word] = value; }
  std::uint32_t steps() const { return std::bit_cast<std::uint32_t>(memory_[3 * args_.dim]); }
  void set_steps(std::uint32_t steps) { memory_[3 * args_.dim] = std::bit_cast<float>(steps); }

 private:
  sparse_update_args args_;
  std::vector<float> memory_;
};

double gradient_at(int step) { return std::sin(1.0 + 0.7 * step) * (step % 5 == 0 ? 3.0 : 0.4); }
std::vector<float> one_gradient(int step) { return {static_cast<float>(gradient_at(step))}; }

TEST(Momentum, FollowsTheSumOfDecayedGradients) {
  pushed_row row({.rows = {}, .rule = update_rule::momentum, .rate = 0.1F, .momentum = 0.9F},
                 {1.0F});
  double w = 1.0;
  double m = 0.0;
  for (int step = 0; step < 50; ++step) {
    row.push(one_gradient(step));
    m = 0.9 * m + gradient_at(step);
    w -= 0.1 * m;
    ASSERT_NEAR(row.weight(), w, 1e-5);
  }
}

TEST(RowwiseAdagrad, KeepsOneAccumulatorOfMeanSquares) {
  for (const std::size_t dim : {1U, 15U, 16U, 17U, 64U, 100U}) {
    pushed_row row({.rows = {}, .rule = update_rule::rowwise_adagrad, .rate = 0.5F},
                   std::vector<float>(dim, 1.0F));
    row.begin(0.25F, 9.0F);
    EXPECT_EQ(row.state(0), 0.25);
    random_stream random(test_seed() + dim);
    double accumulator = 0.25;
    double first = 1.0;
    for (int step = 0; step < 20; ++step) {
      std::vector<float> gradients(dim);
      double squares = 0.0;
      for (float& g : gradients) {
        g = next_signed(random, 2.0F);
        squares += static_cast<double>(g) * static_cast<double>(g);
      }
      row.push(gradients);
      accumulator += squares / static_cast<double>(dim);
      first -= 0.5 * static_cast<double>(gradients[0]) / std::sqrt(accumulator);
      ASSERT_NEAR(row.state(0), accumulator, accumulator * 1e-5);
      ASSERT_NEAR(row.weight(), first, 1e-5);
    }
  }
}

TEST(RowwiseAdagrad, SumsLanesInTheOrderItSays) {
  constexpr std::size_t dim = 37;
  std::vector<float> gradients(dim);
  random_stream random(test_seed());
  for (float& g : gradients) g = next_signed(random, 1000.0F);
  std::array<float, 16> lanes{};
  for (std::size_t c = 0; c < dim; ++c) lanes[c % 16] += gradients[c] * gradients[c];
  for (std::size_t half = 8; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  for_each_cpu_target([&] {
    pushed_row row({.rows = {}, .rule = update_rule::rowwise_adagrad, .rate = 0.5F},
                   std::vector<float>(dim));
    row.push(gradients);
    EXPECT_EQ(row.state(0), static_cast<double>(lanes[0] / 37.0F));
  });
}

/// Adam as Kingma and Ba write it (their epsilon beside the corrected root).
struct textbook_adam {
  double w;
  double decay = 0.0;
  double m = 0.0;
  double v = 0.0;
  int t = 0;
  void push(double g) {
    ++t;
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    const double corrected = m / (1.0 - std::pow(0.9, t));
    const double spread = std::sqrt(v / (1.0 - std::pow(0.999, t))) + 1e-8;
    w = w - 0.01 * decay * w - 0.01 * corrected / spread;
  }
};
const sparse_update_args adam_args = {
    .rows = {}, .rule = update_rule::adam, .rate = 0.01F, .beta1 = 0.9F, .beta2 = 0.999F};

TEST(Adam, StepsAsTheTextbookForThousandsOfSteps) {
  pushed_row row(adam_args, {0.5F});
  textbook_adam book{.w = 0.5};
  for (int step = 0; step < 5'000; ++step) {
    row.push(one_gradient(step));
    book.push(static_cast<double>(one_gradient(step)[0]));
    ASSERT_NEAR(row.weight(), book.w, 2e-4) << "step " << step;
    if (step < 100) {
      ASSERT_NEAR(row.weight(), book.w, 5e-6) << "step " << step;
    }
  }
  EXPECT_EQ(row.steps(), 5'000U);
}

TEST(Adam, MovesByTheRateAtTheFirstStepWhateverTheGradientsSize) {
  for (const float g : {1e-5F, 1.0F, 1e4F}) {
    pushed_row row(adam_args, {0.0F});
    row.push({g});
    EXPECT_NEAR(row.weight(), -0.01, 0.01 * 2e-3);
  }
}

TEST(Adam, CorrectsNothingOnceTheBiasIsGoneAndNeverCountsPastTheEnd) {
  pushed_row row(adam_args, {0.0F});
  row.set_state(0, 1.0F);
  row.set_state(1, 4.0F);
  row.set_steps(~0U - 1U);
  row.push({1.0F});
  EXPECT_EQ(row.steps(), ~0U);
  EXPECT_NEAR(row.weight(), -0.01 / std::sqrt(4.0 * 0.999 + 0.001), 1e-8);
  row.push({1.0F});
  EXPECT_EQ(row.steps(), ~0U);
}

TEST(AdamW, DecaysTheWeightApartFromTheMoments) {
  auto args = adam_args;
  args.rule = update_rule::adamw;
  args.weight_decay = 0.5F;
  pushed_row row(args, {2.0F});
  textbook_adam book{.w = 2.0, .decay = 0.5};
  for (int step = 0; step < 100; ++step) {
    row.push(one_gradient(step));
    book.push(static_cast<double>(one_gradient(step)[0]));
    ASSERT_NEAR(row.weight(), book.w, 2e-5) << "step " << step;
    ASSERT_NEAR(row.state(0), book.m, 1e-5);
  }
}

/// McMahan et al. (2013), algorithm 1, for one coordinate.
struct textbook_ftrl {
  double alpha;
  double l1;
  double l2;
  double z = 0.0;
  double n = 0.0;
  double w = 0.0;
  void push(double g) {
    const double sigma = (std::sqrt(n + g * g) - std::sqrt(n)) / alpha;
    z += g - sigma * w;
    n += g * g;
    const double sign = z < 0.0 ? -1.0 : 1.0;
    w = std::abs(z) <= l1 ? 0.0 : -(z - sign * l1) / ((1.0 + std::sqrt(n)) / alpha + l2);
  }
};
const sparse_update_args ftrl_args = {.rows = {},
                                      .rule = update_rule::ftrl,
                                      .rate = 0.5F,
                                      .ftrl_l1 = 0.75F,
                                      .ftrl_l2 = 0.25F,
                                      .ftrl_beta = 1.0F};

TEST(Ftrl, StepsAsTheTextbook) {
  pushed_row row(ftrl_args, {0.0F});
  textbook_ftrl book{.alpha = 0.5, .l1 = 0.75, .l2 = 0.25};
  for (int step = 0; step < 300; ++step) {
    row.push(one_gradient(step));
    book.push(static_cast<double>(one_gradient(step)[0]));
    ASSERT_NEAR(row.weight(), book.w, 2e-5) << "step " << step;
  }
}

TEST(Ftrl, KeepsWeightsAtZeroUntilTheGradientsAgree) {
  pushed_row row(ftrl_args, {0.0F});
  row.push({0.5F});
  EXPECT_EQ(row.weight(), 0.0);  // |z| = 0.5 is below l1
  row.push({-0.5F});
  EXPECT_EQ(row.weight(), 0.0);
  row.push({-2.0F});
  EXPECT_GT(row.weight(), 0.0);
}

TEST(Ftrl, DoesNotThrowInitialWeightsAway) {
  pushed_row row(ftrl_args, {0.02F, -0.02F, 0.0F});
  row.begin(0.1F, 0.1F);
  row.push({0.0F, 0.0F, 0.0F});
  EXPECT_NEAR(row.weight(0), 0.02, 1e-6);
  EXPECT_NEAR(row.weight(1), -0.02, 1e-6);
  EXPECT_EQ(row.weight(2), 0.0);
}

TEST(BeginStates, FillsAccumulatorsAndZerosTheRest) {
  const auto states = [](update_rule rule) {
    std::vector<float> memory(3 * 3 + 1, 7.0F);
    const std::array<float, 3> weights{};
    std::copy(weights.begin(), weights.end(), memory.begin());
    const std::array<float*, 1> rows = {memory.data()};
    begin_states({.update = {.rows = rows, .dim = 3, .rule = rule, .first_columns = 1},
                  .accumulator = 0.5F,
                  .first_accumulator = 0.25F});
    memory.erase(memory.begin(), memory.begin() + 3);
    return memory;
  };
  using floats = std::vector<float>;
  EXPECT_EQ(states(update_rule::sgd), (floats{7, 7, 7, 7, 7, 7, 7}));
  EXPECT_EQ(states(update_rule::adagrad), (floats{0.25F, 0.5F, 0.5F, 7, 7, 7, 7}));
  EXPECT_EQ(states(update_rule::momentum), (floats{0, 0, 0, 7, 7, 7, 7}));
  EXPECT_EQ(states(update_rule::rowwise_adagrad), (floats{0.5F, 7, 7, 7, 7, 7, 7}));
  EXPECT_EQ(states(update_rule::adam), (floats{0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(states(update_rule::ftrl), (floats{0, 0, 0, 0.25F, 0.5F, 0.5F, 7}));
}

}  // namespace
}  // namespace headrace::kernels
