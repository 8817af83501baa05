// What the operators over lists give, in numbers that a reader can check.
#include "base/random.hpp"
#include "worker/model/graph_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

using testing::ElementsAre;
using testing::FloatEq;

const std::vector<model_feature> features = {{"seen", false, 3}};

constexpr const char* head = R"(
[layers.embedding]
op = "rows"
dim = 6
first_order = false
features = ["seen"]
[layers.seen]
op = "tokens"
inputs = ["embedding"]
)";

constexpr const char* tail = R"(
[layers.newest]
op = "last"
inputs = ["under_test"]
[layers.whole]
op = "pool"
inputs = ["seen"]
[layers.joined]
op = "concat"
inputs = ["newest", "whole"]
[layers.logit]
op = "linear"
inputs = ["joined"]
units = 1
[layers.click]
op = "bce"
inputs = ["logit"]
)";

// A model with a layer `under_test` of these lines.
std::shared_ptr<const model_graph> graph_with(const std::string& lines) {
  auto loaded = model_graph::load(
      head + ("[layers.under_test]\ninputs = [\"seen\"]\n" + lines) + tail, "test", {}, features);
  EXPECT_TRUE(loaded.ok()) << describe(loaded.error());
  return std::make_shared<const model_graph>(std::move(*loaded));
}

using lists = std::vector<std::vector<std::uint64_t>>;

schemas::sample_batch batch_of(const lists& seen) {
  schemas::sample_batch batch;
  batch.samples = static_cast<std::uint32_t>(seen.size());
  batch.sequences = 1;
  batch.labels.assign(seen.size(), 1.0F);
  for (const auto& list : seen) {
    batch.lengths.push_back(static_cast<std::uint16_t>(list.size()));
    batch.sequence_keys.insert(batch.sequence_keys.end(), list.begin(), list.end());
  }
  return batch;
}

// What a layer gives. Parameters are random; column c of the vector of id k is k + c / 10.
std::vector<float> values_of(const std::shared_ptr<const model_graph>& graph,
                             const std::string& layer,
                             const lists& seen,
                             const std::map<std::string, float>& constants = {}) {
  graph_model model(graph);
  const auto batch = batch_of(seen);
  std::vector<row_set> sets;
  model.plan(batch, sets);
  model.plan_network(sets);
  random_stream random(5);
  for (row_set& set : sets) {
    const model_table& table = graph->tables()[set.table.value];
    const auto constant = constants.find(table.name);
    for (std::size_t i = 0; i < set.values.size(); ++i) {
      const auto column = static_cast<float>(i % set.dim) / 10;
      set.values[i] = table.rows == 0 ? static_cast<float>(set.keys[i / set.dim]) + column
                      : constant != constants.end()
                          ? constant->second * static_cast<float>(1 + i / set.dim)
                          : static_cast<float>(random.next_unit() - 0.5);
    }
  }
  const auto nodes = graph->nodes();
  const auto at = std::ranges::find(nodes, layer, &graph_node::name);
  std::vector<float> values;
  model.compute(batch, sets, static_cast<std::size_t>(at - nodes.begin()), values);
  return values;
}

std::vector<float> first_of_each(const std::vector<float>& values, std::size_t width) {
  std::vector<float> firsts;
  for (std::size_t i = 0; i < values.size(); i += width) firsts.push_back(values[i]);
  return firsts;
}

TEST(ListValues, AreTheVectorsOfTheIdsInTheirOrder) {
  const auto graph = graph_with("op = \"dropout\"");
  EXPECT_THAT(first_of_each(values_of(graph, "seen", {{4, 2}, {}, {4}}), 6), ElementsAre(4, 2, 4));
  EXPECT_THAT(
      values_of(graph, "newest", {{4, 2}, {}, {7}}),
      ElementsAre(
          2, 2.1F, 2.2F, 2.3F, 2.4F, 2.5F, 0, 0, 0, 0, 0, 0, 7, 7.1F, 7.2F, 7.3F, 7.4F, 7.5F));
  EXPECT_THAT(first_of_each(values_of(graph, "whole", {{4, 2}, {}, {7}}), 6), ElementsAre(3, 0, 7));
}

TEST(ListValues, PlacesAreCountedFromTheNewest) {
  const auto graph = graph_with("op = \"positions\"");
  // Row p of the table is 100 (p + 1); ids of a longer list than the job's share the last row.
  const auto placed =
      values_of(graph, "under_test", {{1, 2}, {3}, {4, 5, 6, 7}}, {{"under_test_weights", 100.0F}});
  EXPECT_THAT(first_of_each(placed, 6), ElementsAre(201, 102, 103, 304, 305, 206, 107));
}

TEST(ListValues, NormsHaveMeanOfTheBiasAndDeviationOfOnePlusTheGain) {
  const auto graph = graph_with("op = \"layer_norm\"");
  const auto rows = values_of(
      graph, "under_test", {{3, 9}}, {{"under_test_gain", 1.0F}, {"under_test_bias", 5.0F}});
  for (std::size_t row = 0; row < 2; ++row) {
    double mean = 0.0;
    double square = 0.0;
    for (std::size_t c = 0; c < 6; ++c) mean += static_cast<double>(rows[row * 6 + c]) / 6;
    for (std::size_t c = 0; c < 6; ++c)
      square += std::pow(static_cast<double>(rows[row * 6 + c]) - mean, 2) / 6;
    EXPECT_NEAR(mean, 5.0, 1e-4);
    EXPECT_NEAR(std::sqrt(square), 2.0, 1e-3);
  }
}

// What a token sees is all that stands before it: the same whatever follows, and in another batch.
TEST(ListValues, ACausalTokenDoesNotSeeWhatFollows) {
  for (const char* op : {"attention", "hstu", "block_attention"}) {
    SCOPED_TRACE(op);
    const std::string lines = "op = \"" + std::string(op) + "\"\n" +
                              (std::string(op) == "block_attention" ? "block = 2\n" : "");
    const auto causal = graph_with(lines);
    const auto full = graph_with(lines + "causal = false\n");
    const auto long_list = values_of(causal, "under_test", {{1, 2, 3}});
    const auto other_end = values_of(causal, "under_test", {{1, 2, 9}});
    // hstu divides by the length of the list, so lengths are the same here.
    for (std::size_t i = 0; i < 2 * 2; ++i) EXPECT_EQ(long_list[i], other_end[i]);
    EXPECT_NE(long_list[4], other_end[4]);
    EXPECT_NE(values_of(full, "under_test", {{1, 2, 3}})[0],
              values_of(full, "under_test", {{1, 2, 9}})[0]);
    const auto among_others = values_of(causal, "under_test", {{5}, {1, 2, 3}, {7, 8}});
    for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(among_others[2 + i], long_list[i], 1e-5);
  }
}

TEST(ListValues, BlocksAsLongAsTheListArePlainAttention) {
  const auto plain = graph_with("op = \"attention\"\n");
  const auto blocks = graph_with("op = \"block_attention\"\nblock = 3\n");
  const lists seen = {{1, 2, 3}, {}, {4, 2}};
  EXPECT_EQ(values_of(blocks, "under_test", seen), values_of(plain, "under_test", seen));
  const auto small = graph_with("op = \"block_attention\"\nblock = 1\n");
  // The first of a list sees itself; the second itself, and what the first block found.
  const auto found = values_of(small, "under_test", {{3, 5}});
  EXPECT_THAT(found, ElementsAre(FloatEq(3.4F), FloatEq(3.5F), FloatEq(8.8F), FloatEq(9.0F)));
}

// One key is seen with weight 1, so attention gives its value: the last third of the input.
TEST(ListValues, AttentionOverOneTokenIsItsValue) {
  const auto graph = graph_with("op = \"attention\"");
  EXPECT_THAT(values_of(graph, "under_test", {{3}}), ElementsAre(FloatEq(3.4F), FloatEq(3.5F)));
}

// SiLU of the product of query and key, over a length of 1; the table of distances is 0.
TEST(ListValues, HstuOverOneTokenIsItsValueTimesSiluOfTheScore) {
  const auto graph = graph_with("op = \"hstu\"");
  const auto given = values_of(graph, "under_test", {{1}}, {{"under_test_distances", 0.0F}});
  const double score = (1.0 * 1.2 + 1.1 * 1.3) / std::sqrt(2.0);
  const double weight = score / (1.0 + std::exp(-score));
  EXPECT_NEAR(given[0], weight * 1.4, 1e-4);
  EXPECT_NEAR(given[1], weight * 1.5, 1e-4);
}

}  // namespace
}  // namespace headrace::worker
