#include "worker/step/next_item_ranking.hpp"

#include "base/random.hpp"
#include "schemas/pull.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

constexpr std::size_t dim = 6;
constexpr std::size_t list_max = 4;
constexpr std::array<std::size_t, 2> cutoffs{3, 10};
const std::vector<model_feature> features = {{"user", false}, {"seen", false, list_max}};

// A state is the id and its place, through one matrix: easily said again in double.
constexpr const char* model_text = R"(
[layers.embedding]
op = "rows"
dim = 6
first_order = true
features = ["seen"]
[layers.items]
op = "tokens"
inputs = ["embedding"]
[layers.placed]
op = "positions"
inputs = ["items"]
[layers.states]
op = "linear"
inputs = ["placed"]
units = 6
[layers.next]
op = "next_item"
inputs = ["states", "embedding"]
)";

/// The model with values that follow from table, row and column, on two shards.
class fixture {
 public:
  fixture() {
    auto graph = model_graph::load(model_text, "model", {}, features);
    EXPECT_TRUE(graph.ok()) << describe(graph.error());
    model_ = std::make_shared<const model_graph>(std::move(*graph));
    schema_.shards = 2;
    for (const auto& table : model_->tables()) {
      schemas::table_spec spec;
      spec.id = table_id{static_cast<std::uint32_t>(schema_.tables.size())};
      spec.dim = static_cast<std::uint32_t>(table.dim);
      schema_.tables.push_back(spec);
    }
  }
  static float value(std::size_t table, std::uint64_t key, std::size_t column) {
    return unit_float(counter_draw(5, table, key * 64 + column)) - 0.5F;
  }
  std::size_t table(const std::string& name) const {
    const auto tables = model_->tables();
    const auto at = std::ranges::find(tables, name, &model_table::name);
    EXPECT_NE(at, tables.end()) << name;
    return static_cast<std::size_t>(at - tables.begin());
  }
  batch_scorer scorer() const {
    return {model_, schema_, [this](shard_id shard, const frame& request) {
              return answer(shard, request);
            }};
  }
  next_item_parts parts() const { return *find_next_item(*model_); }

 private:
  frame answer(shard_id shard, const frame& request) const {
    const auto asked = schemas::decode_pull(request);
    schemas::pull_reply header;
    header.shard = shard;
    std::vector<schemas::pulled_block_layout> layouts;
    for (const auto& block : asked->blocks)
      layouts.push_back({block.table,
                         schema_.tables[block.table.value].dim,
                         block.codec,
                         static_cast<std::uint32_t>(block.keys.size())});
    schemas::pull_reply_builder reply(header, layouts);
    for (std::size_t b = 0; b < layouts.size(); ++b) {
      std::vector<float> values;
      for (const std::uint64_t key : asked->blocks[b].keys) {
        for (std::size_t c = 0; c < layouts[b].dim; ++c)
          values.push_back(value(layouts[b].table.value, key, c));
      }
      std::memcpy(reply.block(b).values.data(), values.data(), values.size() * sizeof(float));
    }
    return reply.finish();
  }
  std::shared_ptr<const model_graph> model_;
  schemas::job_schema schema_;
};

/// Rank of `positive` behind a list of `history`, among `candidates`, in double.
double rank_in_double(const fixture& of,
                      const std::vector<std::uint64_t>& history,
                      std::uint64_t positive,
                      const std::vector<std::uint64_t>& candidates) {
  const auto embedded = [&](std::uint64_t key, std::size_t c) {
    return static_cast<double>(fixture::value(of.table("embedding"), key, 1 + c));
  };
  std::array<double, dim> state{};
  for (std::size_t o = 0; o < dim; ++o) {
    state[o] = static_cast<double>(fixture::value(of.table("states_bias"), 0, o));
    for (std::size_t i = 0; i < dim; ++i) {
      const double in = embedded(history.back(), i) +
                        static_cast<double>(fixture::value(of.table("placed_weights"), 0, i));
      state[o] += in * static_cast<double>(fixture::value(of.table("states_weights"), i, o));
    }
  }
  const auto score = [&](std::uint64_t key) {
    double sum = 0.0;
    for (std::size_t c = 0; c < dim; ++c) sum += state[c] * embedded(key, c);
    return sum;
  };
  double rank = 1.0;
  for (const std::uint64_t other : candidates) {
    const bool seen = std::ranges::find(history, other) != history.end();
    if (other == positive || seen) continue;
    if (score(other) > score(positive)) rank += 1.0;
    if (score(other) == score(positive)) rank += 0.5;
  }
  return rank;
}

event listed(const std::vector<std::uint64_t>& ids) {
  event made;
  made.label = 1.0F;
  made.keys = {99};
  made.lengths = {static_cast<std::uint16_t>(ids.size())};
  made.sequence_keys = ids;
  return made;
}

std::vector<std::vector<std::uint64_t>> random_lists(std::uint64_t seed, std::size_t count) {
  random_stream random(seed);
  std::vector<std::vector<std::uint64_t>> lists(count);
  for (auto& list : lists) {
    list.resize(random.next_below(9));
    for (auto& id : list) id = 1'000 + random.next_below(60);
  }
  return lists;
}

TEST(NextItemRanking, AgreesWithPlainLoopsInDouble) {
  const fixture of;
  const std::uint64_t seed = 20261127;
  const auto lists = random_lists(seed, 300);  // more than one batch
  std::vector<std::uint64_t> candidates;
  for (const auto& list : lists) candidates.insert(candidates.end(), list.begin(), list.end());
  std::ranges::sort(candidates);
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  for (const std::size_t held_out : {1U, 2U}) {
    next_item_ranking ranking(of.parts(), {.held_out = held_out, .history_max = list_max});
    ranking_metrics expected(cutoffs);
    for (const auto& list : lists) {
      ranking.add(listed(list));
      if (list.size() < held_out + 1) continue;
      const std::size_t at = list.size() - held_out;
      const std::vector<std::uint64_t> history(list.begin(),
                                               list.begin() + static_cast<std::ptrdiff_t>(at));
      expected.add_rank(rank_in_double(of, history, list[at], candidates));
    }
    EXPECT_EQ(ranking.candidates(), candidates.size());
    auto scorer = of.scorer();
    ranking_metrics figures(cutoffs);
    ASSERT_TRUE(ranking.rank(scorer, figures).ok());
    EXPECT_EQ(figures.cases(), expected.cases()) << "seed " << seed;
    EXPECT_EQ(figures.mean_rank(), expected.mean_rank()) << "seed " << seed;
    EXPECT_EQ(figures.mean_reciprocal_rank(), expected.mean_reciprocal_rank());
    for (std::size_t k = 0; k < cutoffs.size(); ++k) {
      EXPECT_EQ(figures.figures()[k].hit_rate, expected.figures()[k].hit_rate);
      EXPECT_EQ(figures.figures()[k].ndcg, expected.figures()[k].ndcg);
    }
    EXPECT_GT(figures.cases(), 200U);
    EXPECT_LT(figures.mean_rank(), 40.0);
  }
}

TEST(NextItemRanking, TakesNoCaseWithoutSomethingInFrontOfTheHeldOutId) {
  const fixture of;
  next_item_ranking last(of.parts(), {.held_out = 1, .history_max = list_max});
  next_item_ranking before(of.parts(), {.held_out = 2, .history_max = list_max});
  for (const auto& list : {std::vector<std::uint64_t>{}, {1}, {1, 2}, {1, 2, 3}}) {
    last.add(listed(list));
    before.add(listed(list));
  }
  EXPECT_EQ(last.cases(), 2U);
  EXPECT_EQ(before.cases(), 1U);
  EXPECT_EQ(last.candidates(), 3U);
  next_item_ranking none(of.parts(), {});
  auto scorer = of.scorer();
  ranking_metrics figures(cutoffs);
  EXPECT_TRUE(none.rank(scorer, figures).ok());
  EXPECT_EQ(figures.cases(), 0U);
}

TEST(NextItemRanking, TakesNoMoreCasesThanAskedForAndEndsWhenItIsAskedTo) {
  const fixture of;
  next_item_ranking ranking(of.parts(), {.history_max = list_max, .cases_max = 7});
  for (const auto& list : random_lists(1, 100)) ranking.add(listed(list));
  auto scorer = of.scorer();
  ranking_metrics figures(cutoffs);
  const auto ended = ranking.rank(scorer, figures, [] { return true; });
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().code, errc::cancelled);
  ASSERT_TRUE(ranking.rank(scorer, figures).ok());
  EXPECT_EQ(figures.cases(), 7U);
}

TEST(NextItemRanking, IsForModelsThatPredictTheNextId) {
  const auto other = model_graph::load(
      "[layers.rows]\nop = \"rows\"\nfeatures = [\"user\"]\n[layers.loss]\nop = \"count\"\n"
      "inputs = [\"rows\"]\n",
      "other",
      {},
      features);
  ASSERT_TRUE(other.ok()) << describe(other.error());
  EXPECT_FALSE(find_next_item(*other).has_value());
}

}  // namespace
}  // namespace headrace::worker
