#include "worker/events/event_json.hpp"

#include "base/json_line.hpp"
#include "base/random.hpp"
#include "schemas/example_messages.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

using schemas::event_batch;
using schemas::event_batch_builder;
using schemas::event_fault;
using schemas::event_refusal;
using schemas::field_kind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// What one text was read as.
struct reading {
  event_batch_builder builder;
  std::vector<event_refusal> refused;
  result<void> done;

  const event_batch& batch() const { return builder.batch(); }
  std::size_t events() const { return builder.events(); }
  std::span<const schemas::event_field> fields(std::size_t event = 0) const {
    return batch().fields_of(batch().events.at(event));
  }
};

reading read(std::string_view text, event_json_reader::read_options how = {}) {
  reading got;
  how.now_ms = how.now_ms == 0 ? 42 : how.now_ms;
  event_json_reader reader;
  got.builder.begin("");
  got.done = reader.read(text, how, got.builder, got.refused);
  // What was read is a batch that every decoder takes.
  const auto sent = schemas::decode_event_batch(got.builder.finish());
  EXPECT_TRUE(sent.ok()) << describe(sent.error());
  EXPECT_TRUE(sent.ok() && schemas::example::same(*sent, got.batch()));
  return got;
}

/// Of a text of one event that is refused.
event_refusal refusal(std::string_view text, const event_json_reader::read_options& how = {}) {
  const reading got = read(text, how);
  EXPECT_TRUE(got.done.ok()) << describe(got.done.error());
  EXPECT_EQ(got.events(), 0U) << text;
  EXPECT_THAT(got.batch().names, IsEmpty());
  EXPECT_EQ(got.refused.size(), 1U) << text;
  return got.refused.empty() ? event_refusal{} : got.refused[0];
}

void expect_refused(std::string_view text, event_fault fault, const std::string& why) {
  SCOPED_TRACE(std::string(text.substr(0, 200)));
  const event_refusal got = refusal(text);
  EXPECT_EQ(name(got.fault), name(fault));
  EXPECT_THAT(got.detail, HasSubstr(why));
}

/// A text of which nothing can be taken.
void expect_failed(std::string_view text, errc code, const std::string& why) {
  SCOPED_TRACE(std::string(text.substr(0, 200)));
  const reading got = read(text);
  ASSERT_FALSE(got.done.ok());
  EXPECT_EQ(got.done.error().code, code);
  EXPECT_THAT(got.done.error().detail, HasSubstr(why));
  EXPECT_EQ(got.events(), 0U);
  EXPECT_THAT(got.batch().names, IsEmpty());
  EXPECT_THAT(got.refused, IsEmpty());
}

TEST(EventJson, ReadsTheFormsOfItsHeader) {
  const reading got = read(
      R"({"id":"e1","key":"r7","time":"2026-11-27T10:00:00Z","features":{"user":"u7","item":13,
      "price":3.5,"seen":["i1","i2"]},"rating":5})");
  ASSERT_TRUE(got.done.ok()) << describe(got.done.error());
  EXPECT_THAT(got.refused, IsEmpty());
  ASSERT_EQ(got.events(), 1U);
  const auto& event = got.batch().events[0];
  EXPECT_EQ(event.id, "e1");
  EXPECT_EQ(event.key, "r7");
  EXPECT_EQ(event.time_ms, 1'795'773'600'000U);
  EXPECT_EQ(event.kind, schemas::event_kind::impression);
  EXPECT_THAT(got.batch().names, ElementsAre("user", "item", "price", "seen", "rating"));
  const auto fields = got.fields();
  ASSERT_EQ(fields.size(), 5U);
  EXPECT_EQ(fields[0].text, "u7");
  EXPECT_EQ(fields[1].integer, 13);
  EXPECT_EQ(fields[2].number, 3.5);
  EXPECT_THAT(got.batch().texts_of(fields[3]), ElementsAre("i1", "i2"));
  EXPECT_EQ(fields[4].integer, 5);

  const reading action = read(R"({"id":"e2","key":"r7","time":1764237600123,"action":"click"})");
  ASSERT_EQ(action.events(), 1U);
  EXPECT_EQ(action.batch().events[0].kind, schemas::event_kind::action);
  EXPECT_EQ(action.batch().names[action.batch().events[0].action], "click");
  EXPECT_EQ(action.batch().events[0].time_ms, 1'764'237'600'123U);
  EXPECT_EQ(action.batch().events[0].fields_count, 0U);
}

TEST(EventJson, ReadsListsLinesAndEnvelopes) {
  const std::string one = R"({"id":"a","x":1})";
  const std::string two = R"({"id":"b","x":2})";
  const std::string three = R"({"id":"c","x":3})";
  for (const std::string& text : {
           "[" + one + "," + two + ",\n" + three + "]",
           " \n[ " + one + " , " + two + "," + three + " ]\r\n",
           one + "\n" + two + "\n" + three,
           one + "\r\n\r\n  " + two + " \n\n" + three + "\n\n",
           "\xEF\xBB\xBF" + one + "\n" + two + "\n" + three,
           "{\"events\":[" + one + "," + two + "," + three + "]}",
           "{\n  \"events\": [\n" + one + ",\n" + two + ",\n" + three + "\n]\n}\n",
           "{\"producer\":\"shop\",\"events\":[" + one + "," + two + "," + three +
               "],\"schema_version\":3}",
       }) {
    SCOPED_TRACE(text);
    const reading got = read(text);
    ASSERT_TRUE(got.done.ok()) << describe(got.done.error());
    EXPECT_THAT(got.refused, IsEmpty());
    ASSERT_EQ(got.events(), 3U);
    EXPECT_EQ(got.batch().events[1].id, "b");
    EXPECT_EQ(got.fields(2)[0].integer, 3);
    EXPECT_EQ(got.batch().events[0].time_ms, 42U) << "the time of arrival";
    const bool named = text.find("shop") != std::string::npos;
    EXPECT_EQ(got.batch().producer, named ? "shop" : "");
    EXPECT_EQ(got.batch().schema_version, named ? 3U : 1U);
  }
  EXPECT_EQ(read("{\n  \"id\": \"a\",\n  \"x\":\n{}\n}").refused.size(), 1U) << "one of four lines";
  EXPECT_EQ(read("[]").events(), 0U);
  EXPECT_TRUE(read("[]").done.ok());
  EXPECT_TRUE(read("{\"events\":[]}").done.ok());
  EXPECT_EQ(read("{}").events(), 1U);
}

TEST(EventJson, AProducerThatIsKnownAlreadyStays) {
  event_json_reader reader;
  event_batch_builder builder;
  builder.begin("by token");
  std::vector<event_refusal> refused;
  const auto done = reader.read(R"({"producer":"other","events":[{}]})", {}, builder, refused);
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(builder.batch().producer, "by token");
}

TEST(EventJson, NoMoreRefusalsAreToldThanAskedFor) {
  event_json_reader reader;
  event_batch_builder builder;
  builder.begin("");
  std::vector<event_refusal> refused;
  event_json_reader::read_options how;
  how.told_max = 2;
  ASSERT_TRUE(reader.read("[1,{},2,3,4]", how, builder, refused).ok());
  ASSERT_EQ(refused.size(), 2U);
  EXPECT_EQ(refused[1].event, 2U);
  EXPECT_EQ(reader.refused(), 4U);
  ASSERT_FALSE(reader.read("[1,", how, builder, refused).ok());
  EXPECT_EQ(refused.size(), 2U);
  EXPECT_EQ(reader.refused(), 0U) << "nothing is told of what cannot be read";
}

TEST(EventJson, AColumnCalledEventsIsAColumn) {
  const reading got = read(R"({"id":"e","events":["a","b"],"features":{"producer":"p"}})");
  ASSERT_EQ(got.events(), 1U);
  EXPECT_THAT(got.batch().names, ElementsAre("events", "producer"));
}

TEST(EventJson, WholeNumbersKeepTheirDigits) {
  const reading got = read(
      R"({"a":9007199254740993,"b":9223372036854775807,"c":-9223372036854775808,
      "d":9223372036854775808,"e":18446744073709551615,"f":123456789012345678901234567890,
      "g":[18446744073709551615,-1,1.50,"x"],"h":-0,"i":1.0,"j":1e3})");
  ASSERT_EQ(got.events(), 1U) << got.refused.at(0).detail;
  const auto fields = got.fields();
  EXPECT_EQ(fields[0].integer, 9'007'199'254'740'993);
  EXPECT_EQ(fields[1].integer, INT64_MAX);
  EXPECT_EQ(fields[2].integer, INT64_MIN);
  EXPECT_EQ(fields[3].kind, field_kind::text);
  EXPECT_EQ(fields[3].text, "9223372036854775808");
  EXPECT_EQ(fields[4].text, "18446744073709551615");
  EXPECT_EQ(fields[5].text, "123456789012345678901234567890");
  EXPECT_THAT(got.batch().texts_of(fields[6]),
              ElementsAre("18446744073709551615", "-1", "1.50", "x"));
  EXPECT_EQ(fields[7].kind, field_kind::integer);
  EXPECT_EQ(fields[8].kind, field_kind::number);
  EXPECT_EQ(fields[9].number, 1'000.0);
  const reading ids = read(R"({"id":18446744073709551615,"key":-7})");
  EXPECT_EQ(ids.batch().events[0].id, "18446744073709551615");
  EXPECT_EQ(ids.batch().events[0].key, "-7");
}

TEST(EventJson, NullIsAsIfTheMemberWereNotThere) {
  const reading got = read(
      R"({"id":null,"key":null,"time":null,"action":null,"features":null,"schema_version":null,
      "x":null,"seen":["a",null,"b"]})");
  ASSERT_EQ(got.events(), 1U);
  EXPECT_EQ(got.batch().events[0].kind, schemas::event_kind::impression);
  EXPECT_THAT(got.batch().names, ElementsAre("seen"));
  EXPECT_THAT(got.batch().texts_of(got.fields()[0]), ElementsAre("a", "b"));
}

TEST(EventJson, TrueAndFalseAreOneAndZero) {
  const reading got = read(R"({"a":true,"b":false})");
  ASSERT_EQ(got.events(), 1U);
  EXPECT_EQ(got.fields()[0].integer, 1);
  EXPECT_EQ(got.fields()[1].integer, 0);
  EXPECT_EQ(got.fields()[1].kind, field_kind::integer);
}

TEST(EventJson, EscapesAreResolved) {
  const reading got = read(R"({"\u0061":"\u00e4\ud83d\ude00\n\u0000\"","b":"\\u0061"})");
  ASSERT_EQ(got.events(), 1U);
  EXPECT_THAT(got.batch().names, ElementsAre("a", "b"));
  EXPECT_EQ(got.fields()[0].text, std::string_view("\xC3\xA4\xF0\x9F\x98\x80\n\0\"", 9));
  EXPECT_EQ(got.fields()[1].text, "\\u0061");
}

TEST(EventJson, TimesWithOffsetsAndFractions) {
  const auto ms = [](const std::string& time) {
    const reading got = read("{\"time\":" + time + "}");
    return got.events() == 1 ? got.batch().events[0].time_ms : 0;
  };
  EXPECT_EQ(ms("1764237600123"), 1'764'237'600'123U);
  EXPECT_EQ(ms("1764237600123.9"), 1'764'237'600'123U);
  EXPECT_EQ(ms("1.764237600123e12"), 1'764'237'600'123U);
  EXPECT_EQ(ms("\"2025-11-27T10:00:00Z\""), 1'764'237'600'000U);
  EXPECT_EQ(ms("\"2025-11-27T10:00:00.123456Z\""), 1'764'237'600'123U);
  EXPECT_EQ(ms("\"2025-11-27T11:30:00+01:30\""), 1'764'237'600'000U);
  EXPECT_EQ(ms("\"2025-11-27T02:00:00.5-08:00\""), 1'764'237'600'500U);
}

TEST(EventJson, TimesThatAreNoneAreRefused) {
  for (const char* time : {"-1",
                           "1e300",
                           "\"\"",
                           "\"yesterday\"",
                           "\"2025-11-27T10:00:00\"",
                           "\"2025-02-30T10:00:00Z\"",
                           "\"1969-12-31T23:59:59Z\"",
                           "\"2025-11-27T10:00:00Zx\"",
                           "\"1764237600123\""}) {
    expect_refused("{\"time\":" + std::string(time) + "}", event_fault::bad_time, "time: '");
  }
  expect_refused(R"({"time":true})", event_fault::wrong_type, "time: a number of milliseconds");
  expect_refused(R"({"time":{"ms":1}})", event_fault::wrong_type, "this is an object");
}

TEST(EventJson, EveryRefusalNamesItsField) {
  const auto wrong = event_fault::wrong_type;
  const auto malformed = event_fault::malformed;
  expect_refused(
      R"({"id":1.5})", wrong, "id: a text or a whole number is needed, this is a number");
  expect_refused(
      R"({"id":["a"]})", wrong, "id: a text or a whole number is needed, this is a list");
  expect_refused(R"({"key":true})", wrong, "key: a text or a whole number");
  expect_refused(R"({"action":1})", wrong, "action: a text is needed, this is a number");
  expect_refused(R"({"action":""})", malformed, "action: the text is empty");
  expect_refused(R"({"features":[]})", wrong, "features: an object is needed, this is a list");
  expect_refused(R"({"schema_version":"1"})", wrong, "schema_version: a whole number below 2^32");
  expect_refused(R"({"schema_version":4294967296})", wrong, "schema_version: a whole number");
  expect_refused(R"({"price":{"eur":1}})", wrong, "price: a text, a number, true, false or a list");
  expect_refused(R"({"features":{"price":{}}})", wrong, "price: a text, a number");
  expect_refused(R"({"seen":[["a"]]})", wrong, "seen: a list of texts and numbers is needed");
  expect_refused(R"({"seen":["a",true]})", wrong, "this is true or false");
  expect_refused(R"({"":1})", malformed, "a column needs a name");
  expect_refused(R"({"price":1e999})", event_fault::not_finite, "price: '1e999' fits no");
  expect_refused(R"({"price":-1e999})", event_fault::not_finite, "price: '-1e999'");
  expect_refused(R"({"price":01})", malformed, "price: ");
  expect_refused(R"({"price":1.x})", malformed, "price: ");
  expect_refused(R"({"price":tru})", malformed, "price: ");
  expect_refused(R"({"price":"\ud800"})", malformed, "price: ");
  expect_refused(R"({"price":"\udc00"})", malformed, "price: ");
  expect_refused(R"({"price":"\x"})", malformed, "price: ");
}

TEST(EventJson, AMemberThatIsThereTwiceIsRefused) {
  for (const char* text : {R"({"id":"a","id":"b"})",
                           R"({"key":null,"key":"b"})",
                           R"({"time":1,"time":1})",
                           R"({"action":"a","action":"a"})",
                           R"({"features":{},"features":{}})",
                           R"({"x":1,"x":1})",
                           R"({"x":1,"features":{"x":1}})",
                           R"({"x":null,"x":1})",
                           R"({"x":1,"x":null})",
                           R"({"x":null,"x":null})",
                           R"({"x":1,"\u0078":1})",
                           R"({"schema_version":1,"schema_version":1})"}) {
    expect_refused(text, event_fault::malformed, "the member is there twice");
  }
  // Of two events each has it once.
  EXPECT_EQ(read(R"([{"x":1,"id":"a"},{"x":1,"id":"b"}])").events(), 2U);
}

std::string quoted(std::size_t bytes) { return '"' + std::string(bytes, 'x') + '"'; }

TEST(EventJson, EveryBoundIsKept) {
  const auto fits = [](const std::string& text) {
    event_json_reader::read_options how;
    how.event_bytes_max = 1 << 20;
    EXPECT_EQ(read(text, how).events(), 1U);
  };
  const auto too_large = [](const std::string& text, const char* why) {
    event_json_reader::read_options how;
    how.event_bytes_max = 1 << 20;
    const event_refusal got = refusal(text, how);
    EXPECT_EQ(got.fault, event_fault::too_large);
    EXPECT_THAT(got.detail, HasSubstr(why));
  };
  fits("{\"id\":" + quoted(64) + "}");
  too_large("{\"id\":" + quoted(65) + "}", "id: 65 bytes; at most 64");
  too_large("{\"id\":" + std::string(65, '1') + "}", "id: 65 bytes");
  fits("{\"key\":" + quoted(256) + "}");
  too_large("{\"key\":" + quoted(257) + "}", "key: 257 bytes");
  fits("{\"action\":" + quoted(128) + "}");
  too_large("{\"action\":" + quoted(129) + "}", "action: 129 bytes");
  fits("{" + quoted(128) + ":1}");
  too_large("{" + quoted(129) + ":1}", "xxx…: 129 bytes; at most 128");
  fits("{\"a\":" + quoted(65'535) + "}");
  too_large("{\"a\":" + quoted(65'536) + "}", "a: 65536 bytes");
  too_large("{\"a\":[1," + quoted(65'536) + "]}", "a: 65536 bytes");
  too_large("{\"a\":" + std::string(65'536, '7') + "}", "a: 65536 bytes");
  const auto many = [](std::size_t n, auto each) {
    std::string text;
    for (std::size_t i = 0; i < n; ++i) text += (i == 0 ? "" : ",") + each(i);
    return text;
  };
  const auto one = [](std::size_t) { return std::string("1"); };
  fits("{\"a\":[" + many(1'024, one) + "]}");
  too_large("{\"a\":[" + many(1'025, one) + "]}", "a: at most 1024 texts");
  const auto column = [](std::size_t i) { return "\"c" + std::to_string(i) + "\":1"; };
  fits("{" + many(1'024, column) + "}");
  too_large("{" + many(1'025, column) + "}", "c1024: at most 1024 names");
  const auto nothing = [](std::size_t i) { return "\"c" + std::to_string(i) + "\":null"; };
  fits("{" + many(2'048, nothing) + "}");
  too_large("{" + many(2'049, nothing) + "}", "c2048: at most 2048 members");
}

TEST(EventJson, AnEventBeyondItsBytesIsRefusedAlone) {
  event_json_reader::read_options how;
  how.event_bytes_max = 100;
  const std::string fits = "{\"a\":" + quoted(92) + "}";
  const std::string large = "{\"a\":" + quoted(93) + "}";
  ASSERT_EQ(fits.size(), 100U);
  for (const std::string& text : {fits + "\n" + large + "\n" + fits,
                                  "[" + fits + "," + large + "," + fits + "]",
                                  "{\"events\":[" + fits + "," + large + "," + fits + "]}"}) {
    const reading got = read(text, how);
    ASSERT_TRUE(got.done.ok()) << describe(got.done.error());
    EXPECT_EQ(got.events(), 2U);
    ASSERT_EQ(got.refused.size(), 1U);
    EXPECT_EQ(got.refused[0].event, 1U);
    EXPECT_EQ(got.refused[0].fault, event_fault::too_large);
    EXPECT_THAT(got.refused[0].detail, HasSubstr("101 bytes; at most 100"));
  }
  EXPECT_EQ(refusal(large, how).fault, event_fault::too_large);
}

TEST(EventJson, MoreEventsThanABatchTakesAreTooLarge) {
  const auto lines = [](std::size_t n) {
    std::string text;
    for (std::size_t i = 0; i < n; ++i) text += "{}\n";
    return text;
  };
  EXPECT_EQ(read(lines(65'536)).events(), 65'536U);
  expect_failed(lines(65'537), errc::too_large, "65536 events");
  std::string bad;
  for (std::size_t i = 0; i < 65'537; ++i) bad += "x\n";
  expect_failed("{}\n" + bad, errc::too_large, "65536 events");
}

TEST(EventJson, RefusedEventsLeaveTheOthers) {
  for (const char* text : {"{\"x\":1}\n{\"y\":{\"z\":[1,{\"d\":2}]},\"w\":1}\n{\"z\":3}\nnonsense\n"
                           "{\"x\":4",
                           "[{\"x\":1},{\"y\":{\"z\":[1,{\"d\":2}]},\"w\":1},{\"z\":3},5,[6]]"}) {
    SCOPED_TRACE(text);
    const reading got = read(text);
    ASSERT_TRUE(got.done.ok()) << describe(got.done.error());
    EXPECT_EQ(got.events(), 2U);
    EXPECT_THAT(got.batch().names, ElementsAre("x", "z"));
    ASSERT_EQ(got.refused.size(), 3U);
    EXPECT_EQ(got.refused[0].event, 1U);
    EXPECT_THAT(got.refused[0].detail, HasSubstr("y: "));
    EXPECT_EQ(got.refused[1].event, 3U);
    EXPECT_EQ(got.refused[2].event, 4U);
    EXPECT_EQ(got.refused[2].fault, event_fault::malformed);
  }
}

TEST(EventJson, ABrokenFirstLineIsOneEvent) {
  const reading got = read("{\"x\":1\n{\"x\":2}\n{\"x\":3}\n");
  ASSERT_TRUE(got.done.ok());
  EXPECT_EQ(got.events(), 2U);
  ASSERT_EQ(got.refused.size(), 1U);
  EXPECT_EQ(got.refused[0].event, 0U);
}

TEST(EventJson, SomethingBehindAnObjectOnItsLineIsRefused) {
  const reading got = read("{\"x\":1}\n{\"x\":2} {\"x\":3}\n{\"x\":4}}\n{\"x\":5},\n{\"y\":6}");
  ASSERT_TRUE(got.done.ok());
  EXPECT_EQ(got.events(), 2U);
  EXPECT_EQ(got.refused.size(), 3U);
  EXPECT_THAT(got.batch().names, ElementsAre("x", "y"));
}

TEST(EventJson, WhatIsNoJsonIsMalformed) {
  const auto bad = errc::malformed;
  expect_failed("", bad, "nothing to read");
  expect_failed(" \n\t ", bad, "nothing to read");
  expect_failed("nonsense", bad, "an event is a JSON object");
  expect_failed("5", bad, "an event is a JSON object");
  expect_failed("\"x\"", bad, "an event is a JSON object");
  expect_failed("[{\"x\":1},{\"x\":2]", bad, "not JSON");
  expect_failed("[{\"x\":1} {\"x\":2}]", bad, "not JSON");
  expect_failed("[{\"x\":1}]]", bad, "not JSON");
  expect_failed("[{\"x\":1}],5", bad, "not JSON");
  expect_failed("{\"x\" 1}", bad, "not JSON");
  expect_failed("{\"x\":1,}", bad, "not JSON");
  expect_failed("{'x':1}", bad, "not JSON");
  expect_failed("{\"events\":[{}],\"more\":1}", bad, "beside events only producer");
  expect_failed("{\"events\":[{}],\"events\":[{}]}", bad, "events: the member is there twice");
  expect_failed("{\"events\":[{}],\"producer\":5}", bad, "producer: a text");
  expect_failed("{\"events\":[{}],\"producer\":" + quoted(65) + "}", bad, "producer: a text");
  expect_failed("{\"events\":[{}],\"schema_version\":-1}", bad, "schema_version: a whole number");
}

TEST(EventJson, WrongEncodingsAreMalformed) {
  const auto bad = errc::malformed;
  expect_failed("{\"x\":\"\xC3\"}", bad, "not UTF-8");
  expect_failed("{\"x\":\"\xED\xA0\x80\"}", bad, "not UTF-8");
  expect_failed("[{\"\xFF\":1}]", bad, "not UTF-8");
  expect_failed(std::string_view("\xFF\xFE{\0\"\0x\0", 8), bad, "UTF-16");
  expect_failed(std::string_view("\xFE\xFF\0{\0\"", 6), bad, "UTF-16");
  expect_failed(std::string_view("{\0\"\0x\0", 6), bad, "");
  const reading line = read("{\"x\":1}\n{\"x\":\"\xFF\"}\n{\"x\":3}");
  EXPECT_EQ(line.events(), 2U);
  ASSERT_EQ(line.refused.size(), 1U);
  EXPECT_THAT(line.refused[0].detail, HasSubstr("not UTF-8"));
}

TEST(EventJson, DeepNestingCostsNothing) {
  for (const std::string& open :
       {std::string("["), std::string("{\"a\":"), std::string("[{\"a\":[")}) {
    std::string text;
    for (int i = 0; i < 100'000; ++i) text += open;
    event_json_reader::read_options how;
    how.event_bytes_max = 1 << 22;
    const reading whole = read(text, how);
    EXPECT_EQ(whole.events(), 0U);
    const reading line = read("{\"x\":1}\n{\"y\":" + text + "\n{\"z\":1}", how);
    EXPECT_EQ(line.events(), 2U);
    EXPECT_EQ(line.refused.size(), 1U);
  }
  std::string closed;
  for (int i = 0; i < 5'000; ++i) closed += "[";
  closed += std::string(5'000, ']');
  expect_refused("{\"a\":" + closed + "}", event_fault::wrong_type, "a: a list of texts");
  EXPECT_EQ(read("[{\"a\":" + closed + "},{\"b\":1}]").events(), 1U);
}

// `events` events of so many members, all different and all null.
std::string nulls(std::size_t events, std::size_t members) {
  std::string text = "[";
  for (std::size_t e = 0; e < events; ++e) {
    text += e == 0 ? "{" : ",{";
    for (std::size_t m = 0; m < members; ++m)
      text += (m == 0 ? "\"column" : ",\"column") + std::to_string(m) + "\":null";
    text += "}";
  }
  return text + "]";
}

std::uint64_t thread_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// The least of three.
std::uint64_t ns_to_read(const std::string& text, std::size_t events) {
  std::uint64_t least = UINT64_MAX;
  for (int round = 0; round < 3; ++round) {
    const std::uint64_t begin = thread_ns();
    EXPECT_EQ(read(text).events(), events);
    least = std::min(least, thread_ns() - begin);
  }
  return least;
}

TEST(EventJson, ThousandsOfNullsInOneEventCostWhatTheyCostInMany) {
  const std::uint64_t spread = ns_to_read(nulls(4'000, 20), 4'000);
  const std::uint64_t together = ns_to_read(nulls(40, 2'000), 40);
  EXPECT_LT(together, 6 * spread);
  std::string twice = nulls(1, 2'000);
  twice.replace(twice.find("column7\""), 8, "column8\"");
  expect_refused(twice, event_fault::malformed, "column8: the member is there twice");
}

TEST(EventJson, EveryTruncationEndsInARefusalOrAnError) {
  const std::string whole =
      R"([{"id":"e1","key":"r\u00e4","time":"2026-11-27T10:00:00Z","features":{"u":"x",)"
      R"("item":13,"price":3.5e1,"seen":["i1",22,null]},"ok":true,"no":null},)"
      R"({"id":"e2","action":"click"}])";
  ASSERT_EQ(read(whole).events(), 2U);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const reading got = read(std::string_view(whole).substr(0, size));
    EXPECT_FALSE(got.done.ok()) << size;
    EXPECT_EQ(got.events(), 0U);
    const std::string lines = "{\"a\":1}\n" + whole.substr(1, std::min(size, whole.size() - 33));
    const reading line = read(lines);
    EXPECT_TRUE(line.done.ok());
    EXPECT_GE(line.events(), 1U);
  }
}

TEST(EventJson, TheKeyOfAMessageJoinsEventsWithoutOne) {
  event_json_reader::read_options how;
  how.key = "m1";
  const reading got = read(R"([{"key":"own"},{"key":null},{"x":1}])", how);
  ASSERT_EQ(got.events(), 3U);
  EXPECT_EQ(got.batch().events[0].key, "own");
  EXPECT_EQ(got.batch().events[1].key, "m1");
  EXPECT_EQ(got.batch().events[2].key, "m1");
  how.key = "\xFF";
  EXPECT_EQ(refusal("{\"x\":1}", how).fault, event_fault::malformed);
  const std::string large(257, 'k');
  how.key = large;
  EXPECT_EQ(refusal("{\"x\":1}", how).fault, event_fault::too_large);
}

TEST(EventJson, ABatchHasOneSchemaVersion) {
  event_json_reader::read_options how;
  how.schema_version = 4;
  EXPECT_EQ(read("{}", how).batch().schema_version, 4U);
  EXPECT_EQ(read(R"({"schema_version":5})", how).batch().schema_version, 5U);
  const reading got = read(R"([{"schema_version":5},{},{"schema_version":6},{"x":1}])", how);
  EXPECT_EQ(got.batch().schema_version, 5U);
  EXPECT_EQ(got.events(), 3U);
  ASSERT_EQ(got.refused.size(), 1U);
  EXPECT_EQ(got.refused[0].fault, event_fault::wrong_schema);
  // The version of an event that is refused is not the batch's.
  EXPECT_EQ(read(R"([{"schema_version":9,"x":{}},{}])", how).batch().schema_version, 4U);
}

TEST(EventJson, SeveralTextsFillOneBatch) {
  event_json_reader reader;
  event_batch_builder builder;
  builder.begin("p");
  std::vector<event_refusal> refused;
  event_json_reader::read_options how;
  ASSERT_TRUE(reader.read(R"({"id":"a","x":1})", how, builder, refused).ok());
  const frame before = builder.finish();
  ASSERT_TRUE(reader.read(R"({"id":"b","y":{}})", how, builder, refused).ok());
  ASSERT_FALSE(reader.read(R"([{"id":"c","z":1},{]})", how, builder, refused).ok());
  EXPECT_TRUE(schemas::example::same(builder.finish().bytes(), before.bytes()));
  EXPECT_EQ(refused.size(), 1U);
  ASSERT_TRUE(reader.read(R"({"id":"d","x":4})", how, builder, refused).ok());
  EXPECT_EQ(builder.events(), 2U);
  EXPECT_EQ(builder.batch().events[1].id, "d");
}

TEST(EventJson, AFailureLeavesNothingOfAnEnvelope) {
  const std::string text =
      R"({"producer":"a producer of some length","schema_version":9,"events":[{},)";
  const reading got = read(text + "{]}");
  ASSERT_FALSE(got.done.ok());
  EXPECT_EQ(got.batch().producer, "");
  EXPECT_EQ(got.batch().schema_version, 1U);
  EXPECT_LE(got.builder.finish().size(), got.builder.bytes());
  EXPECT_EQ(read(text + "{}]}").batch().producer, "a producer of some length");
}

/// Writes an event of a batch as JSON.
std::string json_of(const event_batch& batch,
                    const schemas::event_head& event,
                    random_stream& draw) {
  json_line line;
  line.add("id", event.id).add("key", event.key);
  line.add_raw("time", std::to_string(event.time_ms));
  if (event.kind == schemas::event_kind::action) line.add("action", batch.names[event.action]);
  const bool apart = draw.next_below(2) == 0;
  if (apart) line.begin_object("features");
  for (const auto& field : batch.fields_of(event)) {
    const std::string_view name = batch.names[field.name];
    if (field.kind == field_kind::text) line.add(name, field.text);
    if (field.kind == field_kind::integer) line.add_raw(name, std::to_string(field.integer));
    if (field.kind == field_kind::number) {
      char digits[40];
      std::snprintf(digits, sizeof digits, "%.17e", field.number);
      line.add_raw(name, digits);
    }
    if (field.kind != field_kind::texts) continue;
    line.begin_array(name);
    for (const auto text : batch.texts_of(field)) line.add_item(text);
    line.end();
  }
  if (apart) line.end();
  return line.text();
}

TEST(EventJson, RandomEventsComeBackAsTheyWere) {
  constexpr std::uint64_t seed = 606;
  SCOPED_TRACE("seed " + std::to_string(seed));
  schemas::example::maker from(seed);
  random_stream draw(seed);
  event_json_reader reader;
  event_batch_builder builder;
  for (int round = 0; round < 400; ++round) {
    event_batch made = from.events();
    for (auto& event : made.events) event.time_ms %= 9'000'000'000'000'000;
    const bool lines = draw.next_below(2) == 0;
    std::string text = lines ? "" : "[";
    for (const auto& event : made.events) {
      if (text.size() > 1) text += lines ? "\n" : ",";
      text += json_of(made, event, draw);
    }
    if (!lines) text += "]";
    if (text.empty()) continue;
    builder.begin("");
    std::vector<event_refusal> refused;
    const auto done = reader.read(text, {}, builder, refused);
    ASSERT_TRUE(done.ok()) << describe(done.error());
    ASSERT_THAT(refused, IsEmpty()) << refused[0].detail << text;
    const event_batch& got = builder.batch();
    ASSERT_EQ(got.events.size(), made.events.size());
    for (std::size_t i = 0; i < got.events.size(); ++i)
      ASSERT_TRUE(schemas::example::same_events(made, made.events[i], got, got.events[i])) << text;
  }
}

TEST(EventJson, ChangedBytesEndInEventsRefusalsOrAnError) {
  constexpr std::uint64_t seed = 99;
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_stream draw(seed);
  const std::string whole =
      "{\"producer\":\"p\",\"events\":[{\"id\":\"e\\u00e4\",\"time\":1764237600123,\"x\":1.5e3,"
      "\"features\":{\"list\":[\"a\",18446744073709551615],\"t\":true}},\n"
      "{\"action\":\"click\",\"y\":\"text\"}]}";
  const std::string_view characters = "{}[]\":,\\\n0eu.-tfn x\xC3\xA4\xFF";
  for (int round = 0; round < 20'000; ++round) {
    std::string text = draw.next_below(2) == 0 ? whole : whole.substr(25, whole.size() - 27);
    for (std::uint64_t n = 1 + draw.next_below(4); n > 0; --n)
      text[draw.next_below(text.size())] = characters[draw.next_below(characters.size())];
    const reading got = read(text);
    EXPECT_TRUE(got.done.ok() || got.events() == 0);
  }
}

}  // namespace
}  // namespace headrace::worker
