#include "worker/ingest/windowed_source.hpp"

#include "base/random.hpp"
#include "schemas/hash.hpp"
#include "storage/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

using testing::ElementsAre;
using measure = sliding_window::measure;

feature_spec window(const std::string& name,
                    measure is,
                    std::uint64_t over_ms,
                    std::vector<std::string> of,
                    const std::string& column = "") {
  feature_spec made;
  made.name = made.salt = name;
  made.column = column.empty() ? name : column;
  made.kind = is == measure::last ? feature_kind::ids : feature_kind::float_value;
  made.window = sliding_window{is, over_ms, std::move(of), {}, {}};
  return made;
}

feature_spec id(const std::string& name) {
  feature_spec made;
  made.name = made.column = made.salt = name;
  return made;
}

/// Rows `time,user,item,price,click`, times in milliseconds.
class WindowedSource : public testing::Test {
 protected:
  void write(const std::string& rows) const {
    std::ofstream(file_) << "time,user,item,price,click\n" << rows;
  }
  source_spec spec(std::vector<feature_spec> features) const {
    source_spec made;
    made.uri = file_.string();
    made.label = {"click", label_spec::comparison::greater, 0.0};
    made.time_column = "time";
    made.time_format = "unix_ms";
    made.features = std::move(features);
    made.windows.out_of_order_ms = 1'000;
    return made;
  }
  static std::unique_ptr<event_source> open(const source_spec& how) {
    auto made = make_source(how);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : describe(made.error()));
    return std::move(*made);
  }
  static std::vector<event> read(event_source& from) {
    std::vector<event> all;
    event one;
    while (*from.next(one)) all.push_back(one);
    return all;
  }
  /// Values of the only feature.
  std::vector<float> values(feature_spec feature) const {
    std::vector<float> found;
    for (const event& one : read(*open(spec({std::move(feature)}))))
      found.push_back(one.values.at(0));
    return found;
  }

  storage::temporary_folder folder_;
  std::filesystem::path file_ = folder_.path() / "rows.csv";
};

TEST_F(WindowedSource, GivesWhatCameBeforeEachEventAndNotItself) {
  write(
      "1000,ann,i1,2.5,0\n"
      "1000,ann,i2,4,1\n"
      "1999,ann,i3,8,0\n"
      "2000,ann,i4,16,0\n"
      "2000,bob,i5,32,0\n"
      "3000,,i6,64,0\n"
      "3100,ann,i7,,0\n"
      "3200,ann,i8,1,0\n");
  EXPECT_THAT(values(window("n", measure::count, 1'000, {"user"})),
              ElementsAre(0.0F, 1.0F, 2.0F, 1.0F, 0.0F, 1.0F, 0.0F, 1.0F))
      << "without a user the value is missing: 1";
  EXPECT_THAT(values(window("n", measure::rate, 2'000, {"user"})),
              ElementsAre(0.0F, 0.5F, 1.0F, 1.5F, 0.0F, 1.0F, 1.0F, 1.5F));
  EXPECT_THAT(values(window("n", measure::sum, 1'000, {"user"}, "price")),
              ElementsAre(0.0F, 2.5F, 6.5F, 8.0F, 0.0F, 1.0F, 0.0F, 0.0F));
  auto clicks = window("n", measure::count, 5'000, {"user"});
  clicks.window->where = label_spec{"click", label_spec::comparison::equal, 1.0, {}};
  EXPECT_THAT(values(clicks), ElementsAre(0.0F, 0.0F, 1.0F, 1.0F, 0.0F, 1.0F, 1.0F, 1.0F));
}

TEST_F(WindowedSource, PutsListsAndNumbersInTheirPlaces) {
  write(
      "1,ann,i1,1,0\n"
      "2,ann,i2,1,0\n"
      "3,ann,,1,0\n"
      "4,ann,i3,1,0\n");
  auto seen = window("seen", measure::last, 1'000, {"user"}, "item");
  seen.salt = "item";
  seen.list_max = 2;
  auto items = id("item");
  items.kind = feature_kind::ids;
  auto often = window("often", measure::count, 1'000, {"user"});
  often.transforms = {transform::bucket};
  auto how = spec({items, id("user"), seen, often, id("click")});
  how.crosses = {{"both", "both", {0, 1}}};
  const auto all = read(*open(how));
  ASSERT_EQ(all.size(), 4U);
  const auto key = [](const char* salt, const char* text) {
    return schemas::hash_string_key(salt, text).value;
  };
  const event& last = all[3];
  EXPECT_THAT(last.lengths, ElementsAre(1, 2));
  EXPECT_THAT(last.sequence_keys,
              ElementsAre(key("item", "i3"), key("item", "i1"), key("item", "i2")))
      << "an empty item is none, and its own is not among them";
  EXPECT_THAT(all[2].lengths, ElementsAre(0, 2));
  ASSERT_EQ(last.keys.size(), 4U);
  EXPECT_EQ(last.keys[1], key("often", "3")) << "a bucket is an id";
  EXPECT_EQ(last.keys[3],
            schemas::cross_key("both", std::array{key("user", "ann"), key("often", "3")}).value);
  EXPECT_TRUE(last.values.empty());
  EXPECT_TRUE(last.windows.empty());
}

TEST_F(WindowedSource, TellsKeysOfSeveralColumnsApart) {
  write(
      "1,ab,c,1,0\n"
      "2,a,bc,1,0\n"
      "3,ab,c,1,0\n");
  EXPECT_THAT(values(window("n", measure::count, 1'000, {"user", "item"})),
              ElementsAre(0.0F, 0.0F, 1.0F));
}

TEST_F(WindowedSource, CountsInTheOrderOfTimeWhereTheSourceIsSorted) {
  write(
      "3000,ann,i3,1,0\n"
      "1000,ann,i1,1,0\n"
      "2000,ann,i2,1,0\n");
  auto how = spec({window("n", measure::count, 10'000, {"user"})});
  how.windows.out_of_order_ms = 0;
  auto unsorted = open(how);
  EXPECT_EQ(read(*unsorted).back().values.at(0), 0.0F);
  EXPECT_EQ(dynamic_cast<windowed_source&>(*unsorted).windows().table(0).count().late, 2U);
  how.sort_by_time = true;
  std::vector<float> sorted;
  for (const event& one : read(*open(how))) sorted.push_back(one.values.at(0));
  EXPECT_THAT(sorted, ElementsAre(0.0F, 1.0F, 2.0F));
}

TEST_F(WindowedSource, RefusesColumnsThatAreNotThereAndRowsThatAreNoNumbers) {
  write("1,ann,i1,cheap,0\n2,ann,i1,3,0\n");
  EXPECT_EQ(make_source(spec({window("n", measure::count, 1, {"nobody"})})).error().code,
            errc::bad_config);
  const auto source = open(spec({window("n", measure::sum, 1'000, {"user"}, "price")}));
  EXPECT_EQ(read(*source).size(), 1U);
  EXPECT_EQ(source->bad().total(), 1U);
  EXPECT_THAT(source->bad().first(), testing::HasSubstr("feature 'n' is of 'cheap'"));
}

// Wherever a run begins again, windows hold what they would have held.
TEST_F(WindowedSource, GoesOnWhereItWas) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_stream random(seed);
    std::string rows;
    for (std::uint64_t i = 0; i < 200; ++i) {
      const std::uint64_t time = 10'000 + 40 * i - random.next_below(1'500);
      rows += std::to_string(time) + ",u" + std::to_string(random.next_below(5)) + ",i" +
              std::to_string(random.next_below(9)) + "," + std::to_string(random.next_below(100)) +
              (random.next_below(20) == 0 ? ",?\n" : ",1\n");
    }
    write(rows);
    auto how = spec({id("user"),
                     window("n", measure::count, 700, {"user"}),
                     window("spent", measure::sum, 900, {"user", "item"}, "price"),
                     window("seen", measure::last, 2'000, {"user"}, "item")});
    how.sort_by_time = seed % 2 == 0;
    const auto all = read(*open(how));
    ASSERT_GT(all.size(), 150U);
    const event& before = all[random.next_below(all.size() - 1)];
    const auto source = open(how);
    ASSERT_TRUE(source->skip(before.row_number + 1).ok());
    EXPECT_EQ(source->position(), before.row_number + 1);
    const auto rest = read(*source);
    ASSERT_GT(rest.size(), 0U);
    const std::size_t skipped = all.size() - rest.size();
    for (std::size_t i = 0; i < rest.size(); ++i) {
      const event& expected = all[skipped + i];
      ASSERT_EQ(rest[i].row_number, expected.row_number);
      ASSERT_EQ(rest[i].values, expected.values);
      ASSERT_EQ(rest[i].lengths, expected.lengths);
      ASSERT_EQ(rest[i].sequence_keys, expected.sequence_keys);
    }
    EXPECT_FALSE(open(how)->skip(10'000).ok()) << "it is shorter";
  }
}

// Format 1 had, of each window, no count of what lacked a column, and nothing behind the windows.
TEST(WindowFeatures, LoadFormatOne) {
  source_spec how;
  how.features = {window("n", measure::count, 100, {"user"})};
  window_features saved(how);
  saved.feed(1'000, std::vector<window_input>{{{1, 2}, 3, true, true}});
  window_input lacking;
  lacking.lacks = true;
  saved.feed(1'000, std::vector<window_input>{lacking});
  const auto now = saved.save();
  constexpr std::size_t before_lacking = 4 + 4 + 8;
  constexpr std::size_t of_impressions = 8 + 8;
  byte_writer first;
  first.number(std::uint32_t{1});
  const auto rest = std::span<const std::byte>(now);
  first.numbers(rest.subspan(4, before_lacking - 4));
  first.numbers(rest.subspan(before_lacking + 8, now.size() - before_lacking - 8 - of_impressions));
  const auto old = first.take();
  window_features back(how);
  const auto empty = back.load(old);
  ASSERT_TRUE(empty.ok()) << describe(empty.error());
  EXPECT_EQ(*empty, 0U);
  EXPECT_EQ(back.table(0).events(), 1U);
  std::vector<window_figures> figures;
  back.look(figures);
  EXPECT_EQ(figures.at(0).lacking, 0U);
  saved.look(figures);
  EXPECT_EQ(figures.at(0).lacking, 1U);
}

TEST(WindowFeatures, LoadWhatTheySavedAndNothingElse) {
  source_spec how;
  how.features = {window("n", measure::count, 100, {"user"}),
                  window("spent", measure::sum, 100, {"user"}, "price")};
  window_features saved(how);
  const std::vector<window_input> inputs(2, {{1, 2}, 3, true, true});
  saved.feed(1'000, inputs);
  const auto bytes = saved.save();
  window_features same(how);
  ASSERT_TRUE(same.load(bytes).ok());
  EXPECT_EQ(same.save(), bytes);
  EXPECT_EQ(same.table(1).events(), 1U);

  how.features[0].window->over_ms = 200;
  window_features other(how);
  const auto empty = other.load(bytes);
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(*empty, 1U) << "of another length, so it begins anew";
  EXPECT_EQ(other.table(0).events(), 0U);
  EXPECT_EQ(other.table(1).events(), 1U);

  for (std::size_t size = 0; size < bytes.size(); ++size) {
    window_features cut(how);
    ASSERT_FALSE(cut.load(std::span<const std::byte>(bytes).first(size)).ok()) << size;
  }
}

}  // namespace
}  // namespace headrace::worker
