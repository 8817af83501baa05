#include "worker/model/model_graph.hpp"

#include "worker/model/presets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace headrace::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const std::vector<model_feature> features = {
    {"user", false}, {"ad", false}, {"price", true}, {"age", true}};

constexpr const char* good_model = R"(
[layers.click]
op = "bce"
inputs = ["logit"]
[layers.logit]
op = "linear"
inputs = ["deep"]
units = 1
[layers.deep]
op = "linear"
inputs = ["vectors"]
units = 4
activation = "relu"
[layers.vectors]
op = "fields"
inputs = ["embedding"]
[layers.embedding]
op = "rows"
dim = 3
)";

std::string failure(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const auto loaded = model_graph::load(text, "m.toml", overrides, features);
  if (loaded.ok()) return "no failure";
  EXPECT_EQ(loaded.error().code, errc::bad_config);
  EXPECT_EQ(loaded.error().detail.find('\n'), std::string::npos);
  return loaded.error().detail;
}

std::string failure_of_good(const std::vector<std::string>& overrides) {
  return failure(good_model, overrides);
}

TEST(ModelGraph, OrdersLayersAfterTheirInputsWhateverTheOrderOfTheFile) {
  const auto loaded = model_graph::load(good_model, "m.toml", {}, features);
  ASSERT_TRUE(loaded.ok()) << describe(loaded.error());
  std::vector<std::string> names;
  for (const auto& node : loaded->nodes()) names.push_back(node.name);
  EXPECT_THAT(names, ElementsAre("embedding", "vectors", "deep", "logit", "click"));
  ASSERT_EQ(loaded->heads().size(), 1U);
  EXPECT_EQ(loaded->heads()[0].node, 4U);
  EXPECT_THAT(loaded->readers(1), ElementsAre(2U));
}

TEST(ModelGraph, NamesATableForEachLookupAndThenForEachParameter) {
  const auto loaded = model_graph::load(good_model, "m.toml", {}, features);
  ASSERT_TRUE(loaded.ok()) << describe(loaded.error());
  std::vector<std::string> tables;
  for (const auto& table : loaded->tables())
    tables.push_back(table.name + " " + std::to_string(table.rows) + " x " +
                     std::to_string(table.dim));
  EXPECT_THAT(tables,
              ElementsAre("embedding 0 x 4",
                          "deep_weights 12 x 4",
                          "deep_bias 1 x 4",
                          "logit_weights 4 x 1",
                          "logit_bias 1 x 1"));
  EXPECT_EQ(loaded->tables()[0].first_order_columns, 1U);
  EXPECT_FALSE(loaded->tables()[0].network);
  EXPECT_TRUE(loaded->tables()[1].network);
}

TEST(ModelGraph, RefusesAModelThatCannotRunAndNamesTheLayerAndTheFix) {
  EXPECT_THAT(failure(""), HasSubstr("[layers.NAME]"));
  EXPECT_THAT(failure("[layers"), StartsWith("m.toml:1: not TOML"));
  EXPECT_THAT(failure_of_good({"layers.deep.inputs=[\"logit\"]"}),
              HasSubstr("layers.logit.inputs = [ \"deep\" ]: a cycle: logit <- deep <- logit"));
  EXPECT_THAT(failure_of_good({"layers.deep.inputs=[\"deep\"]"}),
              HasSubstr("a cycle: deep <- deep"));
  EXPECT_THAT(failure_of_good({"layers.deep.inputs=[\"vectrs\"]"}),
              HasSubstr("there is no layer 'vectrs'; did you mean 'vectors'?"));
  EXPECT_THAT(failure_of_good({"layers.deep.inputs=[]"}),
              HasSubstr("layers.deep.op = \"linear\": takes 1 inputs, has 0"));
  EXPECT_THAT(failure_of_good({"layers.deep.op=\"liner\""}),
              HasSubstr("there is no operator 'liner'; did you mean 'linear'?"));
  EXPECT_THAT(failure_of_good({"layers.deep.unit=3"}),
              HasSubstr("unknown key layers.deep.unit; did you mean layers.deep.units?"));
  EXPECT_THAT(failure_of_good({"layers.deep.units=0"}), HasSubstr("layers.deep.units = 0"));
  EXPECT_THAT(failure_of_good({"layers.deep.units=1025"}), HasSubstr("1 … 1024"));
  EXPECT_THAT(failure_of_good({"layers.deep.activation=\"rel\""}), HasSubstr("\"relu\""));
  EXPECT_THAT(failure_of_good({"layers.logit.units=2"}),
              HasSubstr("layers.click.op = \"bce\": takes one logit a sample; its input is 2"));
  EXPECT_THAT(failure_of_good({"layers.deep.inputs=[\"embedding\"]"}),
              HasSubstr("an input is rows"));
  EXPECT_THAT(failure_of_good({"layers.embedding.dim=0"}),
              HasSubstr("layers.vectors.op = \"fields\": needs rows with vectors"));
  EXPECT_THAT(failure_of_good({"layers.embedding.dim=1024"}), HasSubstr("0 … 1023"));
  EXPECT_THAT(failure_of_good({"layers.embedding.features=[\"usr\"]"}),
              HasSubstr("the job has no feature 'usr'; did you mean 'user'?"));
  EXPECT_THAT(failure_of_good({"layers.extra.op=\"numbers\""}),
              HasSubstr("layers.extra: no layer reads it"));
  EXPECT_THAT(failure_of_good({"layers.deep.weights_table=\"embedding\""}),
              HasSubstr("layers.deep: table 'embedding' is taken"));
  EXPECT_THAT(failure_of_good({"layers.second.op=\"bce\"", "layers.second.inputs=[\"click\"]"}),
              HasSubstr("layers.click: it is a loss, and layer 'second' reads it"));
  EXPECT_THAT(
      failure_of_good({"layers.second.op=\"count\"", "layers.second.inputs=[\"embedding\"]"}),
      HasSubstr("layers.second: counts, and that goes with no other loss"));
  EXPECT_THAT(failure_of_good({"layers.click.op=\"sum\""}), HasSubstr("none is there"));
  EXPECT_THAT(failure_of_good({"layer.deep.units=3"}), HasSubstr("unknown key layer"));
  EXPECT_EQ(failure_of_good({}), "no failure");
}

const std::vector<std::string> two_labels = {"click", "buy"};

// The model above with more layers, over two labels.
result<model_graph> load_two(std::vector<std::string> overrides) {
  return model_graph::load(good_model, "m.toml", overrides, features, two_labels);
}

TEST(ModelGraph, LearnsALabelByNameOrNumberAndTheFirstUnlessToldOtherwise) {
  const std::vector<std::string> second = {
      "layers.more.op=\"bce\"", "layers.more.inputs=[\"logit\"]", "layers.more.weight=0.25"};
  const auto with = [&](const std::string& click, const std::string& more) {
    auto overrides = second;
    if (!click.empty()) overrides.push_back("layers.click.label=" + click);
    if (!more.empty()) overrides.push_back("layers.more.label=" + more);
    auto loaded = load_two(overrides);
    EXPECT_TRUE(loaded.ok()) << describe(loaded.error());
    std::vector<std::string> heads;
    for (const auto& head : loaded->heads())
      heads.push_back(head.name + " of " + loaded->nodes()[head.node].name);
    return heads;
  };
  EXPECT_THAT(with("", "2"), ElementsAre("click of click", "buy of more"));
  EXPECT_THAT(with("\"buy\"", "\"click\""), ElementsAre("click of more", "buy of click"));
  EXPECT_THAT(with("\"buy\"", "2"), ElementsAre("buy (click) of click", "buy (more) of more"));
  auto overrides = second;
  overrides.push_back("layers.more.label=2");
  const auto loaded = load_two(overrides);
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded->heads()[0].weight, 1.0F);
  EXPECT_EQ(loaded->heads()[1].weight, 0.25F);
  EXPECT_EQ(loaded->labels(), 2U);
  EXPECT_EQ(load_two({})->labels(), 1U);
}

TEST(ModelGraph, RefusesALabelOrAWeightThatIsNotThere) {
  const auto said = [](const std::string& override) {
    const auto loaded = load_two({override});
    return loaded.ok() ? "no failure" : loaded.error().detail;
  };
  EXPECT_THAT(said("layers.click.label=\"bye\""),
              HasSubstr("layers.click.label = \"bye\": the job has no label 'bye'; did you mean "
                        "'buy'?; there is 'click', 'buy'"));
  EXPECT_THAT(said("layers.click.label=3"),
              HasSubstr("there is no label 3; the job has 'click', 'buy'"));
  EXPECT_THAT(said("layers.click.label=0"), HasSubstr("layers.click.label = 0: accepted is"));
  EXPECT_THAT(said("layers.click.weight=0"), HasSubstr("layers.click.weight = 0: accepted is"));
  EXPECT_THAT(said("layers.click.weight=-1"), HasSubstr("layers.click.weight = -1: accepted is"));
  EXPECT_THAT(failure_of_good({"layers.click.label=\"buy\""}), HasSubstr("give a number from 1"));
  const auto one_label = load_preset("mmoe_esmm", features);
  EXPECT_TRUE(one_label.ok()) << describe(one_label.error());  // labels are not known here
  const std::string preset(find_preset("mmoe_esmm")->text);
  const std::vector<std::string> one = {"click"};
  const auto refused = model_graph::load(preset, "p.toml", {}, features, one);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().detail, HasSubstr("layers.loss.conversion_label = 2: there is no"));
  const std::vector<std::string> same = {"layers.loss.conversion_label=1"};
  EXPECT_THAT(model_graph::load(preset, "p.toml", same, features, two_labels).error().detail,
              HasSubstr("label and conversion_label are one"));
}

TEST(ModelGraph, RefusesExpertsThatDoNotFitTheirGate) {
  const std::string preset(find_preset("mmoe_esmm")->text);
  const std::vector<std::string> three = {"layers.click_gate.units=3"};
  EXPECT_THAT(model_graph::load(preset, "p.toml", three, features).error().detail,
              HasSubstr("the gate is 3 and the experts are 512: units of the experts a multiple of "
                        "3, or so many vectors by concat"));
  // Four vectors (a feature each) are four experts, and no other number of them.
  const std::vector<std::string> vectors = {
      "layers.click_mixture.inputs=[\"click_gate\", "
      "\"vectors\"]"};
  EXPECT_TRUE(model_graph::load(preset, "p.toml", vectors, features).ok());
  const std::vector<model_feature> five = {{"a"}, {"b"}, {"c"}, {"d"}, {"e"}};
  EXPECT_THAT(model_graph::load(preset, "p.toml", vectors, five).error().detail,
              HasSubstr("the gate is 4 and the experts are 5 x 16"));
}

TEST(ModelGraph, ChoosesFeaturesByNameOrKind) {
  const auto features_in = [](const std::string& chosen) {
    const auto loaded =
        model_graph::load(good_model,
                          "m.toml",
                          std::vector<std::string>{"layers.embedding.features=" + chosen},
                          features);
    EXPECT_TRUE(loaded.ok()) << describe(loaded.error());
    return loaded->tables()[0].features;
  };
  EXPECT_THAT(features_in("[\"ids\"]"), ElementsAre(0U, 1U));
  EXPECT_THAT(features_in("[\"numbers\", \"ad\"]"), ElementsAre(1U, 2U, 3U));
  EXPECT_THAT(features_in("[\"age\", \"age\"]"), ElementsAre(3U));
  EXPECT_THAT(features_in("[\"all\"]"), ElementsAre());  // empty stands for all
}

TEST(ModelGraph, LoadsEveryPreset) {
  auto all = features;
  all.push_back({"item"});
  all.push_back({"history", false, 20});
  for (const model_preset& preset : model_presets()) {
    const auto loaded = load_preset(preset.name, all);
    EXPECT_TRUE(loaded.ok()) << preset.name << ": " << describe(loaded.error());
  }
  EXPECT_FALSE(load_preset("unheard_of").ok());
}

}  // namespace
}  // namespace headrace::worker
