#include "cli/feature_key.hpp"

#include "schemas/hash.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::cli {
namespace {

using testing::HasSubstr;

worker::source_spec clicks() {
  worker::source_spec source;
  const auto add = [&](const char* name) -> worker::feature_spec& {
    auto& feature = source.features.emplace_back();
    feature.name = name;
    feature.column = "7";
    return feature;
  };
  add("user");
  add("buyer").salt = "user";
  add("seen").kind = worker::feature_kind::ids;
  add("price").kind = worker::feature_kind::float_value;
  auto& age = add("age");
  age.kind = worker::feature_kind::float_value;
  age.transforms = {worker::transform::bucket};
  age.bucket_width = 10.0;
  return source;
}

row_key key(const std::string& text) {
  const auto made = feature_key(clicks(), text);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : describe(made.error()));
  return made.ok() ? *made : row_key{};
}

std::string refusal(const worker::source_spec& source, const std::string& text) {
  const auto made = feature_key(source, text);
  if (made.ok()) return "no refusal";
  EXPECT_EQ(made.error().code, errc::bad_config);
  return made.error().detail;
}

TEST(FeatureKey, IsTheOneOfAWorker) {
  EXPECT_EQ(key("user=42"), schemas::hash_string_key("user", "42"));
  EXPECT_EQ(key("user=a=b"), schemas::hash_string_key("user", "a=b"));
  EXPECT_EQ(key("user="), schemas::missing_key("user"));
  EXPECT_EQ(key("buyer=42"), key("user=42")) << "features that share a salt share rows";
  EXPECT_EQ(key("seen=a b"), schemas::hash_string_key("seen", "a b")) << "one id of a list";
  EXPECT_EQ(key("price=3.5"), key("price=9")) << "a float has one row";
  EXPECT_EQ(key("age=42"), schemas::hash_string_key("age", "4"));
  EXPECT_EQ(key("age="), schemas::missing_key("age"));
}

TEST(FeatureKey, RefusesWhatAWorkerWouldNotTake) {
  EXPECT_THAT(refusal(clicks(), "usr=42"), HasSubstr("did you mean 'user'?"));
  EXPECT_THAT(refusal(clicks(), "user"), HasSubstr("NAME=VALUE"));
  EXPECT_THAT(refusal(clicks(), "age=old"), HasSubstr("old"));
  EXPECT_THAT(refusal({}, "user=42"), HasSubstr("--key"));
  auto crossed = clicks();
  crossed.crosses.push_back({"both", "both", {0, 3}});
  EXPECT_THAT(refusal(crossed, "both=42"), HasSubstr("a cross has a row of several values"));
}

}  // namespace
}  // namespace headrace::cli
