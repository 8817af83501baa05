#include "worker/step/candidate_ranking.hpp"

#include "schemas/pull.hpp"
#include "worker/model/presets.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>

namespace headrace::worker {
namespace {

const std::array<model_feature, 2> two_ids{{{"user", false}, {"ad", false}}};
constexpr std::array<std::size_t, 1> three{3};
constexpr std::uint64_t a_user = 1'000;  // keys of users from here on, those of ads below

/// A logistic regression whose weight of key k is k / 100, on one shard.
class fixture {
 public:
  fixture() {
    auto graph = model_graph::load(std::string(find_preset("lr")->text), "lr", {}, two_ids);
    EXPECT_TRUE(graph.ok());
    model_ = std::make_shared<const model_graph>(std::move(*graph));
    schema_.shards = 1;
    for (const auto& table : model_->tables()) {
      schemas::table_spec spec;
      spec.id = table_id{static_cast<std::uint32_t>(schema_.tables.size())};
      spec.dim = static_cast<std::uint32_t>(table.dim);
      schema_.tables.push_back(spec);
    }
  }
  batch_scorer scorer() const { return {model_, schema_, answer}; }

 private:
  static frame answer(shard_id shard, const frame& request) {
    const auto asked = schemas::decode_pull(request);
    schemas::pull_reply header;
    header.shard = shard;
    std::vector<schemas::pulled_block_layout> layouts;
    for (const auto& block : asked->blocks)
      layouts.push_back(
          {block.table, 1, block.codec, static_cast<std::uint32_t>(block.keys.size())});
    schemas::pull_reply_builder reply(header, layouts);
    for (std::size_t b = 0; b < layouts.size(); ++b) {
      for (std::size_t i = 0; i < asked->blocks[b].keys.size(); ++i) {
        const std::uint64_t key = asked->blocks[b].keys[i];
        const float value = key < a_user ? static_cast<float>(key) / 100.0F : 0.0F;
        std::memcpy(reply.block(b).values.data() + i * sizeof value, &value, sizeof value);
      }
    }
    return reply.finish();
  }
  std::shared_ptr<const model_graph> model_;
  schemas::job_schema schema_;
};

event seen(std::uint64_t user, std::uint64_t ad, float label) {
  event made;
  made.label = label;
  made.keys = {a_user + user, ad};
  return made;
}

ranking_metrics ranked(const candidate_ranking& ranking) {
  auto scorer = fixture().scorer();
  ranking_metrics figures(three);
  EXPECT_TRUE(ranking.rank(scorer, figures).ok());
  return figures;
}

TEST(CandidateRanking, RanksTheValueOfEachPositiveRowAmongAllThatTheStreamHad) {
  candidate_ranking ranking({.feature = 1});
  ranking.add(seen(1, 40, 1.0F));  // rank 1
  ranking.add(seen(1, 30, 0.0F));
  ranking.add(seen(2, 20, 1.0F));  // rank 3
  ranking.add(seen(2, 10, 0.0F));
  EXPECT_EQ(ranking.candidates(), 4U);
  const auto figures = ranked(ranking);
  EXPECT_EQ(figures.cases(), 2U);
  EXPECT_DOUBLE_EQ(figures.mean_rank(), 2.0);
  EXPECT_DOUBLE_EQ(figures.figures()[0].hit_rate, 1.0);
}

TEST(CandidateRanking, LeavesOneOutOfEachUserAndWhatTheUserMetElsewhere) {
  candidate_ranking ranking({.feature = 1, .by = 0});
  ranking.add(seen(1, 20, 1.0F));
  ranking.add(seen(2, 40, 1.0F));  // the only one of user 2: rank 1
  ranking.add(seen(1, 10, 1.0F));  // the last one of user 1: 40 and 30 are above, 20 is left out
  ranking.add(seen(3, 30, 0.0F));  // never a label 1: no case
  const auto figures = ranked(ranking);
  EXPECT_EQ(figures.cases(), 2U);
  EXPECT_DOUBLE_EQ(figures.mean_rank(), (1.0 + 3.0) / 2.0);
}

TEST(CandidateRanking, TakesNoMoreCasesThanAskedForEvenlySpread) {
  candidate_ranking ranking({.feature = 1, .cases_max = 10});
  for (std::uint64_t i = 0; i < 900; ++i) ranking.add(seen(i, 900 - i - 1, 1.0F));
  const auto figures = ranked(ranking);  // event i has rank i + 1
  EXPECT_EQ(figures.cases(), 10U);
  EXPECT_NEAR(figures.mean_rank(), 450.0, 60.0);
}

TEST(CandidateRanking, EndsWhenItIsAskedTo) {
  candidate_ranking ranking({.feature = 1});
  ranking.add(seen(1, 40, 1.0F));
  ranking.add(seen(2, 20, 1.0F));
  auto scorer = fixture().scorer();
  ranking_metrics figures(three);
  const auto ended = ranking.rank(scorer, figures, [&] { return figures.cases() == 1; });
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().code, errc::cancelled);
  EXPECT_EQ(figures.cases(), 1U);
}

TEST(CandidateRanking, MakesKeysAnewThatFollowFromTheExchangedOne) {
  candidate_ranking ranking({.feature = 0, .rekey = [](std::span<std::uint64_t> keys) {
                               keys[1] = 2 * a_user - 1 - keys[0];
                             }});
  ranking.add(seen(1, a_user - 2, 1.0F));  // key of the first ad: the higher, the later the user
  ranking.add(seen(2, a_user - 3, 0.0F));
  ranking.add(seen(3, a_user - 4, 0.0F));
  EXPECT_DOUBLE_EQ(ranked(ranking).mean_rank(), 1.0);
  candidate_ranking reversed(
      {.feature = 0, .rekey = [](std::span<std::uint64_t> keys) { keys[1] = keys[0] - a_user; }});
  reversed.add(seen(1, 1, 1.0F));
  reversed.add(seen(2, 2, 0.0F));
  reversed.add(seen(3, 3, 0.0F));
  EXPECT_DOUBLE_EQ(ranked(reversed).mean_rank(), 3.0);
}

}  // namespace
}  // namespace headrace::worker
