#include "cli/crossed_job.hpp"

#include "base/random.hpp"
#include "storage/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace headrace::cli {
namespace {

using testing::HasSubstr;

/// Clicks that depend on whether user and ad are both even or both odd, and on nothing else.
class clicks {
 public:
  explicit clicks(const std::string& more = "") {
    const auto file = folder_.path() / "clicks.csv";
    std::ofstream out(file);
    out << "click,user,ad,day,price\n";
    random_stream random(7);
    for (int i = 0; i < 8'000; ++i) {
      const auto user = random.next_below(12);
      const auto ad = random.next_below(12);
      const double p = user % 2 == ad % 2 ? 0.7 : 0.3;
      out << (random.next_unit() < p ? 1 : 0) << ",u" << user << ",a" << ad << ",d"
          << random.next_below(12) << ',' << random.next_unit() << '\n';
    }
    text = "[job]\nname = \"clicks\"\n[source]\nuri = \"file://" + file.string() +
           "\"\nlabel = \"click > 0\"\n[features.user]\n[features.ad]\n[features.day]\n"
           "[features.price]\nkind = \"float\"\n[model]\narch = \"lr\"\n" +
           more;
  }
  job described() const {
    auto made = parse_job(text, "job.toml", {});
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : describe(made.error()));
    return made.ok() ? std::move(*made) : job{};
  }
  std::string text;

 private:
  storage::temporary_folder folder_;
};

cross_order small() {
  cross_order order;
  order.table_bytes = 1 << 20;
  return order;
}

TEST(CrossedJob, HasThePairThatInteractsAsANewFeature) {
  const clicks made;
  const auto found = find_crosses(made.described(), small());
  ASSERT_TRUE(found.ok()) << describe(found.error());
  EXPECT_EQ(found->events, 8'000U);
  ASSERT_EQ(found->pairs.size(), 3U) << "price is a number";
  EXPECT_EQ(found->pairs[0].name, "user_x_ad");
  EXPECT_TRUE(found->pairs[0].chosen);
  EXPECT_FALSE(found->pairs[1].chosen || found->pairs[2].chosen);
  const auto text = with_crosses(made.text, "new.toml", found->pairs);
  ASSERT_TRUE(text.ok()) << describe(text.error());
  EXPECT_TRUE(text->starts_with(made.text)) << "what was there stays as it was";
  const auto again = parse_job(*text, "new.toml", {});
  ASSERT_TRUE(again.ok());
  ASSERT_EQ(again->source.crosses.size(), 1U);
  EXPECT_EQ(again->source.crosses[0].name, "user_x_ad");
  // What is crossed is not tried again, and with it in the base model nothing is left to gain.
  const auto rest = find_crosses(*again, small());
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(rest->pairs.size(), 2U);
  EXPECT_LT(rest->base_logloss, found->base_logloss - 0.03);
  EXPECT_TRUE(std::ranges::none_of(rest->pairs, &crossed_pair::worth_it));
}

TEST(CrossedJob, ChoosesNoMoreThanAsked) {
  auto order = small();
  order.top = 0;
  const auto found = find_crosses(clicks().described(), order);
  ASSERT_TRUE(found.ok());
  EXPECT_TRUE(found->pairs[0].worth_it);
  EXPECT_FALSE(found->pairs[0].chosen);
}

TEST(CrossedJob, NamesCrossesAsNoFeatureIsNamed) {
  const clicks made("[features.user_x_ad]\ncolumn = \"day\"\n");
  const auto found = find_crosses(made.described(), small());
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->pairs[0].name, "cross_1");
}

TEST(CrossedJob, RefusesWhatItCannotTry) {
  const auto refusal = [](const clicks& made, const cross_order& order) {
    const auto found = find_crosses(made.described(), order);
    return found.ok() ? std::string("no refusal") : found.error().detail;
  };
  auto order = small();
  order.pairs_max = 2;
  EXPECT_THAT(refusal(clicks(), order), HasSubstr("3 pairs, more than --pairs 2"));
  order = small();
  order.features = {"user", "adv"};
  EXPECT_THAT(refusal(clicks(), order), HasSubstr("did you mean 'ad'?"));
  order.features = {"user", "price"};
  EXPECT_THAT(refusal(clicks(), order), HasSubstr("price"));
  order.features = {"user", "user"};
  EXPECT_THAT(refusal(clicks(), order), HasSubstr("twice"));
  order.features = {"user"};
  EXPECT_THAT(refusal(clicks(), order), HasSubstr("no two features"));
  order = small();
  order.stopped = [] { return true; };
  EXPECT_THAT(refusal(clicks(), order), HasSubstr("stopped"));
  order = small();
  order.events_max = 100;
  const auto few = find_crosses(clicks().described(), order);
  ASSERT_TRUE(few.ok());
  EXPECT_EQ(few->events, 100U);
}

}  // namespace
}  // namespace headrace::cli
