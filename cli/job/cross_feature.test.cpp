#include "cli/job/job_file.hpp"
#include "cli/job/model_section.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

/// `[features.NAME]` with `kind = "cross"`.
namespace headrace::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string file_job =
    "[job]\nname = \"clicks\"\n[source]\nuri = \"file:///data/clicks.csv\"\nlabel = \"click > 0\"\n"
    "[features.user]\n[features.age]\nkind = \"float\"\ntransform = \"bucket\"\n"
    "[features.price]\nkind = \"float\"\n[features.ad]\n";

std::string cross(const std::string& more) { return "[features.both]\nkind = \"cross\"\n" + more; }

job good(const std::string& text) {
  auto made = parse_job(text, "job.toml", {});
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : describe(made.error()));
  return made.ok() ? std::move(*made) : job{};
}

std::string failure(const std::string& text) {
  const auto made = parse_job(text, "job.toml", {});
  if (made.ok()) return "no failure";
  EXPECT_EQ(made.error().code, errc::bad_config);
  EXPECT_EQ(made.error().detail.find('\n'), std::string::npos);
  return made.error().detail;
}

TEST(CrossFeature, IsOfOtherFeaturesWhereverItStandsAndComesBehindThem) {
  const job made = good("[features.first]\nkind = \"cross\"\nof = [\"ad\", \"user\"]\n" + file_job +
                        cross("of = [\"user\", \"age\", \"ad\"]\nsalt = \"s\"\n"));
  ASSERT_EQ(made.source.features.size(), 4U);
  ASSERT_EQ(made.source.crosses.size(), 2U);
  EXPECT_EQ(made.source.crosses[0].name, "first");
  EXPECT_EQ(made.source.crosses[0].salt, "first");
  EXPECT_THAT(made.source.crosses[0].of, ElementsAre(3U, 0U));
  EXPECT_EQ(made.source.crosses[1].salt, "s");
  EXPECT_THAT(made.source.crosses[1].of, ElementsAre(0U, 1U, 3U));
  const auto features = features_of(made.source);
  ASSERT_EQ(features.size(), 6U);
  EXPECT_EQ(features[5].name, "both");
  EXPECT_FALSE(features[5].number);
  EXPECT_EQ(good(made.text).text, made.text) << "the resolved text is the same job";
  EXPECT_EQ(good(made.text).source.crosses.size(), 2U);
}

TEST(CrossFeature, IsOfThoseOfAGeneratedStreamToo) {
  const std::string generated = "[job]\nname = \"g\"\n[source]\nuri = \"generate:planted\"\n";
  const job made = good(generated + cross("of = [\"id2\", \"id26\"]\n"));
  ASSERT_EQ(made.source.crosses.size(), 1U);
  EXPECT_THAT(made.source.crosses[0].of, ElementsAre(1U, 25U));
  EXPECT_EQ(features_of(made.source).size(), 40U);
  EXPECT_EQ(good(made.text).text, made.text);
  EXPECT_THAT(failure(generated + cross("of = [\"id2\", \"number1\"]\n")),
              HasSubstr("is a number"));
  EXPECT_THAT(failure(generated + "[features.id1]\nkind = \"cross\"\nof = [\"id2\", \"id3\"]\n"),
              HasSubstr("has a feature of this name"));
}

TEST(CrossFeature, CanBeNamedByALayer) {
  const job made = good(file_job + cross("of = [\"user\", \"ad\"]\n") +
                        "[model]\narch = \"fm\"\n[layers.embedding]\nfeatures = [\"both\"]\n");
  EXPECT_THAT(made.model->tables()[0].features, ElementsAre(4U));
}

TEST(CrossFeature, SaysWhatIsWrong) {
  EXPECT_THAT(failure(file_job + cross("of = [\"user\", \"price\"]\n")),
              HasSubstr("'price' is a number: give it transform = \"bucket\""));
  EXPECT_THAT(failure(file_job + cross("of = [\"user\", \"adv\"]\n")),
              HasSubstr("did you mean 'ad'?"));
  EXPECT_THAT(failure(file_job + cross("of = [\"user\", \"both\"]\n")),
              HasSubstr("no feature of ids 'both'"));
  EXPECT_THAT(failure(file_job + cross("of = [\"user\"]\n")), HasSubstr("2 … 8 features of ids"));
  EXPECT_THAT(failure(file_job + cross("")), HasSubstr("2 … 8 features of ids"));
  EXPECT_THAT(failure(file_job + cross("of = [\"user\", \"user\"]\n")),
              HasSubstr("'user' is there twice"));
  EXPECT_THAT(failure(file_job + cross("of = [\"user\", \"ad\"]\ncolumn = \"x\"\n")),
              HasSubstr("column"));
  EXPECT_THAT(failure(file_job + "[features.x]\nkind = \"crosss\"\n"), HasSubstr("cross"));
}

// The parts are places in an event's keys, and a list has none there.
TEST(CrossFeature, CountsPastListsAndIsOfNone) {
  const std::string lists = "[features.seen]\nkind = \"ids\"\n";
  const job made = good(lists + file_job + cross("of = [\"user\", \"ad\"]\n"));
  EXPECT_THAT(made.source.crosses.at(0).of, ElementsAre(0U, 3U));
  EXPECT_EQ(keyed_features_of(made.source).at(3).name, "ad");
  EXPECT_EQ(keyed_features_of(made.source).size() + 1, features_of(made.source).size());
  EXPECT_THAT(failure(file_job + lists + cross("of = [\"user\", \"seen\"]\n")),
              HasSubstr("'seen' is a list"));
}

}  // namespace
}  // namespace headrace::cli
