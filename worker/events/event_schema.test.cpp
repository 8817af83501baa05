#include "worker/events/event_schema.hpp"

#include "base/random.hpp"
#include "schemas/hash.hpp"
#include "tests/support/made_batch.hpp"
#include "worker/ingest/row_parser.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

namespace headrace::worker {
namespace {

using schemas::event_fault;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using tests::made_batch;

feature_spec feature(const std::string& name, feature_kind kind = feature_kind::id) {
  feature_spec made;
  made.name = name;
  made.kind = kind;
  return made;
}

source_spec source_of(std::vector<feature_spec> features) {
  source_spec source;
  source.label = {"rating", label_spec::comparison::greater_equal, 4.0};
  source.features = std::move(features);
  return source;
}

event_schema bound(const source_spec& source, const std::vector<std::string>& actions = {}) {
  auto made = event_schema::bind(source, actions);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : describe(made.error()));
  return std::move(*made);
}

std::uint64_t id_key(std::string_view salt, std::string_view text) {
  return schemas::hash_string_key(salt, text).value;
}

// The last event of a batch as a sample, or what is wrong with it.
struct outcome {
  event made;
  event_schema::problem wrong;
};
outcome of_last(const event_schema& schema, const made_batch& batch) {
  outcome found;
  const std::size_t last = batch.batch.events.size() - 1;
  const auto known = schema.look_up(batch.batch);
  if (auto wrong = schema.check(batch.batch, known, last)) {
    found.wrong = std::move(*wrong);
  } else {
    schema.parse(batch.batch, known, last, found.made);
  }
  return found;
}

TEST(EventSchema, MakesASampleOfTheColumnsTheJobNames) {
  const auto schema = bound(source_of({feature("user"), feature("item")}));
  made_batch batch;
  batch.event("e", "k", 42).integer("item", 13).text("user", "u7").text("other", "x");
  batch.integer("rating", 5);
  const outcome found = of_last(schema, batch);
  EXPECT_EQ(found.wrong.fault, event_fault::none) << found.wrong.detail;
  EXPECT_EQ(found.made.label, 1.0F);
  EXPECT_EQ(found.made.event_time_ms, 42U);
  EXPECT_THAT(found.made.keys, ElementsAre(id_key("user", "u7"), id_key("item", "13")));
  EXPECT_THAT(found.made.values, IsEmpty());
}

TEST(EventSchema, AMissingColumnIsTheMissingIdAndAMissingListIsEmpty) {
  const auto schema = bound(source_of({feature("user"),
                                       feature("price", feature_kind::float_value),
                                       feature("seen", feature_kind::ids)}));
  made_batch batch;
  batch.event("e").number("rating", 3.0);
  const outcome found = of_last(schema, batch);
  EXPECT_EQ(found.made.label, 0.0F);
  EXPECT_THAT(found.made.keys,
              ElementsAre(schemas::missing_key("user").value, schemas::missing_key("price").value));
  EXPECT_THAT(found.made.values, ElementsAre(1.0F, 1.0F));
  EXPECT_THAT(found.made.lengths, ElementsAre(0));
}

TEST(EventSchema, NumbersOfAllFormsAreOneNumber) {
  const auto schema = bound(source_of({feature("price", feature_kind::float_value)}));
  made_batch batch;
  batch.event("a").number("price", 3.0).number("rating", 4.0);
  const event as_number = of_last(schema, batch).made;
  batch.event("b").integer("price", 3).integer("rating", 4);
  const event as_integer = of_last(schema, batch).made;
  batch.event("c").text("price", " 3.0").text("rating", "+4");
  const event as_text = of_last(schema, batch).made;
  EXPECT_THAT(as_number.values, ElementsAre(3.0F));
  for (const event& other : {as_integer, as_text}) {
    EXPECT_EQ(other.label, 1.0F);
    EXPECT_EQ(other.values, as_number.values);
    EXPECT_EQ(other.keys, as_number.keys);
  }
}

// JSON's -0 is the integer 0; a file's is a number with a sign, and 1e-60 of one is 0 as a float.
TEST(EventSchema, ZeroHasNoSign) {
  feature_spec logarithm = feature("log", feature_kind::float_value);
  logarithm.column = "price";
  logarithm.transforms = {transform::log1p};
  const auto schema = bound(source_of({feature("price", feature_kind::float_value), logarithm}));
  made_batch batch;
  for (const char* zero : {"0", "-0", "-0.0", "-1e-60"}) {
    batch.event(zero).text("price", zero).integer("rating", 4);
    for (const float value : of_last(schema, batch).made.values) {
      EXPECT_EQ(value, 0.0F) << zero;
      EXPECT_FALSE(std::signbit(value)) << zero;
    }
  }
}

TEST(EventSchema, ListsComeAsTextsOneTextOrOneInteger) {
  feature_spec seen = feature("seen", feature_kind::ids);
  seen.list_separator = "|";
  seen.list_max = 2;
  const auto schema = bound(source_of({feature("user"), seen}));
  made_batch batch;
  batch.event("a").integer("rating", 1).texts("seen", {"i1", "", "i2", "i3"});
  EXPECT_THAT(of_last(schema, batch).made.sequence_keys,
              ElementsAre(id_key("seen", "i2"), id_key("seen", "i3")));
  batch.event("b").integer("rating", 1).text("seen", "i1||i2|i3");
  EXPECT_THAT(of_last(schema, batch).made.sequence_keys,
              ElementsAre(id_key("seen", "i2"), id_key("seen", "i3")));
  batch.event("c").integer("rating", 1).integer("seen", -7);
  EXPECT_THAT(of_last(schema, batch).made.sequence_keys, ElementsAre(id_key("seen", "-7")));
  EXPECT_THAT(of_last(schema, batch).made.lengths, ElementsAre(1));
}

TEST(EventSchema, OneColumnMayBeSeveralFeaturesAndTheLabel) {
  feature_spec again = feature("rating_id");
  again.column = "rating";
  const auto schema = bound(source_of({feature("rating"), again}));
  made_batch batch;
  batch.event("a").text("rating", "5");
  EXPECT_THAT(of_last(schema, batch).made.keys,
              ElementsAre(id_key("rating", "5"), id_key("rating_id", "5")));
}

TEST(EventSchema, RefusesWhatAColumnCannotBe) {
  feature_spec tiny = feature("tiny", feature_kind::float_value);
  tiny.transforms = {transform::bucket};
  tiny.bucket_width = 1e-300;
  const auto schema = bound(source_of({feature("user"),
                                       feature("price", feature_kind::float_value),
                                       feature("seen", feature_kind::ids),
                                       tiny}));
  struct bad_case {
    event_fault fault;
    std::string detail;
    std::function<void(made_batch&)> add;
  };
  const double infinite = std::numeric_limits<double>::infinity();
  const std::vector<bad_case> cases{
      {event_fault::wrong_type,
       "price: a finite number is needed, this is the text 'cheap'",
       [](made_batch& to) { to.text("price", "cheap"); }},
      {event_fault::wrong_type, "price: ", [](made_batch& to) { to.texts("price", {"1"}); }},
      {event_fault::not_finite, "price: ", [](made_batch& to) { to.text("price", "inf"); }},
      {event_fault::not_finite, "price: ", [&](made_batch& to) { to.number("price", infinite); }},
      {event_fault::not_finite, "price: ", [](made_batch& to) { to.number("price", 1e39); }},
      {event_fault::not_finite, "tiny: ", [](made_batch& to) { to.integer("tiny", INT64_MAX); }},
      {event_fault::wrong_type,
       "user: a text or an integer is needed, this is the number 1.500000",
       [](made_batch& to) { to.number("user", 1.5); }},
      {event_fault::wrong_type,
       "user: a text or an integer is needed, this is a list of 2",
       [](made_batch& to) {
         to.texts("user", {"a", "b"});
       }},
      {event_fault::wrong_type, "seen: ", [](made_batch& to) { to.number("seen", 1.5); }},
      {event_fault::malformed,
       "user: it is there twice",
       [](made_batch& to) { to.text("user", "a").text("user", "b"); }},
  };
  for (const bad_case& each : cases) {
    made_batch batch;
    batch.event("a").integer("rating", 1);
    each.add(batch);
    const outcome found = of_last(schema, batch);
    EXPECT_EQ(found.wrong.fault, each.fault) << each.detail;
    EXPECT_THAT(found.wrong.detail, HasSubstr(each.detail));
  }
}

TEST(EventSchema, TextsAreCleanForWhateverReadsThem) {
  source_spec source = source_of({feature("body"), feature("words", feature_kind::ids)});
  source.features[1].column = "body";
  for (const char* column : {"title", "body", "none"}) source.texts.emplace_back().column = column;
  const event_schema schema = bound(source);
  made_batch batch;
  batch.event("e").text("body", "\t so \xC2\xAD it  is ").integer("title", -7);
  batch.number("rating", 4.0);
  const auto known = schema.look_up(batch.batch);
  ASSERT_FALSE(schema.check(batch.batch, known, 0));
  std::vector<std::string> texts;
  schema.clean_texts(batch.batch, known, 0, texts);
  EXPECT_THAT(texts, ElementsAre("-7", "so it is", ""));
  ASSERT_FALSE(schema.check(batch.batch, known, 0));
  event made;
  schema.parse(batch.batch, known, 0, made);
  EXPECT_THAT(made.keys, ElementsAre(id_key("body", "so it is")));
  EXPECT_THAT(made.sequence_keys,
              ElementsAre(id_key("words", "so"), id_key("words", "it"), id_key("words", "is")));
  made_batch list;
  list.event("e").texts("body", {"so", "it"}).number("rating", 4.0);
  EXPECT_EQ(of_last(schema, list).wrong.fault, event_fault::wrong_type);
  made_batch number;
  number.event("e").number("title", 7.0).number("rating", 4.0);
  EXPECT_EQ(of_last(schema, number).wrong.fault, event_fault::wrong_type);
}

TEST(EventSchema, TheLabelMustBeThereAndBeANumber) {
  const auto schema = bound(source_of({feature("user")}));
  made_batch batch;
  batch.event("a").text("user", "u");
  EXPECT_EQ(of_last(schema, batch).wrong.fault, event_fault::missing_field);
  EXPECT_EQ(of_last(schema, batch).wrong.detail, "rating: a number is needed, it is the label");
  batch.event("b").text("rating", " ");
  EXPECT_EQ(of_last(schema, batch).wrong.fault, event_fault::missing_field);
  batch.event("c").text("rating", "good");
  EXPECT_EQ(of_last(schema, batch).wrong.fault, event_fault::wrong_type);
  batch.event("d").text("rating", "nan");
  EXPECT_EQ(of_last(schema, batch).wrong.fault, event_fault::not_finite);
}

TEST(EventSchema, AJobThatJoinsHasActionsForLabels) {
  const auto schema = bound(source_of({feature("user")}), {"click", "buy"});
  EXPECT_TRUE(schema.joins());
  EXPECT_EQ(schema.labels(), 2U);
  made_batch batch;
  batch.event("a", "k").text("user", "u");  // no rating
  const outcome found = of_last(schema, batch);
  EXPECT_EQ(found.wrong.fault, event_fault::none) << found.wrong.detail;
  EXPECT_EQ(found.made.label, 0.0F);
  EXPECT_THAT(found.made.more_labels, ElementsAre(0.0F));
  const auto kind = [&](const char* action) {
    batch.event("b", "k").action(action).texts("user", {"any"});
    const auto known = schema.look_up(batch.batch);
    const std::size_t last = batch.batch.events.size() - 1;
    const auto wrong = schema.check(batch.batch, known, last);
    EXPECT_EQ(wrong.has_value(), schema.action_of(batch.batch, known, last) < 0);
    return schema.action_of(batch.batch, known, last);
  };
  EXPECT_EQ(kind("buy"), 1);
  EXPECT_EQ(kind("click"), 0);
  EXPECT_EQ(kind("user"), -1) << "a column is no action";
  EXPECT_EQ(schema.action_of(batch.batch, schema.look_up(batch.batch), 0), -1) << "an impression";
}

TEST(EventSchema, RefusesColumnsByNumberAndActionsThatAreThereTwice) {
  feature_spec by_number = feature("user");
  by_number.column = "3";
  const auto numbered = event_schema::bind(source_of({by_number}));
  ASSERT_FALSE(numbered.ok());
  EXPECT_EQ(numbered.error().code, errc::bad_config);
  EXPECT_THAT(numbered.error().detail, HasSubstr("column 3 for feature 'user'"));
  EXPECT_FALSE(event_schema::bind(source_of({feature("user")}), {"click", "click"}).ok());
}

TEST(EventSchema, TakesMoreColumnsThanItKeepsWithoutMemory) {
  std::vector<feature_spec> features;
  made_batch batch;
  batch.event("a").integer("rating", 5);
  for (int f = 0; f < 100; ++f) {
    features.push_back(feature("c" + std::to_string(f)));
    batch.integer("c" + std::to_string(99 - f), 99 - f);
  }
  const auto found = of_last(bound(source_of(features)), batch);
  for (std::size_t f = 0; f < 100; ++f)
    EXPECT_EQ(found.made.keys[f], id_key("c" + std::to_string(f), std::to_string(f)));
}

// A job of random features over a handful of columns.
source_spec random_source(random_stream& random) {
  std::vector<feature_spec> features;
  const std::uint64_t count = 1 + random.next_below(6);
  for (std::uint64_t f = 0; f < count; ++f) {
    feature_spec made = feature("f" + std::to_string(f));
    made.column = "c" + std::to_string(random.next_below(5));
    made.kind = static_cast<feature_kind>(random.next_below(3));
    if (random.next_below(3) == 0) made.salt = "shared";
    if (made.kind == feature_kind::float_value && random.next_below(2) == 0)
      made.transforms.push_back(transform::log1p);
    if (made.kind == feature_kind::float_value && random.next_below(2) == 0) {
      made.transforms.push_back(transform::bucket);
      made.bucket_width = random.next_below(2) == 0 ? 0.25 : 1e-305;
    }
    made.list_separator = random.next_below(2) == 0 ? " " : "::";
    made.list_max = 1 + static_cast<std::uint32_t>(random.next_below(4));
    made.list_held_out = static_cast<std::uint32_t>(random.next_below(3));
    features.push_back(made);
  }
  source_spec source = source_of(std::move(features));
  if (random.next_below(2) == 0)
    source.more_labels.push_back({"c0", label_spec::comparison::less, 10.0});
  source.time_column = "time";
  source.time_format = "unix_ms";
  return source;
}

std::string random_text(random_stream& random) {
  static const std::vector<std::string> texts{"",
                                              " ",
                                              "x",
                                              "u 7 13",
                                              "a::b",
                                              "7::8::9::10",
                                              "1e39",
                                              "1e-400",
                                              "nan",
                                              "inf",
                                              "+3",
                                              " 4",
                                              "-0.25",
                                              "12",
                                              "0",
                                              "-17",
                                              "é",
                                              "1e400",
                                              "5   6"};
  return texts[random.next_below(texts.size())];
}

// What one column of a row is, as the file's text and as a field of the event.
std::string add_column(random_stream& random, const std::string& name, made_batch& to) {
  if (random.next_below(6) == 0) return "";  // not there at all
  if (random.next_below(3) > 0) {
    const std::string text = random_text(random);
    to.text(name, text);
    return text;
  }
  const auto value = static_cast<std::int64_t>(random.next()) >> random.next_below(64);
  to.integer(name, value);
  return std::to_string(value);
}

void compare_with_rows(std::uint64_t seed, int& made_of_both) {
  random_stream random(seed);
  const source_spec source = random_source(random);
  const std::vector<std::string> columns{"time", "rating", "c0", "c1", "c2", "c3", "c4"};
  const auto parser = row_parser::bind(source, columns, columns.size(), "rows.csv");
  ASSERT_TRUE(parser.ok()) << describe(parser.error());
  const event_schema schema = bound(source);
  EXPECT_EQ(schema.features(), parser->features());
  for (int row = 0; row < 50; ++row) {
    made_batch batch;
    const std::uint64_t time_ms = random.next_below(1'000'000);
    batch.event("e", "k", time_ms);
    std::vector<std::string> texts{std::to_string(time_ms)};
    for (std::size_t c = 1; c < columns.size(); ++c)
      texts.push_back(add_column(random, columns[c], batch));
    const std::vector<std::string_view> fields(texts.begin(), texts.end());
    event of_row;
    const bool row_is_good = !parser->parse(fields, of_row).has_value();
    const outcome found = of_last(schema, batch);
    ASSERT_EQ(found.wrong.fault == event_fault::none, row_is_good)
        << "seed " << seed << " row " << row << " " << found.wrong.detail;
    if (!row_is_good) continue;
    ++made_of_both;
    EXPECT_EQ(found.made.label, of_row.label) << "seed " << seed;
    EXPECT_EQ(found.made.more_labels, of_row.more_labels) << "seed " << seed;
    EXPECT_EQ(found.made.keys, of_row.keys) << "seed " << seed;
    EXPECT_EQ(found.made.values, of_row.values) << "seed " << seed;
    EXPECT_EQ(found.made.lengths, of_row.lengths) << "seed " << seed;
    EXPECT_EQ(found.made.sequence_keys, of_row.sequence_keys) << "seed " << seed;
    EXPECT_EQ(found.made.event_time_ms, of_row.event_time_ms) << "seed " << seed;
  }
}

TEST(EventSchema, RowsOfAFileAndTheSameEventsAreTheSameSamples) {
  int made_of_both = 0;
  for (std::uint64_t seed = 1; seed <= 400 && !testing::Test::HasFailure(); ++seed)
    compare_with_rows(seed, made_of_both);
  EXPECT_GT(made_of_both, 2'000);
}

}  // namespace
}  // namespace headrace::worker
