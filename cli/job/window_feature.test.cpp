#include "cli/job/job_file.hpp"
#include "cli/job/model_section.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

/// `[features.NAME]` with `kind = "count"`, `"sum"`, `"rate"`, `"last"`, and `[windows]`.
namespace headrace::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using measure = worker::sliding_window::measure;

const std::string file_job =
    "[job]\nname = \"clicks\"\n[source]\nuri = \"file:///data/clicks.csv\"\nlabel = \"click > 0\"\n"
    "time = \"at\"\n[features.user]\n";
const std::string live_job =
    "[job]\nname = \"clicks\"\n[source]\nuri = \"http://127.0.0.1:0\"\n[join]\n"
    "actions = [\"click\", \"buy\"]\nwindow = \"1h\"\n[features.user]\n";

std::string window(const std::string& more) { return "[features.w]\n" + more; }
std::string count(const std::string& more) {
  return window("kind = \"count\"\nof = \"user\"\nover = \"1h\"\n" + more);
}

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

TEST(WindowFeature, IsAFloatOrAListThatAWindowGives) {
  const job made = good(
      live_job +
      count("on = \"click\"\nwhere = \"price > 2\"\ntransform = [\"log1p\", \"bucket\"]\n") +
      "[features.spent]\nkind = \"sum\"\ncolumn = \"price\"\nof = [\"user\", \"shop\"]\nover = "
      "\"7d\"\non = \"buy\"\n[features.seen]\nkind = \"last\"\ncolumn = \"item\"\nof = \"user\"\n"
      "over = \"30m\"\nmax = 20\nsalt = \"item\"\n[features.often]\nkind = \"rate\"\nof = "
      "\"user\"\n"
      "over = \"1s\"\n[features.both]\nkind = \"cross\"\nof = [\"user\", \"w\"]\n"
      "[windows]\nout_of_order = \"5s\"\nkeys_max = 10\nkey_events_max = 20\nevents_max = 30\n");
  const auto& features = made.source.features;
  ASSERT_EQ(features.size(), 5U);
  EXPECT_FALSE(features[0].window);
  ASSERT_TRUE(features[1].window && features[2].window && features[3].window && features[4].window);
  EXPECT_EQ(features[1].window->is, measure::count);
  EXPECT_EQ(features[1].window->over_ms, 3'600'000U);
  EXPECT_THAT(features[1].window->of, ElementsAre("user"));
  EXPECT_EQ(features[1].window->on, "click");
  ASSERT_TRUE(features[1].window->where);
  EXPECT_EQ(features[1].window->where->column, "price");
  EXPECT_EQ(features[1].transforms.size(), 2U);
  EXPECT_EQ(features[2].window->is, measure::sum);
  EXPECT_EQ(features[2].column, "price");
  EXPECT_THAT(features[2].window->of, ElementsAre("user", "shop"));
  EXPECT_EQ(features[3].window->is, measure::last);
  EXPECT_EQ(features[3].kind, worker::feature_kind::ids);
  EXPECT_EQ(features[3].list_max, 20U);
  EXPECT_EQ(features[4].window->is, measure::rate);
  const auto known = features_of(made.source);
  EXPECT_FALSE(known[1].number) << "a bucket is an id";
  EXPECT_TRUE(known[2].number);
  EXPECT_TRUE(known[3].list());
  EXPECT_THAT(made.source.crosses.at(0).of, ElementsAre(0U, 1U));
  EXPECT_EQ(made.source.windows.out_of_order_ms, 5'000U);
  EXPECT_EQ(made.source.windows.keys_max, 10U);
  EXPECT_EQ(made.source.windows.key_events_max, 20U);
  EXPECT_EQ(made.source.windows.events_max, 30U);
  EXPECT_EQ(good(made.text).text, made.text) << "the resolved text is the same job";
  EXPECT_EQ(good(made.text).source.features[2].window->of, features[2].window->of);
}

TEST(WindowFeature, CanBeOfAFileThatHasATime) {
  EXPECT_TRUE(good(file_job + count("where = \"click == 1\"\n")).source.features[1].window->where);
  std::string timeless = file_job;
  timeless.erase(timeless.find("time = "), 12);
  EXPECT_THAT(failure(timeless + count("")), HasSubstr("needs source.time"));
  EXPECT_THAT(failure(file_job + count("on = \"click\"\n")), HasSubstr("an action of [join]"));
}

TEST(WindowFeature, SaysWhatIsWrong) {
  EXPECT_THAT(failure(live_job + window("kind = \"count\"\nover = \"1h\"\n")),
              HasSubstr("features.w.of"));
  EXPECT_THAT(failure(live_job + window("kind = \"count\"\nof = \"user\"\n")),
              HasSubstr("features.w.over"));
  EXPECT_THAT(failure(live_job + count("on = \"clic\"\n")), HasSubstr("did you mean 'click'?"));
  EXPECT_THAT(failure(live_job + count("where = \"price\"\n")), HasSubstr("COLUMN < <="));
  EXPECT_THAT(failure(live_job + count("column = \"x\"\n")), HasSubstr("column"));
  EXPECT_THAT(failure(live_job + count("max = 3\n")), HasSubstr("max"));
  EXPECT_THAT(failure(live_job + window("kind = \"count\"\nof = [\"a\", \"a\"]\nover = \"1s\"\n")),
              HasSubstr("'a' is there twice"));
  EXPECT_THAT(failure(live_job + window("kind = \"last\"\nof = \"user\"\nover = \"1s\"\n"
                                        "transform = \"log1p\"\n")),
              HasSubstr("transform"));
  EXPECT_THAT(failure(live_job + window("kind = \"float\"\nover = \"1s\"\n")), HasSubstr("over"));
  EXPECT_THAT(failure(live_job + count("") + "[windows]\nkey_events_max = 9\nevents_max = 8\n"),
              HasSubstr("windows.key_events_max or more"));
  EXPECT_THAT(failure(live_job + "[windows]\nkeys_max = 9\n"),
              HasSubstr("needs a feature of kind"));
}

}  // namespace
}  // namespace headrace::cli
