#include "cli/plan_view.hpp"

#include "worker/model/presets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::cli {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

worker::model_graph deepfm() {
  std::vector<worker::model_feature> features;
  for (int f = 0; f < 26; ++f) features.push_back({"id" + std::to_string(f), false});
  auto loaded = worker::model_graph::load(
      std::string(worker::find_preset("deepfm")->text), "deepfm", {}, features);
  EXPECT_TRUE(loaded.ok()) << describe(loaded.error());
  return std::move(*loaded);
}

TEST(PlanView, ShowsThePrecisionOfEachLayer) {
  const auto graph = deepfm();
  const worker::graph_plan plan(graph, 256, 0, worker::precision::bf16);
  const std::string text = plan_text("deepfm", graph, plan);
  EXPECT_THAT(text, ContainsRegex("deep1 +linear +vectors +256 +bf16"));
  EXPECT_THAT(text, ContainsRegex("deep3 +linear +deep2 +1 +f32"));
  EXPECT_THAT(text, HasSubstr("16-bit scratch"));
  EXPECT_THAT(plan_json("deepfm", graph, plan), HasSubstr(R"("deep2":"bf16","deep3":"f32")"));
}

TEST(PlanView, InF32ThereIsNoScratchOfWords) {
  const auto graph = deepfm();
  const worker::graph_plan plan(graph, 256);
  const std::string text = plan_text("deepfm", graph, plan);
  EXPECT_THAT(text, Not(HasSubstr("bf16")));
  EXPECT_THAT(text, Not(HasSubstr("16-bit scratch")));
  EXPECT_THAT(plan_json("deepfm", graph, plan), HasSubstr(R"("scratch_bytes":0)"));
}

}  // namespace
}  // namespace headrace::cli
