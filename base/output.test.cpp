#include "base/json_line.hpp"
#include "base/log.hpp"
#include "base/metrics.hpp"
#include "base/result.hpp"
#include "base/sha256.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>
#include <thread>

/// What the process says: log lines, JSON results, metrics.
namespace headrace {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Log, TextQuotesWhatCouldBeMistakenForAnotherField) {
  EXPECT_EQ(format_event(log_format::text,
                         log_level::warn,
                         "ingest.bad_row",
                         {{"file", "u.data"},
                          {"line", 17},
                          {"why", "no = here\n"},
                          {"empty", ""},
                          {"last", true}}),
            R"(warn ingest.bad_row file=u.data line=17 why="no = here\n" empty="" last=true)");
}

TEST(Log, JsonKeepsTypesAndSigns) {
  EXPECT_EQ(
      format_event(log_format::json,
                   log_level::error,
                   "a.b",
                   {{"big", UINT64_MAX},
                    {"low", std::numeric_limits<std::int64_t>::min()},
                    {"share", 0.25},
                    {"nan", std::nan("")},
                    {"text", std::string("\"x\"")}}),
      R"("level":"error","event":"a.b","big":18446744073709551615,"low":-9223372036854775808,)"
      R"("share":0.25,"nan":null,"text":"\"x\"")");
}

TEST(Log, GoesToStandardErrorOnlyAndBelowTheLevelNowhere) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  set_log_format(log_format::json);
  log_info("first.event", {{"n", 1}});
  log_debug("hidden.event");
  set_log_level(log_level::debug);
  log_debug("shown.event");
  set_log_level(log_level::info);
  set_log_format(log_format::automatic);
  const std::string errors = testing::internal::GetCapturedStderr();
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_THAT(
      errors,
      testing::ContainsRegex(
          R"(^\{"time":"20[0-9-]+T[0-9:.]+Z","level":"info","event":"first.event","n":1\})"));
  EXPECT_THAT(errors, HasSubstr("shown.event"));
  EXPECT_THAT(errors, Not(HasSubstr("hidden.event")));
}

TEST(Log, LinesOfManyThreadsStayWhole) {
  testing::internal::CaptureStderr();
  set_log_format(log_format::json);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 100; ++i) log_info("thread.line", {{"thread", t}, {"i", i}});
    });
  }
  threads.clear();
  set_log_format(log_format::automatic);
  std::istringstream lines(testing::internal::GetCapturedStderr());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_TRUE(line.starts_with("{\"time\":") && line.ends_with('}')) << line;
  }
  EXPECT_EQ(count, 400);
}

TEST(JsonLine, WritesAnObjectInOrder) {
  json_line line;
  line.add("samples", 100'000)
      .add("auc", 0.77)
      .add_null("memory")
      .add("ok", true)
      .add("data", "a\tb");
  line.begin_array("shards").add_item(1).add_item(2.5).add_item("x").end();
  line.begin_object("notes").add("memory", "not \"measured\"").end();
  line.begin_array("none").end();
  line.begin_array("objects").begin_object_item().add("a", 1).end().begin_object_item().end().end();
  line.add("last", std::optional<double>{}).add("set", std::optional<double>{1.0});
  EXPECT_EQ(
      line.text(),
      R"({"samples":100000,"auc":0.77,"memory":null,"ok":true,"data":"a\tb","shards":[1,2.5,"x"],)"
      R"("notes":{"memory":"not \"measured\""},"none":[],"objects":[{"a":1},{}],"last":null,"set":1})");
}

TEST(JsonLine, NumbersReadBackAsThemselves) {
  for (const double value :
       {0.1, 1.0 / 3.0, 5e-324, 1.7976931348623157e308, -0.0, 100000.0, 0.7694938271}) {
    std::string text;
    append_json_number(text, value);
    EXPECT_EQ(std::strtod(text.c_str(), nullptr), value) << text;
  }
  std::string text;
  append_json_number(text, std::numeric_limits<double>::infinity());
  EXPECT_EQ(text, "null");
}

TEST(JsonLine, TextIsAlwaysValidUtf8WithoutControlCharacters) {
  const std::pair<std::string, std::string> cases[] = {
      {std::string("a\0b", 3), R"("a\u0000b")"},
      {"\x1F\x7F", R"("\u001f\u007f")"},
      {"é€😀", "\"é€😀\""},
      {"\xFF", "\"\xEF\xBF\xBD\""},
      {"\xC0\xAF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},                  // overlong
      {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},  // surrogate
      {"\xE2\x82", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},                  // cut off
  };
  for (const auto& [given, expected] : cases) {
    std::string text;
    append_json_string(text, given);
    EXPECT_EQ(text, expected);
  }
}

TEST(Sha256, MatchesTheVectorsOfFips180) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheSameAsTheWhole) {
  sha256_hasher hasher;
  for (const std::string_view piece : {"a", "", "b", "c"})
    hasher.update(std::as_bytes(std::span(piece)));
  EXPECT_EQ(hasher.finish_hex(), sha256_hex("abc"));
  EXPECT_EQ(hasher.finish_hex(), sha256_hex("")) << "it begins anew";
}

TEST(Sha256, HmacMatchesTheVectorsOfRfc4231) {
  const auto hmac = [](const std::string& key, std::string_view text) {
    return hex_of(hmac_sha256(std::as_bytes(std::span(key)), text));
  };
  EXPECT_EQ(hmac(std::string(20, '\x0b'), "Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hmac("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(
      hmac(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First"),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Metrics, SerializesCountersGaugesAndHistograms) {
  metrics_registry metrics;
  auto pushes = metrics.counter("headrace_pushes_total", "pushes applied", {{"shard", "3"}});
  pushes.add();
  pushes.add(2);
  metrics.gauge("headrace_rows", "rows in memory").set(7);
  metrics.histogram("headrace_push_seconds", "push to acknowledgement", {0.01, 0.1}).observe(0.05);
  const std::string text = metrics.serialize();
  EXPECT_THAT(text, HasSubstr("headrace_pushes_total{shard=\"3\"} 3"));
  EXPECT_THAT(text, HasSubstr("headrace_rows 7"));
  EXPECT_THAT(text, HasSubstr("headrace_push_seconds_bucket{le=\"0.01\"} 0"));
  EXPECT_THAT(text, HasSubstr("headrace_push_seconds_bucket{le=\"0.1\"} 1"));
  EXPECT_THAT(text, HasSubstr("headrace_push_seconds_bucket{le=\"+Inf\"} 1"));
}

TEST(Metrics, TheSameNameAndLabelsAreOneSeries) {
  metrics_registry metrics;
  metrics.counter("headrace_a_total", "a", {{"x", "1"}}).add();
  metrics.counter("headrace_a_total", "a", {{"x", "1"}}).add();
  EXPECT_EQ(metrics.counter("headrace_a_total", "a", {{"x", "1"}}).value(), 2);
  EXPECT_EQ(metrics.counter("headrace_a_total", "a", {{"x", "2"}}).value(), 0);
}

TEST(MetricsDeathTest, NamesOutsideTheRulesAreBugs) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  metrics_registry metrics;
  metrics.counter("headrace_a_total", "a");
  EXPECT_DEATH(metrics.counter("pushes_total", ""), "CHECK failed");
  EXPECT_DEATH(metrics.gauge("headrace_a_total", ""), "CHECK failed");
  EXPECT_DEATH(metrics.gauge("headrace_b", "", {{"job", "x"}}), "CHECK failed");
}

TEST(Errors, EachCodeIsExplainedInTheDocumentation) {
  std::ifstream file(HEADRACE_SOURCE_ROOT "/docs/errors.md");
  std::stringstream text;
  text << file.rdbuf();
  int named = 0;
  for (std::uint16_t code = 0; code < 1000; ++code) {
    const auto known = name(static_cast<errc>(code));
    if (known == "unknown") continue;
    ++named;
    const std::string row = "| `" + std::string(known) + "` | " + std::to_string(code) + " |";
    EXPECT_THAT(text.str(), HasSubstr(row));
  }
  EXPECT_GE(named, 27);
}

}  // namespace
}  // namespace headrace
