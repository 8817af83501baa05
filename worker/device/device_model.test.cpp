#include "worker/device/device_model.hpp"

#include "tests/support/allocation_count.hpp"
#include "worker/device/device_cases.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::worker {
namespace {

class DeviceModel : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto library = cpu_library();
    if (!library) GTEST_SKIP() << "HEADRACE_KERNELS_LIBRARY names no libheadrace_kernels.so";
    library_ = watched_library::over(std::move(*library));
    RecordProperty("seed", std::to_string(test_seed()));
  }
  device_library library_;
};
using DeviceStep = DeviceModel;

/// The same batch learned on the host and on the device.
struct twin_step {
  twin_step(const std::shared_ptr<const model_graph>& graph,
            std::size_t samples,
            random_stream& random,
            bool values = true)
      : host(graph), batch(random_batch(samples, random, values)) {
    sets = drawn_sets(host, batch, random);
    device_sets = sets;
    const std::size_t heads = graph->heads().size();
    probabilities.resize(samples * heads, 9.0F);
    device_probabilities = probabilities;
  }
  graph_model host;
  schemas::sample_batch batch;
  std::vector<row_set> sets, device_sets;
  std::vector<float> probabilities, device_probabilities;
};

/// ‖got − wanted‖ / ‖wanted‖.
double relative(std::span<const float> got, std::span<const float> wanted) {
  double off = 0.0;
  double size = 0.0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    off += std::pow(static_cast<double>(got[i]) - static_cast<double>(wanted[i]), 2);
    size += std::pow(static_cast<double>(wanted[i]), 2);
  }
  return off == 0.0 ? 0.0 : std::sqrt(off / size);
}

TEST_P(DeviceStep, GivesTheBitsOfTheHostStepAfterStep) {
  const auto graph = load_case(GetParam());
  random_stream random(test_seed());
  device_model device(graph, library_, graph_model::chunk_samples);
  for (const std::size_t samples : {700U, 1U, 64U, 65U, 1100U, 700U}) {
    SCOPED_TRACE(std::to_string(samples) + " samples, seed " + std::to_string(test_seed()));
    twin_step one(graph, samples, random, samples != 64);
    const bool finite = one.host.learn(one.batch, one.sets, one.probabilities);
    const auto learned = device.learn(one.batch, one.device_sets, one.device_probabilities);
    ASSERT_TRUE(learned.ok()) << describe(learned.error());
    EXPECT_EQ(*learned, finite);
    ASSERT_EQ(one.device_probabilities, one.probabilities);
    for (std::size_t t = 0; t < one.sets.size(); ++t) {
      ASSERT_EQ(one.device_sets[t].gradients, one.sets[t].gradients) << "table " << t;
      ASSERT_TRUE(std::ranges::any_of(one.sets[t].gradients, [](float g) { return g != 0.0F; }));
    }
  }
}

TEST_P(DeviceStep, PredictsTheBitsOfTheHost) {
  const auto graph = load_case(GetParam());
  random_stream random(test_seed());
  device_model device(graph, library_, graph_model::chunk_samples);
  twin_step one(graph, 600, random);
  one.host.predict(one.batch, one.sets, one.probabilities);
  ASSERT_TRUE(device.predict(one.batch, one.device_sets, one.device_probabilities).ok());
  EXPECT_EQ(one.device_probabilities, one.probabilities);
  for (const row_set& set : one.device_sets)
    EXPECT_TRUE(std::ranges::all_of(set.gradients, [](float g) { return g == 0.0F; }));
}

// Sums over a batch are then in another order: (n + 20) 2^-24 of what is summed up.
TEST_P(DeviceStep, StaysWithinRoundingOfTheHostInOtherChunks) {
  const auto graph = load_case(GetParam());
  random_stream random(test_seed());
  for (const std::size_t chunk : {100U, 4096U}) {
    device_model device(graph, library_, chunk);
    twin_step one(graph, 1500, random);
    ASSERT_TRUE(one.host.learn(one.batch, one.sets, one.probabilities));
    ASSERT_TRUE(device.learn(one.batch, one.device_sets, one.device_probabilities).ok());
    EXPECT_LT(relative(one.device_probabilities, one.probabilities), 1e-6);
    for (std::size_t t = 0; t < one.sets.size(); ++t)
      EXPECT_LT(relative(one.device_sets[t].gradients, one.sets[t].gradients), 1e-5)
          << "table " << t << ", chunks of " << chunk << ", seed " << test_seed();
  }
}

TEST_P(DeviceStep, AllocatesNothingBehindTheFirstOfABucket) {
  const auto graph = load_case(GetParam());
  random_stream random(test_seed());
  device_model device(graph, library_);
  twin_step one(graph, 500, random);
  ASSERT_TRUE(device.learn(one.batch, one.device_sets, one.device_probabilities).ok());
  EXPECT_GT(watched_library::allocations, 0U);
  watched_library::allocations = 0;
  const tests::allocation_count here;
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(device.learn(one.batch, one.device_sets, one.device_probabilities).ok());
  EXPECT_EQ(watched_library::allocations, 0U);
  EXPECT_EQ(here.made(), 0U);
}

// Whichever call fails, the step leaves nothing behind; the next one is as if it had not been.
TEST_P(DeviceStep, LeavesEverythingAsItWasWhereACallFails) {
  const auto graph = load_case(GetParam());
  random_stream random(test_seed());
  twin_step one(graph, 130, random);
  ASSERT_TRUE(one.host.learn(one.batch, one.sets, one.probabilities));
  const auto before = one.device_probabilities;
  for (std::size_t call = 1;; ++call) {
    SCOPED_TRACE("call " + std::to_string(call) + " fails");
    device_model device(graph, library_, 100);
    watched_library::calls = 0;
    watched_library::failing = call;
    const auto learned = device.learn(one.batch, one.device_sets, one.device_probabilities);
    watched_library::failing = 0;
    if (learned.ok()) {
      EXPECT_GT(call, 12U);  // all of them have failed once
      break;
    }
    ASSERT_EQ(learned.error().code, errc::unavailable);
    ASSERT_EQ(one.device_probabilities, before);
    for (const row_set& set : one.device_sets)
      ASSERT_TRUE(std::ranges::all_of(set.gradients, [](float g) { return g == 0.0F; }));
    auto sets = one.device_sets;
    std::vector<float> probabilities(before.size());
    ASSERT_TRUE(device.learn(one.batch, sets, probabilities).ok());
    for (std::size_t t = 0; t < sets.size(); ++t)
      ASSERT_LT(relative(sets[t].gradients, one.sets[t].gradients), 1e-5) << "table " << t;
  }
}

INSTANTIATE_TEST_SUITE_P(Graphs,
                         DeviceStep,
                         testing::Values("lr", "fm", "deepfm", "every_form"),
                         [](const auto& info) { return info.param; });

TEST_F(DeviceModel, SaysThatAStepIsNotFinite) {
  const auto graph = load_case("deepfm");
  random_stream random(test_seed());
  device_model device(graph, library_);
  twin_step one(graph, 100, random);
  one.device_sets[0].values[5] = std::numeric_limits<float>::infinity();
  const auto learned = device.learn(one.batch, one.device_sets, one.device_probabilities);
  ASSERT_TRUE(learned.ok());
  EXPECT_FALSE(*learned);
}

TEST_F(DeviceModel, HasNothingToDoForABatchWithoutSamples) {
  const auto graph = load_case("deepfm");
  random_stream random(test_seed());
  device_model device(graph, library_);
  twin_step one(graph, 0, random);
  const auto learned = device.learn(one.batch, one.device_sets, one.device_probabilities);
  ASSERT_TRUE(learned.ok()) << describe(learned.error());
  EXPECT_TRUE(*learned);
}

TEST_F(DeviceModel, NamesTheLayerThatADeviceCannotCompute) {
  EXPECT_EQ(device_model::refusal(*load_case("every_form"), library_), "");
  EXPECT_EQ(device_model::refusal(*load_case("dcnv2"), library_),
            "layer 'cross1' (op = \"cross\"): it has no device form");
  library_.linear_backward.run = nullptr;
  EXPECT_EQ(device_model::refusal(*load_case("deepfm"), library_),
            "layer 'deep1' (op = \"linear\"): the library has no linear_backward");
  EXPECT_EQ(device_model::refusal(*load_case("fm"), library_), "");
}

}  // namespace
}  // namespace headrace::worker
