// Models whose layers mix up samples and the tokens of lists are refused when they are loaded.
#include "worker/model/model_graph.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace headrace::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<model_feature> features = {
    {"user"}, {"seen", false, 9}, {"item"}, {"carts", false, 7}};

constexpr const char* good_model = R"(
[layers.embedding]
op = "rows"
dim = 6
features = ["item", "lists"]
[layers.target]
op = "fields"
inputs = ["embedding"]
[layers.seen]
op = "tokens"
inputs = ["embedding"]
feature = "seen"
[layers.carts]
op = "tokens"
inputs = ["embedding"]
feature = "carts"
[layers.each]
op = "linear"
inputs = ["seen"]
units = 6
[layers.more]
op = "sum"
inputs = ["each", "seen"]
[layers.placed]
op = "positions"
inputs = ["more"]
[layers.attention]
op = "attention"
inputs = ["placed"]
heads = 2
[layers.interest]
op = "target_attention"
inputs = ["more", "target"]
[layers.newest]
op = "last"
inputs = ["attention"]
[layers.carted]
op = "pool"
inputs = ["carts"]
[layers.joined]
op = "concat"
inputs = ["interest", "newest", "carted"]
[layers.logit]
op = "linear"
inputs = ["joined"]
units = 1
[layers.click]
op = "bce"
inputs = ["logit"]
)";

std::string failure(const std::vector<std::string>& overrides) {
  const auto loaded = model_graph::load(good_model, "m.toml", overrides, features);
  if (loaded.ok()) return "no failure";
  EXPECT_EQ(loaded.error().code, errc::bad_config);
  EXPECT_EQ(loaded.error().detail.find('\n'), std::string::npos);
  return loaded.error().detail;
}

TEST(ModelGraph, TakesListsThatShareRowsWithAFeature) {
  const auto loaded = model_graph::load(good_model, "m.toml", {}, features);
  ASSERT_TRUE(loaded.ok()) << describe(loaded.error());
  EXPECT_TRUE(loaded->has_lists());
  const auto& table = loaded->tables()[0];
  EXPECT_THAT(table.features, ElementsAre(1U)) << "item is the second that is no list";
  EXPECT_THAT(table.lists, ElementsAre(0U, 1U));
  EXPECT_FALSE(table.only_lists);
  for (const auto& other : loaded->tables()) {
    if (other.name != "placed_weights") continue;
    EXPECT_EQ(other.rows, 9U) << "a place for each id that `seen` keeps";
  }
}

TEST(ModelGraph, KeepsListsOutOfAllAndTakesFeaturesOutByName) {
  const auto table = [](const std::string& chosen) {
    const auto loaded = model_graph::load(
        "[layers.embedding]\nop = \"rows\"\n[layers.logit]\nop = \"factorization\"\ninputs = "
        "[\"embedding\"]\n[layers.click]\nop = \"bce\"\ninputs = [\"logit\"]\n",
        "m.toml",
        std::vector<std::string>{"layers.embedding.features=" + chosen},
        features);
    EXPECT_TRUE(loaded.ok()) << describe(loaded.error());
    return loaded->tables()[0];
  };
  EXPECT_THAT(table("[\"all\"]").features, ElementsAre());
  EXPECT_THAT(table("[\"all\"]").lists, ElementsAre());
  EXPECT_THAT(table("[\"all\", \"-item\"]").features, ElementsAre(0U));
  EXPECT_THAT(table("[\"all\", \"carts\"]").lists, ElementsAre(1U));
}

TEST(ModelGraph, RefusesWhatMixesSamplesAndTokens) {
  EXPECT_EQ(failure({}), "no failure");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"layers.click.inputs=[\"each\"]", "put a layer with op = \"last\""},
      {"layers.joined.inputs=[\"interest\", \"newest\", \"carts\"]",
       "put a layer with op = \"last\""},
      {"layers.more.inputs=[\"each\", \"carts\"]", "belong to two lists"},
      {"layers.more.inputs=[\"each\", \"target\"]", "another one for each sample"},
      {"layers.newest.inputs=[\"interest\"]", "has no value for each id of a list"},
      {"layers.carted.inputs=[\"target\"]", "a layer with op = \"tokens\" gives one"},
      {"layers.placed.inputs=[\"target\"]", "has no value for each id of a list"},
      {"layers.interest.inputs=[\"more\", \"seen\"]", "its second input is the target"},
      {"layers.interest.inputs=[\"more\", \"joined\"]", "a cycle"},
      {"layers.attention.heads=4", "3 x 4 x the width of a head"},
      {"layers.seen.feature=\"sen\"", "its rows are of no list 'sen'; did you mean 'seen'?"},
      {"layers.seen.inputs=[\"target\"]", "takes one input, a layer with op = \"rows\""},
      {"layers.embedding.features=[\"item\"]", "its rows are of no list"},
      {"layers.embedding.features=[\"lists\"]", "its rows are those of lists; op = \"tokens\""},
      {"layers.embedding.features=[\"item\", \"-itm\"]", "did you mean 'item'?"},
      {"layers.click.op=next_item", "takes 2 inputs"},
      {"layers.attention.op=block_attention", "block is missing"},
  };
  for (const auto& [set, says] : cases) EXPECT_THAT(failure({set}), HasSubstr(says)) << set;
  EXPECT_THAT(
      failure({"layers.click.op=next_item", "layers.click.inputs=[\"more\", \"embedding\"]"}),
      HasSubstr("the rows of the list's items and of nothing else"));
  const auto two = model_graph::load(
      "[layers.embedding]\nop = \"rows\"\nfeatures = [\"lists\"]\n[layers.items]\nop = \"tokens\"\n"
      "inputs = [\"embedding\"]\n",
      "m.toml",
      {},
      features);
  ASSERT_FALSE(two.ok());
  EXPECT_THAT(two.error().detail, HasSubstr("of several lists: name one"));
}

}  // namespace
}  // namespace headrace::worker
