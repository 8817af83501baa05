#include "kernels/dense_update/dense_cases.hpp"
#include "kernels/dense_update/dense_update_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"

namespace headrace::kernels {
namespace {

void run(dense_case& one, const emulated_launch& launch, bool aligned = true) {
  const device::gradient_verdict verdict = {
      0, one.seen.finite ? 1U : 0U, one.seen.inverse, 0.0F, one.seen.squares};
  std::vector<device::dense_factors> factors(one.tensors.size());
  const bool has_verdict = one.seen.inverse != 1.0F || !one.seen.finite;
  launch_dense_update(
      {.tensors = one.tensors.data(),
       .count = static_cast<std::uint32_t>(one.tensors.size()),
       .verdict = has_verdict ? &verdict : nullptr,
       .factors = factors.data(),
       .numbers =
           {one.step.clip, one.step.norm_max, one.step.momentum, one.step.beta1, one.step.beta2},
       .weights = one.weights.data(),
       .gradients = one.gradients.data(),
       .state = one.state.data(),
       .brains = one.brains.data(),
       .aligned = aligned},
      one.step.rule,
      one.blocks,
      launch);
}

TEST(DenseUpdateKernel, GivesTheReferencesBits) {
  for_each_order([](const emulated_launch& launch) {
    for_each_dense_case([&launch](const dense_case& one) {
      dense_case got = one;
      dense_case wanted = one;
      for (int step = 0; step < 2; ++step) {
        run(got, launch, step == 0);
        dense_update_ref(wanted.args());
        ASSERT_TRUE(same_step(got, wanted)) << "step " << step;
      }
    });
  });
}

TEST(DenseUpdateKernel, WritesNothingWhereGradientsAreNotFinite) {
  dense_case one(update_rule::adamw, {5, 64}, test_seed());
  const dense_case before = one;
  one.seen.finite = false;
  run(one, {test_seed()});
  EXPECT_TRUE(same_step(one, before));
}

}  // namespace
}  // namespace headrace::kernels
