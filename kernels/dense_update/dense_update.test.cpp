#include "kernels/dense_update/dense_update.hpp"

#include "kernels/dense_update/dense_cases.hpp"

#include <cmath>

namespace headrace::kernels {
namespace {

TEST(DenseUpdate, GivesTheReferencesBitsOnEveryTarget) {
  for_each_cpu_target([] {
    for_each_dense_case([](const dense_case& one) {
      dense_case got = one;
      dense_case wanted = one;
      for (int step = 0; step < 2; ++step) {
        dense_update_cpu(got.args());
        dense_update_ref(wanted.args());
        ASSERT_TRUE(same_step(got, wanted)) << "step " << step;
      }
    });
  });
}

TEST(DenseUpdate, WritesNothingWhereGradientsAreNotFinite) {
  dense_case one(update_rule::adam, {5, 64}, test_seed());
  const dense_case before = one;
  one.seen.finite = false;
  dense_update_cpu(one.args());
  EXPECT_TRUE(same_step(one, before));
}

TEST(DenseUpdate, ScalesGradientsDownToTheNorm) {
  dense_case one(update_rule::sgd, {2}, test_seed());
  one.tensors[0].rate = 1.0F;
  one.tensors[0].l2 = 0.0F;
  one.weights = {0.0F, 0.0F};
  one.gradients = {3.0F * 8.0F, 4.0F * 8.0F};
  one.brains.resize(2);
  one.step.norm_max = 2.5F;
  one.seen = {.finite = true, .inverse = 0.125F, .squares = 25.0};
  dense_update_cpu(one.args());
  EXPECT_EQ(one.weights, (std::vector<float>{-1.5F, -2.0F}));
  EXPECT_EQ(one.brains[0], 0xBFC0);
  one.seen.squares = 6.25;  // the norm is what it may be
  EXPECT_EQ(dense_gradient_factor(one.step, one.seen), 1.0F);
}

TEST(DenseUpdate, RefusesATensorBeyondTheArena) {
  dense_case one(update_rule::adam, {5, 64}, test_seed());
  one.state.pop_back();
  one.state.resize(state_words(update_rule::adam, 64));
  EXPECT_DEATH(dense_update_cpu(one.args()), "lies_within");
  dense_case two(update_rule::sgd, {5}, test_seed());
  two.step.rule = update_rule::ftrl;
  EXPECT_DEATH(dense_update_cpu(two.args()), "is_dense_rule");
}

TEST(DenseTensors, HaveTheirBlocksOneAfterAnother) {
  random_stream random(test_seed());
  for (int round = 0; round < 50; ++round) {
    std::vector<dense_tensor> tensors(1 + random.next_below(9));
    for (dense_tensor& tensor : tensors) {
      tensor.size = random.next_below(3) == 0 ? 0 : random.next_below(3 * dense_block + 2);
    }
    const std::uint32_t blocks = plan_dense_blocks(tensors.data(), tensors.size());
    std::vector<std::uint64_t> covered(tensors.size());
    const auto count = static_cast<std::uint32_t>(tensors.size());
    for (std::uint32_t b = 0; b < blocks; ++b) {
      const std::uint32_t t = dense_tensor_of(tensors.data(), count, b);
      const std::uint64_t first = std::uint64_t{b - tensors[t].first_block} * dense_block;
      ASSERT_EQ(first, covered[t]) << "block " << b << ", seed " << test_seed();
      ASSERT_LT(first, tensors[t].size);
      covered[t] += std::min<std::uint64_t>(dense_block, tensors[t].size - first);
    }
    for (std::size_t t = 0; t < tensors.size(); ++t) EXPECT_EQ(covered[t], tensors[t].size);
  }
}

}  // namespace
}  // namespace headrace::kernels
