#include "worker/device/placement.hpp"

#include "worker/device/placed_model.hpp"
#include "worker/device/test_device_cases.hpp"

#include <gmock/gmock.h>

#include <algorithm>

namespace headrace::worker {
namespace {

class Placement : public testing::Test {
 protected:
  void SetUp() override {
    const char* file = std::getenv("HEADRACE_KERNELS_LIBRARY");
    if (file == nullptr) GTEST_SKIP() << "HEADRACE_KERNELS_LIBRARY names no libheadrace_kernels.so";
    file_ = file;
  }
  std::filesystem::path file_;
};

TEST_F(Placement, TakesTheCpuWithoutLookingForALibrary) {
  const auto graph = load_case("dcnv2");
  const auto placed = place(device_choice::cpu, {*graph}, "/no/such/library.so");
  ASSERT_TRUE(placed.ok());
  EXPECT_FALSE(placed->device);
  EXPECT_EQ(placed->why_not, "");
}

TEST_F(Placement, TakesTheDeviceThatCanDoTheStep) {
  const auto graph = load_case("deepfm");
  for (const auto wanted : {device_choice::automatic, device_choice::cuda}) {
    const auto placed = place(wanted, {*graph}, file_, "cpu");
    ASSERT_TRUE(placed.ok()) << describe(placed.error());
    EXPECT_TRUE(placed->device);
    EXPECT_NE(placed->device_name, "");
  }
}

/// What is refused with "cuda" is the CPU with "auto", and both say why.
void expect_refused(const step_spec& step,
                    const std::filesystem::path& file,
                    std::string_view backend,
                    errc code,
                    const std::string& why) {
  const auto placed = place(device_choice::automatic, step, file, backend);
  ASSERT_TRUE(placed.ok());
  EXPECT_FALSE(placed->device);
  EXPECT_THAT(placed->why_not, testing::HasSubstr(why));
  const auto refused = place(device_choice::cuda, step, file, backend);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, code);
  EXPECT_THAT(refused.error().detail, testing::StartsWith("train.device = \"cuda\": "));
  EXPECT_THAT(refused.error().detail, testing::HasSubstr(why));
  EXPECT_THAT(refused.error().detail, testing::Not(testing::HasSubstr("\n")));
}

TEST_F(Placement, SaysWhatADeviceWouldNeed) {
  const auto deep = load_case("deepfm");
  const auto cross = load_case("dcnv2");
  expect_refused({*deep}, "/no/such.so", "cuda", errc::not_found, "/no/such.so is not there");
  expect_refused({*deep}, file_, "cuda", errc::unavailable, "it is the library of backend cpu");
  expect_refused({*cross}, file_, "cpu", errc::bad_config, "layer 'cross1' (op = \"cross\")");
  expect_refused({*deep, precision::bf16}, file_, "cpu", errc::bad_config, "\"bf16\"");
  expect_refused({*deep, precision::f32, activations::recompute},
                 file_,
                 "cpu",
                 errc::bad_config,
                 "\"recompute\"");
  expect_refused({*deep, precision::f32, activations::keep, 0.5F},
                 file_,
                 "cpu",
                 errc::bad_config,
                 "join.negative_share");
}

/// A model on a device whose `failing`th call fails, beside one that never had a device.
struct two_models {
  two_models()
      : graph(load_case("deepfm")),
        host(graph),
        placed(graph,
               precision::f32,
               activations::keep,
               watched_library::over(std::move(*cpu_library()))) {}
  std::shared_ptr<const model_graph> graph;
  graph_model host;
  placed_model placed;
};

TEST_F(Placement, GoesOnOnTheHostWithTheBatchThatTheDeviceDidNotFinish) {
  two_models models;
  random_stream random(test_seed());
  std::size_t learned = 0;
  for (int step = 0; step < 4; ++step) {
    const auto batch = random_batch(200, random);
    auto sets = drawn_sets(models.host, batch, random);
    auto placed_sets = sets;
    std::vector<float> probabilities(200), placed_probabilities(200);
    if (step == 2) watched_library::failing = watched_library::calls + 9;  // amid the step
    models.host.learn(batch, sets, probabilities);
    EXPECT_TRUE(models.placed.learn(batch, placed_sets, placed_probabilities));
    ++learned;
    EXPECT_EQ(models.placed.on_device(), step < 2);
    EXPECT_EQ(placed_probabilities, probabilities) << "step " << step;
    for (std::size_t t = 0; t < sets.size(); ++t)
      EXPECT_EQ(placed_sets[t].gradients, sets[t].gradients) << "step " << step;
  }
  EXPECT_EQ(models.placed.device_steps(), 2U);
  EXPECT_EQ(learned, 4U);
  EXPECT_NE(models.placed.device_failure(), "");
}

TEST_F(Placement, CountsStepsThatAreNotFiniteOnEitherSide) {
  two_models models;
  random_stream random(test_seed());
  for (int step = 0; step < 2; ++step) {
    const auto batch = random_batch(50, random);
    auto sets = drawn_sets(models.host, batch, random);
    std::vector<float> probabilities(50);
    sets[0].values[3] = std::numeric_limits<float>::quiet_NaN();
    if (step == 1) watched_library::failing = watched_library::calls + 1;
    EXPECT_FALSE(models.placed.learn(batch, sets, probabilities));
  }
  EXPECT_FALSE(models.placed.on_device());
  EXPECT_EQ(models.placed.precision_so_far().steps_not_finite, 2U);
}

}  // namespace
}  // namespace headrace::worker
