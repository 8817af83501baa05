#include "kernels/fm/fm.hpp"
#include "kernels/fm/fm_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"

#include <numeric>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr float poison = std::numeric_limits<float>::quiet_NaN();

/// A batch over few rows, of which row 0 occurs about every other time: it spans several pieces.
struct emulated_fm {
  emulated_fm(std::uint32_t sample_count, std::uint32_t feature_count, std::uint32_t latent)
      : samples(sample_count),
        features(feature_count),
        latent_dim(latent),
        rows(rows_n * width()),
        values(latent % 2 == 0 ? samples * features : 0),
        g(samples),
        logits(samples, poison),
        sums(samples * latent, poison),
        gradients(rows.size()) {
    random_stream random(test_seed() + latent);
    fill_signed<float>(rows, random);
    fill_signed<float>(values, random, 3.0F);
    fill_signed<float>(g, random);
    fill_signed<float>(gradients, random);
    for (std::size_t i = 0; i < std::size_t{samples} * features; ++i) {
      const std::uint64_t row = random.next_below(2) == 0 ? 0 : random.next_below(rows_n);
      inverse.push_back(static_cast<std::uint32_t>(row));
    }
  }
  std::size_t width() const { return 1 + latent_dim; }

  void forward(const emulated_launch& launch) {
    launch_fm_forward({.rows = rows.data(),
                       .inverse = inverse.data(),
                       .values = values.empty() ? nullptr : values.data(),
                       .logits = logits.data(),
                       .sums = sums.data(),
                       .samples = samples,
                       .features = features,
                       .latent_dim = latent_dim,
                       .bias = bias},
                      launch);
  }
  void forward_ref() {
    fm_forward_ref({.rows = rows,
                    .inverse = inverse,
                    .values = values,
                    .features = features,
                    .latent_dim = latent_dim,
                    .bias = bias,
                    .logits = logits,
                    .sums = sums});
  }
  float backward(const emulated_launch& launch) {
    std::vector<std::uint32_t> order(inverse.size());
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(), [this](std::uint32_t a, std::uint32_t b) {
      return inverse[a] < inverse[b];
    });
    std::vector<float> heads(fm_partials(inverse.size(), latent_dim), poison);
    std::vector<float> tails = heads;
    float bias_gradient = poison;
    launch_fm_backward({.rows = rows.data(),
                        .inverse = inverse.data(),
                        .order = order.data(),
                        .values = values.empty() ? nullptr : values.data(),
                        .sums = sums.data(),
                        .logit_gradients = g.data(),
                        .row_gradients = gradients.data(),
                        .heads = heads.data(),
                        .tails = tails.data(),
                        .occurrences = static_cast<std::uint32_t>(inverse.size()),
                        .features = features,
                        .latent_dim = latent_dim},
                       samples,
                       &bias_gradient,
                       launch);
    return bias_gradient;
  }
  float backward_ref() {
    return fm_backward_ref({.rows = rows,
                            .inverse = inverse,
                            .values = values,
                            .features = features,
                            .latent_dim = latent_dim,
                            .sums = sums,
                            .logit_gradients = g,
                            .row_gradients = gradients});
  }

  static constexpr std::size_t rows_n = 11;
  std::uint32_t samples;
  std::uint32_t features;
  std::uint32_t latent_dim;
  std::vector<float> rows, values, g, logits, sums, gradients;
  std::vector<std::uint32_t> inverse;
  float bias = 0.375F;
};

template <class Check>
void for_each_batch(const Check& check) {
  for (const std::uint32_t latent : {0U, 1U, 3U, 4U, 7U, 8U, 16U, 31U, 33U, 64U}) {
    for (const std::uint32_t samples : {0U, 1U, 19U}) {
      for (const std::uint32_t features : {0U, 1U, 39U}) {
        SCOPED_TRACE(std::to_string(samples) + " samples, " + std::to_string(features) +
                     " features, latent " + std::to_string(latent));
        check(emulated_fm(samples, features, latent));
      }
    }
  }
}

/// Σ|terms| is not far above what comes out: values of order 1 with random signs.
TEST(FmKernel, IsTheReferencesForwardPass) {
  for_each_order([](const emulated_launch& launch) {
    for_each_batch([&launch](const emulated_fm& one) {
      emulated_fm got = one;
      emulated_fm wanted = one;
      got.forward(launch);
      wanted.forward_ref();
      EXPECT_LE(relative_error<float>(got.logits, std::span<float>(wanted.logits)), 1e-5);
      EXPECT_LE(relative_error<float>(got.sums, std::span<float>(wanted.sums)), 1e-5);
    });
  });
}

TEST(FmKernel, AddsTheReferencesGradients) {
  for_each_order([](const emulated_launch& launch) {
    for_each_batch([&launch](emulated_fm one) {
      one.forward_ref();
      emulated_fm got = one;
      const float bias_gradient = got.backward(launch);
      const float wanted = one.backward_ref();
      EXPECT_NEAR(bias_gradient, wanted, unit_roundoff * std::abs(static_cast<double>(wanted)));
      EXPECT_LE(relative_error<float>(got.gradients, std::span<float>(one.gradients)), 1e-5);
    });
  });
}

TEST(FmKernel, LeavesRowsAloneThatDoNotOccur) {
  emulated_fm one(40, 9, 5);
  for (std::uint32_t& row : one.inverse) row = row % 3 * 2;  // 0, 2 and 4
  one.forward_ref();
  const std::vector<float> before = one.gradients;
  one.backward({test_seed()});
  for (std::size_t i = 0; i < before.size(); ++i) {
    const std::size_t row = i / one.width();
    EXPECT_EQ(before[i] == one.gradients[i], row % 2 == 1 || row > 4) << "at " << i;
  }
}

TEST(FmKernel, GivesTheSameBitsInEveryOrder) {
  emulated_fm first(67, 39, 16);
  first.forward_ref();
  emulated_fm second = first;
  EXPECT_EQ(first.backward({1}), second.backward({2}));
  EXPECT_TRUE(same_bits<float>(first.gradients, second.gradients));
}

}  // namespace
}  // namespace headrace::kernels
