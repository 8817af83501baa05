// Layers that send each vector to some of several experts: ops/routed_experts.cpp.
#include "base/random.hpp"
#include "worker/model/graph_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

using testing::HasSubstr;

std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'261'127;
}

constexpr std::size_t width = 6;
constexpr std::size_t experts = 4;
const std::vector<model_feature> features = {{"user"}, {"item"}};

// Experts read `deep`, six numbers of the rows; the logit is linear in what they give.
constexpr const char* model_text = R"(
[layers.embedding]
op = "rows"
dim = 3
first_order = false
[layers.vectors]
op = "fields"
inputs = ["embedding"]
[layers.deep]
op = "linear"
inputs = ["vectors"]
units = 6
activation = "tanh"
[layers.routed]
op = "routed_experts"
inputs = ["deep"]
experts = 4
k = 2
hidden = 5
balance = 0.0
z = 0.0
[layers.logit]
op = "linear"
inputs = ["routed"]
units = 1
[layers.click]
op = "bce"
inputs = ["logit"]
)";

using settings = std::vector<std::string>;

struct routed_model {
  explicit routed_model(const settings& overrides)
      : graph(load(overrides)), model(graph), random(test_seed()) {}

  static std::shared_ptr<const model_graph> load(const settings& overrides) {
    auto loaded = model_graph::load(model_text, "m.toml", overrides, features);
    EXPECT_TRUE(loaded.ok()) << describe(loaded.error());
    return std::make_shared<const model_graph>(std::move(*loaded));
  }
  /// Samples of random keys; everything that is learned is drawn as well.
  void draw(std::size_t samples, double scale = 2.0) {
    batch.samples = static_cast<std::uint32_t>(samples);
    batch.features = 2;
    for (std::size_t s = 0; s < samples; ++s) {
      batch.labels.push_back(random.next_below(2) == 0 ? 0.0F : 1.0F);
      for (int f = 0; f < 2; ++f) batch.keys.push_back(random.next_below(40));
    }
    model.plan(batch, sets);
    model.plan_network(sets);
    for (row_set& set : sets)
      for (float& value : set.values)
        value = static_cast<float>(scale * (random.next_unit() - 0.5));
    probabilities.resize(samples);
  }
  bool learn() {
    for (row_set& set : sets) std::ranges::fill(set.gradients, 0.0F);
    return model.learn(batch, sets, probabilities);
  }
  row_set& table(const std::string& name) {
    const auto tables = graph->tables();
    const auto at = std::ranges::find(tables, name, &model_table::name);
    return sets[static_cast<std::size_t>(at - tables.begin())];
  }
  std::vector<float> values_of(const std::string& layer) {
    const auto nodes = graph->nodes();
    const auto at = std::ranges::find(nodes, layer, &graph_node::name);
    std::vector<float> values;
    model.compute(batch, sets, static_cast<std::size_t>(at - nodes.begin()), values);
    return values;
  }
  /// [samples, experts], in double, from the layer's input and the router's matrix.
  std::vector<double> logits() {
    const auto x = values_of("deep");
    const auto& router = table("routed_router").values;
    std::vector<double> found(batch.samples * experts, 0.0);
    for (std::size_t s = 0; s < batch.samples; ++s)
      for (std::size_t i = 0; i < width; ++i)
        for (std::size_t e = 0; e < experts; ++e)
          found[s * experts + e] +=
              static_cast<double>(x[s * width + i]) * static_cast<double>(router[i * experts + e]);
    return found;
  }
  /// The experts of sample s, best first.
  static std::vector<std::size_t> order_of(const std::vector<double>& logits, std::size_t s) {
    std::vector<std::size_t> order(experts);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(
        order, std::greater<>(), [&](std::size_t e) { return logits[s * experts + e]; });
    return order;
  }
  /// Whether each sample sends something to each expert: [samples * experts].
  std::vector<bool> routes(std::size_t k) {
    const auto scores = logits();
    std::vector<bool> found(scores.size());
    for (std::size_t s = 0; s < batch.samples; ++s) {
      const auto order = order_of(scores, s);
      for (std::size_t i = 0; i < k; ++i) found[s * experts + order[i]] = true;
    }
    return found;
  }

  std::shared_ptr<const model_graph> graph;
  graph_model model;
  random_stream random;
  schemas::sample_batch batch;
  std::vector<row_set> sets;
  std::vector<float> probabilities;
};

// Averages over the samples, with weights: `shares` of the assignments are constants.
struct router_weights {
  double balance = 0.0;
  double entropy = 0.0;
  double z = 0.0;
};
double router_loss(const std::vector<double>& logits,
                   const std::vector<double>& shares,
                   const router_weights& weights) {
  const std::size_t samples = logits.size() / experts;
  std::vector<double> mean(experts, 0.0);
  double squares = 0.0;
  for (std::size_t s = 0; s < samples; ++s) {
    double sum = 0.0;
    for (std::size_t e = 0; e < experts; ++e) sum += std::exp(logits[s * experts + e]);
    squares += std::pow(std::log(sum), 2);
    for (std::size_t e = 0; e < experts; ++e)
      mean[e] += std::exp(logits[s * experts + e]) / sum / static_cast<double>(samples);
  }
  double loss = weights.z * squares / static_cast<double>(samples);
  for (std::size_t e = 0; e < experts; ++e)
    loss += weights.balance * experts * shares[e] * mean[e] +
            weights.entropy * mean[e] * std::log(mean[e]);
  return loss;
}

double cross_entropy(const schemas::sample_batch& batch, const std::vector<float>& probabilities) {
  double loss = 0.0;
  for (std::size_t s = 0; s < batch.samples; ++s) {
    const auto p = static_cast<double>(probabilities[s]);
    loss -= std::log(batch.labels[s] > 0.5F ? p : 1.0 - p);
  }
  return loss;
}

// Of all that is learned, by differences of cross-entropy and router's losses. Steps that send a
// sample elsewhere, or over the corner of a relu, have no derivative and are left out.
TEST(RoutedExperts, LearnFromTheLossAndTheRoutersOwn) {
  const router_weights weights = {.balance = 0.5, .entropy = 0.25, .z = 0.125};
  for (const char* form : {"swiglu", "relu"}) {
    SCOPED_TRACE(std::string(form) + ", HEADRACE_SEED=" + std::to_string(test_seed()));
    routed_model of({"layers.routed.form=" + std::string(form),
                     "layers.routed.capacity_factor=2",  // experts / k: nothing is dropped
                     "layers.routed.balance=0.5",
                     "layers.routed.entropy=0.25",
                     "layers.routed.z=0.125"});
    constexpr std::size_t samples = 24;
    of.draw(samples);
    ASSERT_TRUE(of.learn());
    const auto routes = of.routes(2);
    std::vector<double> shares(experts, 0.0);
    for (std::size_t i = 0; i < routes.size(); ++i)
      if (routes[i]) shares[i % experts] += 0.5 / samples;
    bool moved = false;
    const auto loss_with = [&](float& weight, float value) {
      const float kept = weight;
      weight = value;
      of.model.predict(of.batch, of.sets, of.probabilities);
      moved = moved || of.routes(2) != routes;
      const double router = samples * router_loss(of.logits(), shares, weights);
      weight = kept;
      return cross_entropy(of.batch, of.probabilities) + router;
    };
    const double middle = loss_with(of.sets[0].values[0], of.sets[0].values[0]);
    std::size_t tried = 0;
    std::size_t left_out = 0;
    for (row_set& set : of.sets) {
      const std::string& name = of.graph->tables()[set.table.value].name;
      double largest = 0.0;
      for (std::size_t i = 0; i < set.values.size(); ++i) {
        constexpr float h = 1.0F / 1024;
        const float value = set.values[i];
        moved = false;
        const double above = loss_with(set.values[i], value + h);
        const double below = loss_with(set.values[i], value - h);
        const double expected = (above - below) / (2.0 * static_cast<double>(h));
        const double turn = (above + below - 2.0 * middle) / static_cast<double>(h);
        ++tried;
        if (moved || std::abs(turn) > 0.012) {
          ++left_out;
          continue;
        }
        largest = std::max(largest, std::abs(expected));
        EXPECT_NEAR(
            static_cast<double>(set.gradients[i]), expected, 6e-3 + 5e-3 * std::abs(expected))
            << name << ", value " << i;
      }
      EXPECT_GT(largest, 1e-2) << name;
    }
    EXPECT_LT(left_out, tried / 10);
  }
}

TEST(RoutedExperts, DropTheSmallestGatesBeyondTheRoomOfAnExpert) {
  routed_model of({"layers.routed.k=1", "layers.routed.capacity_factor=0.5"});
  constexpr std::size_t samples = 64;
  constexpr std::size_t room = 8;  // half of 64 / 4
  of.draw(samples);
  std::ranges::fill(of.table("logit_bias").values, 3.0F);
  ASSERT_TRUE(of.learn());
  const auto routes = of.routes(1);
  std::size_t kept = 0;
  for (std::size_t e = 0; e < experts; ++e) {
    std::size_t load = 0;
    for (std::size_t s = 0; s < samples; ++s) load += routes[s * experts + e] ? 1 : 0;
    kept += std::min(load, room);
  }
  const routing_figures& routed = of.model.routed_so_far();
  EXPECT_EQ(routed.assigned, samples);
  EXPECT_EQ(routed.dropped, samples - kept);
  EXPECT_EQ(routed.room, experts * room);
  EXPECT_GT(routed.dropped, 0U);
  // A sample without an expert has what is left: the bias of the logit.
  const float bias_alone = 1.0F / (1.0F + std::exp(-3.0F));
  const auto alone = std::ranges::count_if(
      of.probabilities, [&](float p) { return std::abs(p - bias_alone) < 1e-7F; });
  EXPECT_EQ(static_cast<std::size_t>(alone), samples - kept);
}

TEST(RoutedExperts, APredictionDoesNotDependOnWhatStandsBesideIt) {
  routed_model of({"layers.routed.capacity_factor=0.5"});
  of.draw(64);
  of.model.predict(of.batch, of.sets, of.probabilities);
  const auto together = of.probabilities;
  EXPECT_EQ(of.model.routed_so_far().assigned, 0U) << "counted is what learns";
  for (std::size_t s = 0; s < 64; s += 9) {
    schemas::sample_batch alone;
    alone.samples = 1;
    alone.features = 2;
    alone.labels = {1.0F};
    alone.keys = {of.batch.keys[2 * s], of.batch.keys[2 * s + 1]};
    std::vector<row_set> own;
    of.model.plan(alone, own);
    of.model.plan_network(own);
    for (std::size_t t = 0; t < own.size(); ++t)
      for (std::size_t i = 0; i < own[t].values.size(); ++i) {
        const auto at = std::ranges::lower_bound(of.sets[t].keys, own[t].keys[i / own[t].dim]);
        const auto row = static_cast<std::size_t>(at - of.sets[t].keys.begin());
        own[t].values[i] = of.sets[t].values[row * own[t].dim + i % own[t].dim];
      }
    std::vector<float> p(1);
    of.model.predict(alone, own, p);
    EXPECT_NEAR(p[0], together[s], 1e-6) << s;
  }
}

// Its rows then aren't pushed (gradient_packer), and what isn't pushed doesn't move.
TEST(RoutedExperts, AnExpertWithoutATokenHasNoGradient) {
  routed_model of({"layers.routed.k=1", "layers.routed.balance=0.01"});
  of.draw(16);
  // The input is positive here, and expert 2 the worst for all of it.
  std::ranges::fill(of.table("deep_bias").values, 9.0F);
  auto& router = of.table("routed_router").values;
  for (std::size_t i = 0; i < width; ++i) router[i * experts + 2] = -5.0F;
  ASSERT_TRUE(of.learn());
  const auto routes = of.routes(1);
  for (const char* name : {"routed_first", "routed_second", "routed_third"}) {
    const row_set& set = of.table(name);
    ASSERT_EQ(set.block_rows * experts, set.rows());
    const std::size_t floats = set.block_rows * set.dim;
    for (std::size_t e = 0; e < experts; ++e) {
      bool idle = true;
      for (std::size_t s = 0; s < 16; ++s) idle = idle && !routes[s * experts + e];
      const auto block = std::span(set.gradients).subspan(e * floats, floats);
      EXPECT_EQ(std::ranges::all_of(block, [](float g) { return g == 0.0F; }), idle) << e;
      if (e == 2) {
        EXPECT_TRUE(idle);
      }
    }
  }
  EXPECT_EQ(of.table("routed_router").block_rows, 0U) << "the router learns from every batch";
}

// There is no right expert then, and the zeros that are routed instead must not be learned from.
TEST(RoutedExperts, LogitsThatAreNotFiniteMakeTheStepSkipped) {
  routed_model of({});
  of.draw(16);
  of.table("deep_bias").values.assign(width, 9.0F);  // tanh of it is 1
  auto& router = of.table("routed_router").values;
  const auto good = router;
  router[1] = router[experts + 1] = std::numeric_limits<float>::max();
  EXPECT_FALSE(of.learn());
  router = good;
  EXPECT_TRUE(of.learn());
  of.table("deep_bias").values[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(of.learn());
}

TEST(RoutedExperts, GiveTheSameBitsEachTime) {
  routed_model of({"layers.routed.capacity_factor=0.7"});
  of.draw(700);  // two chunks
  ASSERT_TRUE(of.learn());
  std::vector<std::vector<float>> first;
  for (const row_set& set : of.sets) first.push_back(set.gradients);
  const auto p = of.probabilities;
  ASSERT_TRUE(of.learn());
  EXPECT_EQ(of.probabilities, p);
  for (std::size_t t = 0; t < first.size(); ++t) EXPECT_EQ(of.sets[t].gradients, first[t]);
}

TEST(RoutedExperts, RefuseWhatCannotBe) {
  const auto failure = [](const std::string& set) {
    const auto loaded =
        model_graph::load(model_text, "m.toml", std::vector<std::string>{set}, features);
    return loaded.ok() ? "no failure" : loaded.error().detail;
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"layers.routed.capacity_factor=0", "layers.routed.capacity_factor"},
      {"layers.routed.capacity_factor=0", "1.25 is a quarter more than an even share, and 2 drops"},
      {"layers.routed.capacity_factor=-1", "layers.routed.capacity_factor"},
      {"layers.routed.k=5", "each vector goes to 5 of 4 experts"},
      {"layers.routed.experts=1", "layers.routed.experts"},
      {"layers.routed.hidden=2000", "layers.routed.hidden"},
      {"layers.routed.form=gelu", "layers.routed.form"},
      {"layers.routed.entropy=-1", "layers.routed.entropy"},
      {"layers.routed.inputs=[\"embedding\"]", "an input is rows"},
      {"layers.routed.capacity=8", "layers.routed.capacity"},
      {"layers.deep.units=1024", "no failure"}};
  for (const auto& [set, says] : cases) {
    EXPECT_THAT(failure(set), HasSubstr(says)) << set;
    EXPECT_EQ(failure(set).find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace headrace::worker
