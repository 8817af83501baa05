#include "serve/answerer.hpp"

#include "serve/test_serving.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace headrace::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

/// A shop whose every row is what a new one starts with, but the network's.
struct answering {
  explicit answering(const std::string& preset = "lr", std::size_t samples_max = 100)
      : job("shop", shop(), preset),
        rows(job.empty_replica()),
        answers(job.model(), rows, samples_max) {
    job.teach(*rows, {});
  }
  std::string one(const std::string& text, answerer::form as = answerer::form::friendly) {
    auto added = answers.add(text, as);
    if (!added) return describe(added.error());
    auto made = answers.predict(1'041);
    return made ? made->at(0).text : describe(made.error());
  }
  std::string infer(const std::string& text) { return one(text, answerer::form::v2); }
  std::string lookup(const std::string& text, const std::string& table = "embedding") {
    auto made = answers.lookup(table, text, 1'041);
    return made ? made->text : describe(made.error());
  }
  std::string explain(const std::string& text) {
    auto made = answers.explain(text, 1'041);
    return made ? made->text : describe(made.error());
  }
  test_job job;
  std::shared_ptr<replica> rows;
  answerer answers;
};

TEST(Answerer, AnswersAUserWithCandidatesInOrderOrTheBestOfThem) {
  answering to;
  const std::string all =
      to.one(R"({"user":{"user":"u7"},"candidates":[{"item":"i1"},{"item":"i2","cents":5},{}]})");
  EXPECT_THAT(all,
              MatchesRegex(R"(\{"model":"shop","model_version":1,"applied_through_ms":1000,)"
                           R"("age_ms":41,"unknown_ids":[0-9],"predictions":\[)"
                           R"((\{"click":0\.[0-9]+\},?){3}\]\}.)"));
  const std::string other_order =
      to.one(R"({"candidates":[{"item":"i1"},{"item":"i2","cents":5},{}],"user":{"user":"u7"}})");
  EXPECT_EQ(all, other_order);
  EXPECT_EQ(all,
            to.one(R"({"instances":[{"user":"u7","item":"i1"},{"user":"u7","item":"i2","cents":5},)"
                   R"({"user":"u7"}]})"));
  const std::string best =
      to.one(R"({"user":{"user":"u7"},"candidates":[{"item":"i1"},{"cents":5},{}],"top":2})");
  EXPECT_THAT(best, HasSubstr(R"("predictions":[{"candidate":)"));
  const auto first = best.find("\"click\":");
  const auto second = best.find("\"click\":", first + 1);
  ASSERT_NE(second, std::string::npos);
  EXPECT_EQ(best.find("\"click\":", second + 1), std::string::npos);
  EXPECT_GE(std::stod(best.substr(first + 8)), std::stod(best.substr(second + 8)));
  EXPECT_THAT(to.one(R"({"instances":[{}],"top":9})"), HasSubstr(R"([{"instance":0,"click":)"));
}

TEST(Answerer, HeadsAreChosenByName) {
  answering to("mmoe_esmm");
  std::vector<std::string> names;
  for (const auto& head : to.job.model()->heads()) names.push_back(head.name);
  ASSERT_EQ(names.size(), 2U);
  const std::string all = to.one(R"({"instances":[{}]})");
  const std::string second = to.one("{\"instances\":[{}],\"heads\":[\"" + names[1] + "\"]}");
  const std::string pair = "\"" + names[1] + "\":";
  const auto at = all.find(pair);
  ASSERT_NE(at, std::string::npos);
  EXPECT_THAT(second, HasSubstr("[{" + all.substr(at, all.find('}', at) - at) + "}]"));
  EXPECT_THAT(to.one(R"({"instances":[{}],"heads":["clock"]})"),
              HasSubstr("head 'clock' is not there"));
}

TEST(Answerer, TensorsAreTheSameRequestInColumns) {
  answering to("din");
  const std::string friendly = to.one(
      R"({"user":{"user":"u7","history":["i1","i2"]},"candidates":[{"item":"i3","cents":2.5},{"item":"9","cents":3}]})");
  const std::string v2 = to.infer(
      R"({"id":"q","inputs":[{"name":"user","shape":[1],"datatype":"BYTES","data":["u7"]},)"
      R"({"name":"history","shape":[1,3],"datatype":"BYTES","data":[["i1","i2",""]]},)"
      R"({"name":"item","shape":[2],"datatype":"BYTES","data":["i3","9"]},)"
      R"({"name":"cents","shape":[2,1],"datatype":"FP32","data":[2.5,3]}]})");
  EXPECT_THAT(v2, StartsWith(R"({"model_name":"shop","model_version":"1","id":"q","outputs":[)"));
  EXPECT_THAT(v2, HasSubstr(R"("datatype":"FP32","shape":[2],"data":[)"));
  EXPECT_THAT(v2,
              HasSubstr(R"("parameters":{"applied_through_ms":1000,"age_ms":41,"unknown_ids":)"));
  const auto data = v2.substr(v2.find("\"data\":[") + 8);
  const auto comma = data.find(',');
  EXPECT_THAT(friendly, HasSubstr("{\"click\":" + data.substr(0, comma) + "}"));
  EXPECT_THAT(friendly,
              HasSubstr("{\"click\":" + data.substr(comma + 1, data.find(']') - comma - 1) + "}"));
  // A whole number is an id by its digits, as in events.
  EXPECT_EQ(
      to.infer(R"({"inputs":[{"name":"item","shape":[1],"datatype":"INT64","data":[9]}]})"),
      to.infer(R"({"inputs":[{"name":"item","shape":[1],"datatype":"BYTES","data":["9"]}]})"));
}

TEST(Answerer, RowsAreLookedUpByIdOrKey) {
  answering to("deepfm");
  const worker::feature_writer item(shop().features[1]);
  const std::uint64_t key = item.key_of("i1");
  const std::string by_id = to.lookup(R"({"feature":"item","ids":["i1",12]})");
  EXPECT_THAT(by_id, StartsWith(R"({"table":"embedding","model_version":1,)"));
  EXPECT_THAT(by_id, HasSubstr(",\"dim\":"));
  EXPECT_THAT(by_id,
              HasSubstr("\"keys\":[\"" + std::to_string(key) + "\",\"" +
                        std::to_string(item.key_of("12")) + "\"]"));
  EXPECT_EQ(by_id,
            to.lookup("{\"keys\":[\"" + std::to_string(key) + "\"," +
                      std::to_string(item.key_of("12")) + "]}"));
  EXPECT_THAT(to.lookup(R"({"ids":["i1"]})"), HasSubstr("several look up this table"));
  EXPECT_THAT(to.lookup(R"({"feature":"itm","ids":["i1"]})"), HasSubstr("did you mean 'item'?"));
  EXPECT_THAT(to.lookup(R"({"feature":"price","ids":["i1"]})"), HasSubstr("'price' is not there"));
  EXPECT_THAT(to.lookup(R"({"ids":["i1"]})", "nothing"), StartsWith("not_found"));
  EXPECT_THAT(to.lookup(R"({"ids":["i1"]})", "deep1_weights"), StartsWith("not_found"));
  answering din("din");
  EXPECT_THAT(din.lookup(R"({"ids":["i1"]})"), HasSubstr("\"rows\":[["))
      << "item and history share its rows";
}

TEST(Answerer, ExplainsOneInstance) {
  answering to;
  const std::string user =
      to.explain(R"({"user":{"user":"u"},"candidate":{"item":"i","cents":4},"permutations":6})");
  EXPECT_THAT(user, HasSubstr(R"("head":"click","probability":0.)"));
  EXPECT_THAT(user, HasSubstr(R"({"feature":"history","logit":0,"error":0})"));
  EXPECT_EQ(user, to.explain(R"({"instance":{"user":"u","item":"i","cents":4},"permutations":6})"));
  EXPECT_THAT(to.explain(R"({"instance":{"user":"u"},"permutations":1001})"),
              HasSubstr("permutations: 1 to 1000"));
  EXPECT_THAT(to.explain(R"({"instance":{"user":"u"},"head":"x"})"), HasSubstr("head 'x'"));
  EXPECT_THAT(to.explain(R"({"user":{}})"), HasSubstr("candidate is missing"));
}

TEST(Answerer, SaysWhatIsWrongAndAnswersTheNext) {
  answering to("lr", 3);
  struct wrong {
    const char* text;
    const char* says;
  };
  const wrong predicted[] = {
      {"", "malformed: the body is empty"},
      {"{", "malformed: not JSON"},
      {"[]", "bad_input: the body: a JSON object is needed"},
      {"7", "bad_input: the body: a JSON object is needed"},
      {"{}", "bad_input: candidates is missing"},
      {"{\"user\":{}}", "bad_input: candidates is missing"},
      {R"({"user":{},"candidates":[]})", "bad_input: there is nothing to predict"},
      {R"({"instances":[]})", "bad_input: there is nothing to predict"},
      {R"({"instances":{}})", "bad_input: instances: a list is needed"},
      {R"({"instances":[7]})", "bad_input: instances[0]: an object of columns is needed"},
      {R"({"instances":[{}],"user":{}})", "bad_input: user: not beside instances"},
      {R"({"user":{},"instances":[{}]})", "bad_input: instances: not beside user and candidates"},
      {R"({"candidates":[{}],"instances":[{}]})", "bad_input: instances: not beside user"},
      {R"({"instances":[{}],"instances":[{}]})", "bad_input: 'instances' is there twice"},
      {R"({"instances":[{}],"tip":1})", "bad_input: member 'tip' is not known; there may be user,"},
      {R"({"instances":[{}],"top":0})", "bad_input: top: at least 1"},
      {R"({"instances":[{}],"top":-1})", "bad_input: top: a whole number"},
      {R"({"instances":[{}],"top":"3"})", "bad_input: top: a whole number"},
      {R"({"instances":[{}],"heads":[]})", "bad_input: heads: the list is empty"},
      {R"({"instances":[{}],"heads":["click","click"]})",
       "bad_input: heads: 'click' is there twice"},
      {R"({"instances":[{"user":{}}]})", "bad_input: instances[0]: user: "},
      {R"({"instances":[{"user":"a","user":"b"}]})",
       "instances[0]: user: the member is there twice"},
      {R"({"instances":[{"cents":NaN}]})", "malformed: not JSON"},
      {R"({"instances":[{"cents":1e999}]})", "instances[0]: cents: '1e999' fits no 64-bit float"},
      {R"({"instances":[{"cents":"nan"}]})", "bad_input: instances[0]: cents: a finite number"},
      {R"({"instances":[{"usr":"a"}]})",
       "column 'usr' is not there, did you mean 'user'?; there are"},
      {R"({"instances":[{},{},{},{}]})", "too_large: instances: at most 3 are accepted"},
      {R"({"instances":[{}]} {})", "malformed: not JSON: something follows"},
      {"{\"instances\":[{\"user\":\"\xFF\"}]}", "malformed: the text is not UTF-8"},
      {R"({"instances":[{"user":"a"}, ]})", "instances[1]: an object of columns"},
      {R"({"instances":[{"user":"a"})", "malformed: not JSON"}};
  for (const wrong& each : predicted)
    EXPECT_THAT(to.one(each.text), HasSubstr(each.says)) << each.text;
  const wrong inferred[] = {
      {R"({"inputs":[]})", "bad_input: inputs: there is nothing to predict"},
      {"{}", "bad_input: inputs: there is nothing to predict"},
      {R"({"inputs":[{"name":"user","shape":[0],"datatype":"BYTES","data":[]}]})",
       "nothing to predict"},
      {R"({"inputs":[{"name":"user","shape":[2],"datatype":"BYTES","data":["a"]}]})",
       "inputs[0] 'user': its shape says 2 values, its data are 1"},
      {R"({"inputs":[{"name":"user","shape":[1],"datatype":"BYTES","data":[1]}]})",
       "inputs[0] 'user'.data: a value is no BYTES"},
      {R"({"inputs":[{"name":"user","shape":[1],"datatype":"FP32","data":[1.5]}]})",
       "bad_input: instances[0]: user: a text or an integer is needed"},
      {R"({"inputs":[{"name":"user","shape":[1],"datatype":"TEXT","data":["a"]}]})",
       "'TEXT' is none of BYTES"},
      {R"({"inputs":[{"name":"user","shape":[1,2],"datatype":"BYTES","data":["a","b"]}]})",
       "'user'.shape: the column takes one value a row"},
      {R"({"inputs":[{"name":"usr","shape":[1],"datatype":"BYTES","data":["a"]}]})",
       "did you mean 'user'?"},
      {R"({"inputs":[{"name":"user","shape":[1],"datatype":"BYTES","data":["a"]},)"
       R"({"name":"user","shape":[1],"datatype":"BYTES","data":["a"]}]})",
       "'user' is there twice"},
      {R"({"inputs":[{"name":"user","shape":[2],"datatype":"BYTES","data":["a","b"]},)"
       R"({"name":"item","shape":[3],"datatype":"BYTES","data":["a","b","c"]}]})",
       "'user' has 2 rows, others have 3"},
      {R"({"inputs":[{"name":"user","shape":[4],"datatype":"BYTES","data":["a","b","c","d"]}]})",
       "too_large: inputs: at most 3 rows"},
      {R"({"inputs":[{"name":"history","shape":[1,1],"datatype":"FP32","data":[1.5]}]})",
       "a list of ids is of BYTES"},
      {R"({"inputs":[{"shape":[1],"datatype":"BYTES","data":["a"]}]})", "inputs[0].name"},
      {R"({"inputs":[{"name":"user","shape":[1,1,1],"datatype":"BYTES","data":["a"]}]})",
       "[n] or [n,k]"},
      {R"({"inputs":[{"name":"user","datatype":"BYTES","data":["a"]}]})", "inputs[0].shape"},
      {R"({"inputs":[{"name":"user","shape":[1],"datatype":"BYTES","data":[{}]}]})",
       "inputs[0].data: texts, numbers"},
      {R"({"inputs":[{"name":"user","shape":[1],"datatype":"BYTES","data":["a"]}],"outputs":[{"name":"x"}]})",
       "head 'x' is not there"}};
  for (const wrong& each : inferred)
    EXPECT_THAT(to.infer(each.text), HasSubstr(each.says)) << each.text;
  const wrong looked_up[] = {
      {"{}", "ids or keys"},
      {R"({"ids":[],"keys":[]})", "ids or keys"},
      {R"({"ids":["a"],"keys":[1]})", "ids or keys"},
      {R"({"keys":[-1]})", "keys[0]: a whole number below 2^64"},
      {R"({"keys":["x"]})", "keys[0]: a whole number below 2^64"},
      {R"({"keys":[18446744073709551616]})", "keys[0]"},
      {R"({"keys":[1.5]})", "keys[0]: a text or a whole number"},
      {R"({"keys":[1,2,3,4]})", "too_large: keys: at most 3"},
      {R"({"feature":"item","keys":[1]})", "feature: keys are of no feature"},
      {R"({"feature":"item","ids":[""]})", "an id is an empty text"}};
  for (const wrong& each : looked_up)
    EXPECT_THAT(to.lookup(each.text), HasSubstr(each.says)) << each.text;
  EXPECT_THAT(to.one(R"({"instances":[{"user":"a","item":null}]})"), HasSubstr("\"click\":"));
}

TEST(Answerer, OneBadRequestLeavesTheOthersOfItsBatchAsTheyWere) {
  answering to;
  const std::string one = R"({"instances":[{"user":"a"},{"user":"b"}]})";
  const std::string other = R"({"user":{"user":"c"},"candidates":[{"item":"x"}]})";
  const std::string first = to.one(one);
  const std::string second = to.one(other);
  ASSERT_TRUE(to.answers.add(one, answerer::form::friendly).ok());
  ASSERT_FALSE(
      to.answers.add(R"({"instances":[{"user":"a"},{"cents":"x"}]})", answerer::form::friendly)
          .ok());
  ASSERT_TRUE(to.answers.add(other, answerer::form::friendly).ok());
  const auto both = to.answers.predict(1'041);
  ASSERT_TRUE(both.ok());
  ASSERT_EQ(both->size(), 2U);
  EXPECT_EQ((*both)[0].text, first);
  EXPECT_EQ((*both)[1].text, second);
}

TEST(Answerer, WithoutAllRowsThereIsNoAnswer) {
  const test_job job("shop", shop(), "lr");
  answerer answers(job.model(), job.empty_replica(), 10);
  ASSERT_TRUE(answers.add(R"({"instances":[{}]})", answerer::form::friendly).ok());
  EXPECT_EQ(answers.predict(1).error().code, errc::unavailable);
  EXPECT_EQ(answers.samples(), 0U);
  EXPECT_EQ(answers.lookup("embedding", R"({"keys":[1]})", 1).error().code, errc::unavailable);
  EXPECT_EQ(answers.explain(R"({"instance":{}})", 1).error().code, errc::unavailable);
}

TEST(Answerer, SaysWhatTheModelTakes) {
  const test_job job("shop", shop(), "deepfm");
  EXPECT_EQ(described(*job.model(), {7, 0, false}, 9),
            "{\"model\":\"shop\",\"model_version\":7,\"whole\":false,\"applied_through_ms\":0,"
            "\"age_ms\":null,\"columns\":[{\"name\":\"user\",\"kind\":\"id\"},"
            "{\"name\":\"item\",\"kind\":\"id\"},{\"name\":\"cents\",\"kind\":\"float\"},"
            "{\"name\":\"history\",\"kind\":\"ids\"},{\"name\":\"age\",\"kind\":\"float\"}],"
            "\"heads\":[\"click\"],\"tables\":[{\"name\":\"embedding\",\"dim\":17}]}\n");
  EXPECT_THAT(described_v2(*job.model()),
              HasSubstr("{\"name\":\"history\",\"datatype\":\"BYTES\",\"shape\":[-1,-1]}"));
}

}  // namespace
}  // namespace headrace::serve
