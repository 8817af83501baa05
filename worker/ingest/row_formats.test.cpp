#include "base/log.hpp"
#include "schemas/hash.hpp"
#include "storage/temporary_folder.hpp"
#include "worker/events/event_generator.hpp"
#include "worker/ingest/event_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <tuple>
#include <unistd.h>
#include <vector>

/// Files whose rows are JSON lines or libSVM.
namespace headrace::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::uint64_t id_key(std::string_view salt, std::string_view text) {
  return schemas::hash_string_key(salt, text).value;
}

feature_spec feature(const std::string& name,
                     feature_kind kind = feature_kind::id,
                     const std::string& column = {}) {
  feature_spec made;
  made.name = made.salt = name;
  made.column = column.empty() ? name : column;
  made.kind = kind;
  return made;
}

class RowFormats : public testing::Test {
 protected:
  void SetUp() override { set_log_level(log_level::off); }
  void TearDown() override { set_log_level(log_level::info); }

  source_spec spec(row_format format, const std::string& content) {
    const auto path = folder_.path() / "rows";
    std::ofstream(path, std::ios::binary) << content;
    source_spec made;
    made.uri = path.string();
    made.format = format;
    return made;
  }
  source_spec json(const std::string& content) {
    source_spec made = spec(row_format::jsonl, content);
    made.label = {"rating", label_spec::comparison::greater_equal, 4.0};
    made.features = {feature("user"), feature("item")};
    return made;
  }
  source_spec svm(const std::string& content) {
    source_spec made = spec(row_format::libsvm, content);
    made.label = {"label", label_spec::comparison::greater, 0.0};
    made.features = {feature("words", feature_kind::ids, "indices")};
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
    for (;;) {
      const auto more = from.next(each);
      EXPECT_TRUE(more.ok()) << (more.ok() ? "" : describe(more.error()));
      if (!more || !*more) return all;
      all.push_back(each);
    }
  }
  static std::vector<event> read_all(const source_spec& from) { return read_all(*open(from)); }
  // Why the one row is bad: "reason: what".
  static std::string problem(source_spec from) {
    from.bad_rows_max = 1'000;
    const auto source = open(from);
    EXPECT_TRUE(read_all(*source).empty());
    EXPECT_EQ(source->bad().total(), 1U);
    const std::string& first = source->bad().first();
    return first.substr(first.find(":1: ") + 4);
  }

  storage::temporary_folder folder_;
};

TEST_F(RowFormats, MembersOfAJsonLineAreItsColumns) {
  source_spec from = json(R"({"user":"u1","item":17,"rating":5,"time":100,"other":[{"x":1}]})"
                          "\n\r\n"
                          R"({"item":"17", "rating" : "3.5","user":null,"time":"101"})"
                          "\r\n"
                          R"({"rating":true,"user":"\u00fc\"","time":102.0})");
  from.time_column = "time";
  from.label.threshold = 1.0;
  const auto source = open(from);
  const auto all = read_all(*source);
  ASSERT_EQ(all.size(), 3U) << source->bad().summary() << source->bad().first();
  EXPECT_THAT(all[0].keys, ElementsAre(id_key("user", "u1"), id_key("item", "17")));
  EXPECT_EQ(all[1].keys[1], all[0].keys[1]);
  EXPECT_EQ(all[2].keys[0], id_key("user", "\xC3\xBC\""));
  EXPECT_EQ(all[0].label, 1.0F);
  EXPECT_EQ(all[2].label, 1.0F) << "true is 1";
  EXPECT_EQ(all[0].event_time_ms, 100'000U);
  EXPECT_EQ(all[1].event_time_ms, 101'000U);
  EXPECT_EQ(source->position(), 3U);
  EXPECT_EQ(*source->count_records(), 3U);
}

TEST_F(RowFormats, AListOfAJsonLineIsAListAndATextIsCutAsInAFile) {
  source_spec from = json(R"({"rating":5,"seen":["a b",2,null,true,""]})"
                          "\n"
                          R"({"rating":5,"seen":"a b 2"})"
                          "\n"
                          R"({"rating":5,"seen":[]})"
                          "\n"
                          R"({"rating":5})");
  from.features = {feature("seen", feature_kind::ids)};
  const auto all = read_all(from);
  ASSERT_EQ(all.size(), 4U);
  EXPECT_THAT(all[0].sequence_keys,
              ElementsAre(id_key("seen", "a b"), id_key("seen", "2"), id_key("seen", "1")));
  EXPECT_THAT(all[1].sequence_keys,
              ElementsAre(id_key("seen", "a"), id_key("seen", "b"), id_key("seen", "2")));
  EXPECT_THAT(all[2].lengths, ElementsAre(0));
  EXPECT_THAT(all[3].lengths, ElementsAre(0));
}

TEST_F(RowFormats, JsonLinesAreTheRowsOfACsvFileOfTheSameColumns) {
  source_spec lines = json(R"({"user":"u1","item":"i, 1","rating":4,"price":1e1,"seen":"x y"})"
                           "\n"
                           R"({"user":7,"item":"","rating":3.9,"seen":["x","y"]})");
  lines.features.push_back(feature("price", feature_kind::float_value));
  lines.features.push_back(feature("seen", feature_kind::ids));
  source_spec csv = lines;
  csv.format = row_format::delimited;
  csv.uri = (folder_.path() / "rows.csv").string();
  std::ofstream(csv.uri) << "user,item,rating,price,seen\nu1,\"i, 1\",4,10,x y\n7,,3.9,,x y\n";
  const auto a = read_all(lines);
  const auto b = read_all(csv);
  ASSERT_EQ(a.size(), 2U);
  ASSERT_EQ(b.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(a[i].keys, b[i].keys);
    EXPECT_EQ(a[i].values, b[i].values);
    EXPECT_EQ(a[i].label, b[i].label);
    EXPECT_EQ(a[i].sequence_keys, b[i].sequence_keys);
  }
}

TEST_F(RowFormats, AWindowMayBeOverColumnsThatAreNoFeatures) {
  source_spec from = json(R"({"rating":5,"user":"u","item":"i","ms":1000,"shop":"a","paid":1})"
                          "\n"
                          R"({"rating":5,"user":"u","item":"i","ms":1001,"shop":"a","paid":0})"
                          "\n"
                          R"({"rating":5,"user":"u","item":"i","ms":1002,"shop":"a","paid":0})");
  from.time_column = "ms";
  from.time_format = "unix_ms";
  from.features.push_back(feature("sales", feature_kind::float_value));
  from.features.back().window =
      sliding_window{sliding_window::measure::count,
                     60'000,
                     {"shop"},
                     {},
                     label_spec{"paid", label_spec::comparison::greater, 0.0}};
  const auto all = read_all(from);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].values.back(), 0.0F);
  EXPECT_EQ(all[1].values.back(), 1.0F);
  EXPECT_EQ(all[2].values.back(), 1.0F);
}

// What `headrace generate` writes, and producers push.
TEST_F(RowFormats, AFileOfEventsIsOneOfRows) {
  generator_spec how;
  how.events = 500;
  event_generator generator(how);
  generated_event one;
  std::string content;
  std::vector<std::string> positions;
  while (generator.next(one)) {
    if (one.kind != generated_kind::impression) continue;
    append_json_event(one, how.seed, content);
    positions.push_back(std::to_string(one.position));
  }
  source_spec from = json(content);
  from.label = {"position", label_spec::comparison::less_equal, 3.0};
  from.features = {feature("position"), feature("price", feature_kind::float_value)};
  from.time_column = "time";
  from.time_format = "unix_ms";
  const auto all = read_all(from);
  ASSERT_EQ(all.size(), positions.size());
  for (std::size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(all[i].keys[0], id_key("position", positions[i]));
  EXPECT_GE(all[0].event_time_ms, how.start_ms);
}

TEST_F(RowFormats, CountsJsonLinesThatAreNoneByReason) {
  const std::string good = R"("user":"u","item":"i")";
  for (const auto& [line, reason, what] :
       std::vector<std::tuple<std::string, const char*, const char*>>{
           {"{" + good + R"(,"rating":5)", "malformed", "not JSON"},
           {"{" + good + R"(,"rating":5}})", "malformed", "behind the object"},
           {"{" + good + R"(,"rating":5} {})", "malformed", "behind the object"},
           {"[1]", "malformed", "no JSON object"},
           {"7", "malformed", "no JSON object"},
           {"user,item,5", "malformed", ""},
           {"{" + good + R"(,"rating":5,"user":"v"})", "malformed", "'user' is there twice"},
           {"{" + good + R"(,"rating":5,"features":{"user":"v"}})", "malformed", "twice"},
           {"{" + good + R"(,"rating":"five"})", "not_a_number", "five"},
           {"{" + good + "}", "not_a_number", "the label"},
           {"{" + good + R"(,"rating":1e999})", "not_finite", "1e999"},
           {"{" + good + R"(,"rating":05})", "malformed", ""},
           {"{" + good + R"(,"rating":tru})", "malformed", ""},
           {"{" + good + R"(,"rating":nul})", "malformed", ""},
           {"{" + good + R"(,"rating":[5]})", "wrong_type", "the label is a list"},
           {R"({"rating":5,"item":"i","user":["u"]})", "wrong_type", "'user' is a list"},
           {R"({"rating":5,"item":"i","user":{"a":1}})", "wrong_type", "'user' is an object"},
           {R"({"rating":5,"item":[[1]]})", "wrong_type", "a list of lists"},
           {"{\"rating\":5,\"item\":\"\xFF\"}", "malformed", "UTF"},
           {"{" + good + R"(,"rating":5,"more":")" + std::string(70'000, 'x') + "\"}",
            "too_long",
            ""},
           {std::string(30'000, '['), "malformed", ""}}) {
    const std::string found = problem(json(line + "\n"));
    EXPECT_THAT(found, testing::StartsWith(std::string(reason) + ": ")) << line.substr(0, 80);
    EXPECT_THAT(found, HasSubstr(what)) << line.substr(0, 80);
  }
}

TEST_F(RowFormats, ABadJsonLineSpoilsNoOther) {
  source_spec from = json("{\"rating\":5}\n{\"rating\":\n{\"rating\":4}\n\"}\n{\"rating\":1}\n");
  const auto source = open(from);
  EXPECT_EQ(read_all(*source).size(), 3U);
  EXPECT_EQ(source->bad().count(bad_row::malformed), 2U);
  EXPECT_EQ(source->position(), 5U);
  const auto again = open(from);
  ASSERT_TRUE(again->skip(3).ok());
  EXPECT_EQ(read_all(*again).size(), 1U);
}

TEST_F(RowFormats, ReadsLibsvmAsAListOfIndicesAndByIndex) {
  source_spec from =
      svm("+1 1:1 7:0.5 12:-2 # the first\n"
          "-1\tqid:3  2:1   7:0 0012:1e2\n"
          "\n"
          "0\n"
          "# nothing\n"
          "2.5 4294967296:1#no space\n");
  from.bad_rows_max = 1'000;
  from.features.push_back(feature("seventh", feature_kind::float_value, "7"));
  from.features.push_back(feature("twelfth", feature_kind::id, "12"));
  from.features.push_back(feature("group", feature_kind::id, "qid"));
  const auto source = open(from);
  const auto all = read_all(*source);
  ASSERT_EQ(all.size(), 4U) << source->bad().first();
  EXPECT_EQ(source->bad().count(bad_row::malformed), 1U) << "a row of a comment has no label";
  const auto word = [](const char* index) { return id_key("words", index); };
  EXPECT_THAT(all[0].sequence_keys, ElementsAre(word("1"), word("7"), word("12")));
  EXPECT_THAT(all[1].sequence_keys, ElementsAre(word("2"), word("12")));
  EXPECT_THAT(all[2].lengths, ElementsAre(0));
  EXPECT_THAT(all[3].sequence_keys, ElementsAre(word("4294967296")));
  EXPECT_THAT(all[0].values, ElementsAre(0.5F, 1.0F, 1.0F));
  EXPECT_THAT(all[2].values, ElementsAre(0.0F, 1.0F, 1.0F)) << "what is not there is 0";
  EXPECT_EQ(all[0].keys[1], id_key("twelfth", "-2"));
  EXPECT_EQ(all[1].keys[1], id_key("twelfth", "1e2"));
  EXPECT_EQ(all[2].keys[1], id_key("twelfth", "0"));
  EXPECT_EQ(all[1].keys[2], id_key("group", "3"));
  EXPECT_EQ(all[0].keys[2], all[2].keys[2]) << "no group";
  EXPECT_EQ(all[0].label, 1.0F);
  EXPECT_EQ(all[1].label, 0.0F);
  EXPECT_EQ(all[2].label, 0.0F);
  EXPECT_EQ(all[3].label, 1.0F);
}

TEST_F(RowFormats, CountsLibsvmRowsThatAreNoneByReason) {
  for (const auto& [line, reason, what] :
       std::vector<std::tuple<std::string, const char*, const char*>>{
           {"1:1 2:1", "malformed", "'1:1' stands where the label should"},
           {"1 2", "malformed", "'2' is no index:value"},
           {"1 a:2", "malformed", "whole number"},
           {"1 -1:2", "malformed", "whole number"},
           {"1 1.5:2", "malformed", "whole number"},
           {"1 18446744073709551616:2", "malformed", "whole number"},
           {"1 2:1 qid:3", "malformed", "'qid:3'"},
           {"1 2:1 2:3", "malformed", "index 2 is there twice"},
           {"1 2:1 02:3", "malformed", "index 2 is there twice"},
           {"1 2:x", "not_a_number", "the value of index 2"},
           {"1 2:", "not_a_number", "the value of index 2"},
           {"1 2:inf", "not_finite", "the value of index 2"},
           {"yes 2:1", "not_a_number", "the label"},
           {"nan 2:1", "not_finite", "the label"}}) {
    const std::string found = problem(svm(line + "\n"));
    EXPECT_THAT(found, testing::StartsWith(std::string(reason) + ": ")) << line;
    EXPECT_THAT(found, HasSubstr(what)) << line;
  }
}

TEST_F(RowFormats, RefusesAColumnThatLibsvmHasNot) {
  source_spec from = svm("1 2:1\n");
  from.features.push_back(feature("user"));
  const auto made = make_source(from);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, errc::bad_config);
  EXPECT_THAT(made.error().detail, HasSubstr("no column 'user'"));
}

/// Standard input is a file for as long as one of these lives.
class piped {
 public:
  explicit piped(const std::string& content) : kept_(dup(STDIN_FILENO)) {
    FILE* file = std::tmpfile();
    std::fwrite(content.data(), 1, content.size(), file);
    std::fflush(file);
    lseek(fileno(file), 0, SEEK_SET);
    dup2(fileno(file), STDIN_FILENO);
    std::fclose(file);
  }
  ~piped() {
    dup2(kept_, STDIN_FILENO);
    close(kept_);
  }
  piped(const piped&) = delete;
  piped& operator=(const piped&) = delete;

 private:
  int kept_;
};

TEST_F(RowFormats, ReadsStandardInputOnceAndGoesOnWhereItIsPipedInAgain) {
  const std::string content =
      "{\"rating\":5,\"user\":\"a\"}\n{\"rating\":5,\"user\":\"b\"}\n{\"rating\":1,\"user\":\"c\"}"
      "\n";
  source_spec from = json(content);
  from.uri = "-";
  {
    const piped input(content);
    const auto source = open(from);
    EXPECT_EQ(*source->count_records(), endless_records);
    EXPECT_FALSE(source->live());
    EXPECT_EQ(read_all(*source).size(), 3U);
  }
  {
    const piped input(content);
    const auto source = open(from);
    ASSERT_TRUE(source->skip(2).ok());
    const auto rest = read_all(*source);
    ASSERT_EQ(rest.size(), 1U);
    EXPECT_EQ(rest[0].keys[0], id_key("user", "c"));
    EXPECT_EQ(rest[0].row_number, 2U);
  }
  const piped input("");
  const auto skipped = open(from)->skip(2);
  ASSERT_FALSE(skipped.ok());
  EXPECT_THAT(skipped.error().detail, HasSubstr("pipe the same in again"));
}

TEST_F(RowFormats, ReadsADelimitedHeaderFromStandardInput) {
  source_spec from = json("");
  from.format = row_format::delimited;
  from.uri = "stdin:";
  {
    const piped input("user,item,rating\nu,i,5\nv,j,1\n");
    EXPECT_EQ(read_all(from).size(), 2U);
  }
  {
    from.columns = {"user", "item", "rating"};
    from.header = false;
    const piped input("u,i,5\nv,j,1\n");
    EXPECT_EQ(read_all(from).size(), 2U);
  }
  from.columns.clear();
  const piped input("u,i,5\n");
  const auto made = make_source(from);
  ASSERT_FALSE(made.ok());
  EXPECT_THAT(made.error().detail, HasSubstr("give source.columns"));
}

}  // namespace
}  // namespace headrace::worker
