#include "base/log.hpp"
#include "schemas/hash.hpp"
#include "worker/ingest/event_source.hpp"
#include "worker/ingest/movielens_check.hpp"
#include "worker/ingest/sorted_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

namespace headrace::worker {
namespace {

using testing::HasSubstr;

std::uint64_t id_key(std::string_view salt, std::string_view text) {
  return schemas::hash_string_key(salt, text).value;
}

class FileSource : public testing::Test {
 protected:
  void SetUp() override { set_log_level(log_level::off); }
  void TearDown() override {
    set_log_level(log_level::info);
    std::filesystem::remove(path_);
  }

  // user,item,rating,time with an id feature for each of the first two.
  source_spec spec(const std::string& content) {
    std::ofstream(path_, std::ios::binary) << content;
    source_spec made;
    made.uri = path_.string();
    made.label = {"rating", label_spec::comparison::greater_equal, 4.0};
    made.features = {feature("user"), feature("item")};
    return made;
  }
  static feature_spec feature(const std::string& name) {
    feature_spec made;
    made.name = name;
    return made;
  }
  static feature_spec number(const std::string& name,
                             std::vector<transform> transforms = {},
                             double width = 1.0) {
    feature_spec made = feature(name);
    made.kind = feature_kind::float_value;
    made.transforms = std::move(transforms);
    made.bucket_width = width;
    return made;
  }
  static std::unique_ptr<event_source> open(const source_spec& from) {
    auto made = make_source(from);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : describe(made.error()));
    return made.ok() ? std::move(*made) : nullptr;
  }
  static std::vector<event> read_all(event_source& from) {
    std::vector<event> all;
    event each;
    while (*from.next(each)) all.push_back(each);
    return all;
  }

  std::filesystem::path path_ = std::filesystem::path(testing::TempDir()) / "file_source.test.csv";
};

TEST_F(FileSource, MakesLabelsKeysAndTimesOfARow) {
  source_spec from = spec("user,item,rating,time\nu1,i1,4,100\nu2,i1,3.5,101\n");
  from.time_column = "time";
  from.features[1].salt = "thing";
  const auto source = open(from);
  const auto all = read_all(*source);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].label, 1.0F);
  EXPECT_EQ(all[1].label, 0.0F);
  EXPECT_EQ(all[0].keys, (std::vector{id_key("user", "u1"), id_key("thing", "i1")}));
  EXPECT_EQ(all[1].keys, (std::vector{id_key("user", "u2"), id_key("thing", "i1")}));
  EXPECT_TRUE(all[0].values.empty());
  EXPECT_EQ(all[1].event_time_ms, 101'000U);
  EXPECT_EQ(all[1].row_number, 1U);
  EXPECT_EQ(source->position(), 2U);
  EXPECT_EQ(source->features(), 2U);
}

TEST_F(FileSource, FindsColumnsByNameNumberOrGivenNames) {
  source_spec from = spec("u1::i1::5\n");
  from.separator = "::";
  from.header = false;
  from.label.column = "3";
  from.features[0].column = "1";
  from.features[1].column = "2";
  const auto by_number = read_all(*open(from));
  from.columns = {"user", "item", "rating"};
  from.label.column = "rating";
  from.features = {feature("user"), feature("item")};
  const auto by_name = read_all(*open(from));
  ASSERT_EQ(by_number.size(), 1U);
  ASSERT_EQ(by_name.size(), 1U);
  EXPECT_EQ(by_number[0].keys, by_name[0].keys);
  EXPECT_EQ(by_number[0].label, 1.0F);
  from.header = true;  // given names win, and the header is not a row
  EXPECT_TRUE(read_all(*open(from)).empty());
}

TEST_F(FileSource, GivesFloatsARowTimesTheirValue) {
  source_spec from = spec("user,item,rating,price\nu,i,5,-3\nu,i,5,\nu,i,5, 2.5 \n");
  from.features = {feature("user"), number("price", {transform::log1p})};
  const auto all = read_all(*open(from));
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].keys[1], id_key("price", ""));
  EXPECT_EQ(all[0].values, (std::vector<float>{1.0F, static_cast<float>(-std::log(4.0))}));
  EXPECT_EQ(all[1].keys[1], schemas::missing_key("price").value);
  EXPECT_EQ(all[1].values, (std::vector<float>{1.0F, 1.0F}));
  EXPECT_NE(all[0].keys[1], all[1].keys[1]);
  EXPECT_FLOAT_EQ(all[2].values[1], std::log(3.5F));
}

TEST_F(FileSource, MakesIdsOfBuckets) {
  source_spec from = spec("rating,price\n1,0.49\n1,0.5\n1,-0.1\n1,-0\n1,1e20\n1,\n");
  from.features = {number("price", {transform::bucket}, 0.5)};
  const auto all = read_all(*open(from));
  ASSERT_EQ(all.size(), 6U);
  EXPECT_EQ(all[0].keys[0], id_key("price", "0"));
  EXPECT_EQ(all[1].keys[0], id_key("price", "1"));
  EXPECT_EQ(all[2].keys[0], id_key("price", "-1"));
  EXPECT_EQ(all[3].keys[0], id_key("price", "0"));
  EXPECT_EQ(all[4].keys[0], id_key("price", "200000000000000000000"));
  EXPECT_EQ(all[5].keys[0], schemas::missing_key("price").value);
  EXPECT_TRUE(all[0].values.empty());
}

TEST_F(FileSource, TakesEveryComparison) {
  using comparison = label_spec::comparison;
  const std::vector<std::pair<comparison, std::vector<float>>> cases = {
      {comparison::less, {1, 0, 0}},
      {comparison::less_equal, {1, 1, 0}},
      {comparison::equal, {0, 1, 0}},
      {comparison::not_equal, {1, 0, 1}},
      {comparison::greater_equal, {0, 1, 1}},
      {comparison::greater, {0, 0, 1}}};
  source_spec from = spec("user,item,rating\na,b,-1\na,b,0\na,b,1\n");
  for (const auto& [is, expected] : cases) {
    from.label = {"rating", is, 0.0};
    std::vector<float> labels;
    for (const event& each : read_all(*open(from))) labels.push_back(each.label);
    EXPECT_EQ(labels, expected) << static_cast<int>(is);
  }
}

TEST_F(FileSource, CountsBadRowsByReasonAndKeepsTheFirstOfEach) {
  source_spec from = spec(
      "user,item,rating,time,price\n"
      "u,i,5,1,1\n"
      "u,i,5,1\n"         // line 3
      "u,i,five,1,1\n"    // 4
      "u,i,NaN,1,1\n"     // 5
      "u,i,5,soon,1\n"    // 6
      "u,i,5,1,inf\n"     // 7
      "u,i,5,1,1e999\n"   // 8
      "u,i,5,1,dear\n"    // 9
      "u,i,,1,1\n"        // 10
      "u,i,5,1,1e-999\n"  // as good as 0
      "\"u,i,5,1,1\n"     // 12
      "u,i,5,1,2\n");
  from.time_column = "time";
  from.features.push_back(number("price"));
  const auto source = open(from);
  const auto all = read_all(*source);
  EXPECT_EQ(all.size(), 3U);
  EXPECT_EQ(all[2].row_number, 11U);
  EXPECT_EQ(source->position(), 12U);
  EXPECT_EQ(*source->count_records(), 12U);
  const bad_rows& bad = source->bad();
  EXPECT_EQ(bad.total(), 9U);
  EXPECT_EQ(bad.count(bad_row::column_count), 1U);
  EXPECT_EQ(bad.count(bad_row::not_a_number), 3U);
  EXPECT_EQ(bad.count(bad_row::not_finite), 3U);
  EXPECT_EQ(bad.count(bad_row::bad_time), 1U);
  EXPECT_EQ(bad.count(bad_row::open_quote), 1U);
  EXPECT_THAT(bad.first(), HasSubstr(":3: column_count: 4 columns instead of 5"));
  EXPECT_THAT(bad.first(bad_row::not_a_number), HasSubstr(":4: not_a_number: the label is 'five'"));
  EXPECT_THAT(bad.first(bad_row::not_finite), HasSubstr(":5: not_finite: the label is 'NaN'"));
  EXPECT_THAT(bad.first(bad_row::open_quote), HasSubstr(":12: open_quote"));
}

TEST_F(FileSource, MakesSeveralLabelsOfARowAndNamesTheOneThatIsBad) {
  source_spec from = spec("user,item,rating,watch\nu,i,5,0\nu,i,1,9.5\nu,i,5,much\n");
  from.label.name = "rating";
  from.more_labels = {{"watch", label_spec::comparison::greater, 0.0, "watch > 0"},
                      {"4", label_spec::comparison::greater, 9.0, "watch > 9"}};
  const auto source = open(from);
  const auto all = read_all(*source);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].label, 1.0F);
  EXPECT_THAT(all[0].more_labels, testing::ElementsAre(0.0F, 0.0F));
  EXPECT_EQ(all[1].label, 0.0F);
  EXPECT_THAT(all[1].more_labels, testing::ElementsAre(1.0F, 1.0F));
  EXPECT_THAT(source->bad().first(), HasSubstr(":4: not_a_number: label 'watch > 0' is 'much'"));
  from.more_labels[1].column = "5";
  EXPECT_THAT(make_source(from).error().detail, HasSubstr("no column '5' for the label"));
}

TEST_F(FileSource, KeepsEachRowsLabelsWhenItSorts) {
  source_spec from =
      spec("user,item,rating,time,watch\na,i,5,30,1\nb,i,1,10,0\nc,i,5,20,0\nd,i,1,10,1\n");
  from.more_labels = {{"watch", label_spec::comparison::greater, 0.0, "watch"}};
  from.time_column = "time";
  from.sort_by_time = true;
  std::vector<float> first;
  std::vector<float> second;
  for (const event& each : read_all(*open(from))) {
    ASSERT_EQ(each.more_labels.size(), 1U);
    first.push_back(each.label);
    second.push_back(each.more_labels[0]);
  }
  EXPECT_THAT(first, testing::ElementsAre(0.0F, 0.0F, 1.0F, 1.0F));
  EXPECT_THAT(second, testing::ElementsAre(0.0F, 1.0F, 0.0F, 1.0F));
}

TEST_F(FileSource, EndsWhenThereAreMoreBadRowsThanAllowed) {
  source_spec from = spec("user,item,rating\nu,i,5\nbad\nbad\nbad\nu,i,5\n");
  from.bad_rows_max = 3;
  EXPECT_EQ(read_all(*open(from)).size(), 2U);
  from.bad_rows_max = 2;
  const auto source = open(from);
  event each;
  EXPECT_TRUE(*source->next(each));
  const auto ended = source->next(each);
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().code, errc::bad_input);
  EXPECT_THAT(ended.error().detail, HasSubstr("more than 2 bad rows (3 column_count)"));
  EXPECT_THAT(ended.error().detail, HasSubstr("max_bad_rows"));
}

TEST_F(FileSource, RefusesAColumnThatIsNotThere) {
  source_spec from = spec("user,item,rating,rating\nu,i,5,5\n");
  const auto twice = make_source(from);
  ASSERT_FALSE(twice.ok());
  EXPECT_THAT(twice.error().detail, HasSubstr("twice"));
  from.label.column = "3";
  from.features[1].column = "itm";
  const auto made = make_source(from);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, errc::bad_config);
  EXPECT_THAT(made.error().detail, HasSubstr("no column 'itm' for feature 'item'"));
  from.features[1].column = "5";
  EXPECT_FALSE(make_source(from).ok());
  from.features[1].column = "0";
  EXPECT_FALSE(make_source(from).ok());
  from.uri = "/nowhere/x.csv";
  EXPECT_EQ(make_source(from).error().code, errc::not_found);
}

TEST_F(FileSource, SortsByTimeAndKeepsTheOrderOfTies) {
  source_spec from = spec("user,item,rating,time\na,i,5,30\nb,i,5,10\nbad\nc,i,5,20\nd,i,5,10\n");
  from.time_column = "time";
  from.sort_by_time = true;
  const auto source = open(from);
  EXPECT_EQ(*source->count_records(), 4U);
  EXPECT_EQ(source->bad().total(), 1U);
  const auto all = read_all(*source);
  ASSERT_EQ(all.size(), 4U);
  const std::vector<std::string> users = {"b", "d", "c", "a"};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(all[i].keys[0], id_key("user", users[i]));
    EXPECT_EQ(all[i].row_number, i);
  }
  from.time_column.clear();
  EXPECT_EQ(make_source(from).error().code, errc::bad_config);
}

TEST_F(FileSource, GoesOnExactlyWhereItWas) {
  std::string content = "user,item,rating,time\n";
  for (int i = 0; i < 200; ++i) {
    content += i % 7 == 3 ? "bad row\n"
                          : "u" + std::to_string(i) + ",i,4," + std::to_string(1000 - i) + "\n";
  }
  for (const bool sorted : {false, true}) {
    source_spec from = spec(content);
    from.time_column = "time";
    from.sort_by_time = sorted;
    const auto whole = open(from);
    event expected;
    event got;
    for (int read = 0; read < 100; ++read) ASSERT_TRUE(*whole->next(expected));
    const auto again = open(from);
    ASSERT_TRUE(again->skip(whole->position()).ok());
    EXPECT_EQ(again->bad().total(), whole->bad().total());
    while (*whole->next(expected)) {
      ASSERT_TRUE(*again->next(got));
      EXPECT_EQ(got.keys, expected.keys);
      EXPECT_EQ(got.row_number, expected.row_number);
    }
    EXPECT_FALSE(*again->next(got));
    const auto shorter = open(from)->skip(201);
    ASSERT_FALSE(shorter.ok());
    EXPECT_EQ(shorter.error().code, errc::bad_input);
  }
}

TEST_F(FileSource, RefusesAnEmptyFileWhereAHeaderShouldBe) {
  EXPECT_EQ(make_source(spec("")).error().code, errc::bad_input);
  EXPECT_TRUE(read_all(*open(spec("user,item,rating\n"))).empty());
}

TEST_F(FileSource, ReadsTheNeighbourCompressed) {
  const source_spec plain = spec("user,item,rating\nu1,i1,5\nu2,i2,1\n");
  const auto expected = read_all(*open(plain));
  const std::string zipped = path_.string() + ".gz";
  if (std::system(("gzip -kf '" + path_.string() + "'").c_str()) != 0)
    GTEST_SKIP() << "no gzip on this machine";
  source_spec from = plain;
  from.uri = "file://" + zipped;
  const auto got = read_all(*open(from));
  ASSERT_EQ(got.size(), expected.size());
  EXPECT_EQ(got[1].keys, expected[1].keys);
  std::filesystem::remove(zipped);
}

std::vector<std::uint64_t> id_keys(std::string_view salt, const std::vector<std::string>& ids) {
  std::vector<std::uint64_t> keys;
  for (const auto& id : ids) keys.push_back(id_key(salt, id));
  return keys;
}

feature_spec list(const std::string& name, const std::string& separator, std::uint32_t max) {
  feature_spec made;
  made.name = name;
  made.kind = feature_kind::ids;
  made.salt = "item";
  made.list_separator = separator;
  made.list_max = max;
  return made;
}

TEST_F(FileSource, MakesListsOfIdsThatShareRowsWithAFeatureOfTheirSalt) {
  source_spec from = spec("user,seen,item,rating\nu,a b  i1 ,i1,5\nu,,i1,1\nu, ,i1,1\n");
  from.features.insert(from.features.begin() + 1, list("seen", " ", 50));
  const auto source = open(from);
  EXPECT_EQ(source->features(), 2U);
  const auto all = read_all(*source);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].keys, (std::vector{id_key("user", "u"), id_key("item", "i1")}));
  EXPECT_EQ(all[0].lengths, (std::vector<std::uint16_t>{3}));
  EXPECT_EQ(all[0].sequence_keys, id_keys("item", {"a", "b", "i1"}));
  EXPECT_EQ(all[0].sequence_keys[2], all[0].keys[1]);
  for (const std::size_t row : {1U, 2U}) {
    EXPECT_EQ(all[row].lengths, (std::vector<std::uint16_t>{0}));
    EXPECT_TRUE(all[row].sequence_keys.empty());
  }
}

TEST_F(FileSource, KeepsTheNewestIdsOfEachList) {
  source_spec from = spec("user,a,b,rating\nu,1||2||3,x|y|z|w,5\n");
  from.features = {list("a", "||", 2), list("b", "|", 3)};
  const auto all = read_all(*open(from));
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].lengths, (std::vector<std::uint16_t>{2, 3}));
  EXPECT_EQ(all[0].sequence_keys, id_keys("item", {"2", "3", "y", "z", "w"}));
}

TEST_F(FileSource, HoldsOutTheNewestIdsOfEachListAsIfTheyWereNotThere) {
  source_spec from = spec("user,seen,rating\nu,a b c d e,5\nv,a b,5\nw,a,5\nx,a b c,5\n");
  from.features = {list("seen", " ", 2)};
  from.features[0].list_held_out = 2;
  const auto all = read_all(*open(from));
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].sequence_keys, id_keys("item", {"b", "c"}));
  for (const std::size_t row : {1U, 2U}) {
    EXPECT_EQ(all[row].lengths, (std::vector<std::uint16_t>{0}));
    EXPECT_TRUE(all[row].sequence_keys.empty());
  }
  EXPECT_EQ(all[3].sequence_keys, id_keys("item", {"a"}));
}

TEST_F(FileSource, GivesItsLastColumnTheRestOfARow) {
  source_spec from = spec("1 a b\n2\n3 c\n4 a b c d\n");
  from.separator = " ";
  from.header = false;
  from.quotes = false;
  from.columns = {"user", "seen"};
  from.rest = true;
  from.label = {"user", label_spec::comparison::greater, 3.0};
  from.features = {list("seen", " ", 3)};
  const auto source = open(from);
  const auto all = read_all(*source);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(source->bad().count(bad_row::column_count), 1U);
  EXPECT_EQ(all[0].sequence_keys, id_keys("item", {"a", "b"}));
  EXPECT_EQ(all[1].sequence_keys, id_keys("item", {"c"}));
  EXPECT_EQ(all[2].sequence_keys, id_keys("item", {"b", "c", "d"}));
  EXPECT_EQ(all[2].label, 1.0F);
  from.quotes = true;
  EXPECT_EQ(make_source(from).error().code, errc::bad_config);
  from.quotes = false;
  from.columns.clear();
  EXPECT_THAT(make_source(from).error().detail, HasSubstr("source.rest"));
}

TEST_F(FileSource, SortsListsWithTheirRows) {
  source_spec from = spec("user,seen,rating,time\na,1 2,5,30\nb,,5,10\nc,3 4 5,5,20\n");
  from.time_column = "time";
  from.sort_by_time = true;
  from.features = {feature("user"), list("seen", " ", 50)};
  const auto all = read_all(*open(from));
  ASSERT_EQ(all.size(), 3U);
  EXPECT_TRUE(all[0].sequence_keys.empty());
  EXPECT_EQ(all[1].sequence_keys, id_keys("item", {"3", "4", "5"}));
  EXPECT_EQ(all[2].sequence_keys, id_keys("item", {"1", "2"}));
  EXPECT_EQ(all[2].lengths, (std::vector<std::uint16_t>{2}));
  EXPECT_EQ(all[2].keys[0], id_key("user", "a"));
}

// Figures of the data's README.md.
TEST(AmazonBeauty, HasTheSequencesThatItsSourceSays) {
  const char* data = std::getenv("HEADRACE_DATA");
  const auto file = std::filesystem::path(data == nullptr ? "" : data) /
                    "local-only/amazon-sequences/Beauty.txt.zst";
  if (!std::filesystem::exists(file))
    GTEST_SKIP() << "HEADRACE_DATA does not lead to the Amazon sequences";
  source_spec from;
  from.uri = file.string();
  from.separator = " ";
  from.header = false;
  from.quotes = false;
  from.columns = {"user", "items"};
  from.rest = true;
  from.label = {"user", label_spec::comparison::greater, 0.0};
  from.features = {list("items", " ", list_max_most)};
  const auto source = make_source(from);
  ASSERT_TRUE(source.ok()) << describe(source.error());
  std::set<std::uint64_t> items;
  std::size_t users = 0;
  std::size_t events = 0;
  for (event each; *(*source)->next(each); ++users) {
    events += each.sequence_keys.size();
    items.insert(each.sequence_keys.begin(), each.sequence_keys.end());
  }
  EXPECT_EQ(users, 22'363U);
  EXPECT_EQ(items.size(), 12'101U);
  EXPECT_EQ(events, 198'502U);
}

// Three rows backwards in time, with two further labels.
class labelled_source final : public event_source {
 public:
  result<bool> next(event& into) override {
    if (at_ == 3) return false;
    into = {};
    into.event_time_ms = 3 - at_;
    into.keys = {at_};
    into.more_labels = {static_cast<float>(at_ % 2), 1.0F};
    ++at_;
    return true;
  }
  result<void> skip(std::uint64_t) override { return {}; }
  std::uint64_t position() const override { return at_; }
  result<std::uint64_t> count_records() const override { return std::uint64_t{3}; }
  const bad_rows& bad() const override { return bad_; }
  std::size_t features() const override { return 1; }

 private:
  std::uint64_t at_ = 0;
  bad_rows bad_{0};
};

TEST(SortedSource, KeepsTheFurtherLabelsOfARow) {
  const auto sorted = sorted_source::read(std::make_unique<labelled_source>());
  ASSERT_TRUE(sorted.ok());
  event each;
  for (const std::uint64_t key : {2U, 1U, 0U}) {
    ASSERT_TRUE(*(*sorted)->next(each));
    EXPECT_EQ(each.keys, std::vector{key});
    EXPECT_EQ(each.more_labels, (std::vector<float>{static_cast<float>(key % 2), 1.0F}));
    EXPECT_TRUE(each.sequence_keys.empty());
  }
}

std::filesystem::path movielens() {
  const char* data = std::getenv("HEADRACE_DATA");
  return data == nullptr ? ""
                         : std::filesystem::path(data) / "local-only/movielens-100k/ml-100k.inter";
}

TEST(MovielensCheck, KnowsTheRealRows) {
  if (!std::filesystem::exists(movielens()))
    GTEST_SKIP() << "HEADRACE_DATA does not lead to MovieLens-100K";
  const auto checked = check_movielens(movielens());
  EXPECT_TRUE(checked.ok()) << describe(checked.error());
}

TEST(MovielensCheck, KnowsTheSameRowsAsFloatsWithoutAHeaderAndBackwards) {
  if (!std::filesystem::exists(movielens()))
    GTEST_SKIP() << "HEADRACE_DATA does not lead to MovieLens-100K";
  std::ifstream in(movielens());
  std::vector<std::string> rows;
  for (std::string line; std::getline(in, line);) rows.push_back(line);
  const auto path = std::filesystem::path(testing::TempDir()) / "movielens_check.test";
  const auto write = [&](std::size_t changed) {
    std::ofstream out(path);
    for (std::size_t i = rows.size(); i-- > 1;) out << rows[i] << (i == changed ? ".5\n" : ".0\n");
  };
  write(0);
  EXPECT_TRUE(check_movielens(path).ok());
  write(77);
  EXPECT_FALSE(check_movielens(path).ok());
  std::filesystem::remove(path);
}

TEST(MovielensCheck, RefusesOtherFiles) {
  EXPECT_EQ(check_movielens("/nowhere/u.data").error().code, errc::not_found);
  const auto path = std::filesystem::path(testing::TempDir()) / "movielens_check.test";
  std::ofstream(path) << "1\t2\t3\t4\n";
  const auto checked = check_movielens(path);
  EXPECT_EQ(checked.error().code, errc::bad_input);
  EXPECT_THAT(checked.error().detail, HasSubstr("1 rows"));
  std::ofstream(path) << "1,2,3,4\n";
  EXPECT_FALSE(check_movielens(path).ok());
  std::filesystem::remove(path);
}

text_spec text_of(const std::string& column) {
  text_spec made;
  made.column = column;
  return made;
}

TEST_F(FileSource, CleansTextsBeforeAnythingIsMadeOfThem) {
  source_spec from =
      spec("user,item,rating\nu1,\"  two\twords\x01 \",5\nu2,\xFF,5\nu1,two words,4\n");
  from.features[1].kind = feature_kind::ids;
  from.texts = {text_of("item")};
  const auto source = open(from);
  const auto events = read_all(*source);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].lengths, std::vector<std::uint16_t>{2});
  EXPECT_EQ(events[0].sequence_keys, events[1].sequence_keys);
  EXPECT_EQ(events[0].sequence_keys[0], id_key("item", "two"));
  EXPECT_EQ(source->bad().count(bad_row::malformed), 1U);
  EXPECT_EQ(source->bad().total(), 1U);
}

// Of 400 rows, many with texts that were there before or are too short: which are left out is the
// same wherever reading goes on, and none of them counts for the limit of bad rows.
TEST_F(FileSource, LeavesOutTextsAndGoesOnAnywhereAsIfItHadNotStopped) {
  std::string content = "user,item,rating\n";
  for (int i = 0; i < 400; ++i) {
    const int text = i * 7919 % 97;
    content += "u" + std::to_string(i) + ",";
    for (int word = 0; word < text % 12; ++word) content += "w" + std::to_string(text + word) + " ";
    content += ",5\n";
  }
  source_spec from = spec(content);
  from.features[1].kind = feature_kind::ids;
  from.bad_rows_max = 0;
  from.texts = {text_of("item")};
  from.texts[0].chars_min = 5;
  from.texts[0].near = 0;
  from.texts[0].near_window = 20;
  const auto whole = open(from);
  const auto events = read_all(*whole);
  EXPECT_GT(whole->bad().count(bad_row::text_too_short), 20U);
  EXPECT_EQ(whole->bad().total() + events.size(), 400U);
  from.texts[0].near_window = 200;
  const auto wider = open(from);
  const auto fewer = read_all(*wider);
  EXPECT_GT(wider->bad().count(bad_row::text_near_duplicate), 150U);
  EXPECT_LT(fewer.size(), events.size());
  for (std::uint64_t begin = 0; begin <= 400; begin += 13) {
    const auto part = open(from);
    ASSERT_TRUE(part->skip(begin).ok());
    std::vector<std::uint64_t> rows;
    for (const event& each : read_all(*part)) rows.push_back(each.row_number);
    std::vector<std::uint64_t> expected;
    for (const event& each : fewer) {
      if (each.row_number >= begin) expected.push_back(each.row_number);
    }
    ASSERT_EQ(rows, expected) << "from " << begin;
  }
}

}  // namespace
}  // namespace headrace::worker
