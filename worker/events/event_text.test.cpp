#include "worker/events/event_text.hpp"

#include "base/random.hpp"
#include "schemas/example_messages.hpp"
#include "worker/events/event_json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

using schemas::event_batch;
using schemas::event_batch_builder;
using ::testing::IsEmpty;

std::string line_of(const event_batch& batch, std::size_t i) {
  std::string text = "{";
  append_event_members(batch, batch.events[i], batch.events[i].id, text);
  return text + "}";
}

void expect_reads_back(const event_batch& made, std::size_t i) {
  const std::string text = line_of(made, i);
  event_json_reader reader;
  event_batch_builder builder;
  std::vector<schemas::event_refusal> refused;
  builder.begin("");
  const auto done = reader.read(text, {}, builder, refused);
  ASSERT_TRUE(done.ok()) << describe(done.error());
  ASSERT_THAT(refused, IsEmpty()) << refused[0].detail << text;
  const event_batch& got = builder.batch();
  ASSERT_EQ(got.events.size(), 1U);
  EXPECT_EQ(got.schema_version, made.schema_version);
  EXPECT_TRUE(schemas::example::same_events(made, made.events[i], got, got.events[0])) << text;
}

TEST(EventText, SaysWhatIsThere) {
  event_batch_builder builder;
  builder.begin("shop");
  builder.event("e1", "r7", 5);
  builder.text(builder.name("user"), "u\"7\"\n");
  builder.number(builder.name("price"), 3.0);
  builder.integer(builder.name("item"), -13);
  const std::string_view seen[] = {"i1", "i2"};
  builder.texts(builder.name("seen"), seen);
  builder.event("", "", 6);
  builder.action(builder.name("click"));
  EXPECT_EQ(line_of(builder.batch(), 0),
            R"({"id":"e1","key":"r7","time":5,"features":{"user":"u\"7\"\n","price":3.0,)"
            R"("item":-13,"seen":["i1","i2"]}})");
  EXPECT_EQ(line_of(builder.batch(), 1), R"({"time":6,"action":"click"})");
}

TEST(EventText, IsReadAsTheEventItWas) {
  constexpr std::uint64_t seed = 607;
  SCOPED_TRACE("seed " + std::to_string(seed));
  schemas::example::maker from(seed);
  for (int round = 0; round < 300; ++round) {
    event_batch made = from.events();
    for (auto& event : made.events) event.time_ms %= 9'000'000'000'000'000;
    for (std::size_t i = 0; i < made.events.size(); ++i) expect_reads_back(made, i);
  }
}

TEST(EventText, NumbersStayFloatsToTheBit) {
  using limits = std::numeric_limits<double>;
  for (const double number : {0.0,
                              -0.0,
                              1.0,
                              -7.0,
                              1e15,
                              1e22,
                              1e300,
                              limits::max(),
                              limits::lowest(),
                              limits::min(),
                              limits::denorm_min(),
                              0.1,
                              1.0 / 3.0,
                              9007199254740993.0}) {
    event_batch_builder builder;
    builder.begin("");
    builder.event("e", "", 1);
    builder.number(builder.name("x"), number);
    expect_reads_back(builder.batch(), 0);
  }
}

// Names that JSON has for other things, too.
TEST(EventText, AColumnMayBeCalledAnything) {
  event_batch_builder builder;
  builder.begin("");
  builder.event("e", "k", 1);
  for (const char* name : {"id", "key", "time", "action", "features", "schema_version", "\"", "ä"})
    builder.text(builder.name(name), "x");
  expect_reads_back(builder.batch(), 0);
}

TEST(EventText, ACopyIsTheSameEvent) {
  constexpr std::uint64_t seed = 608;
  SCOPED_TRACE("seed " + std::to_string(seed));
  schemas::example::maker from(seed);
  event_batch_builder builder;
  for (int round = 0; round < 100; ++round) {
    const event_batch made = from.events();
    builder.begin(made.producer, made.schema_version);
    for (const auto& event : made.events) copy_event(made, event, event.id, builder);
    ASSERT_EQ(builder.events(), made.events.size());
    for (std::size_t i = 0; i < made.events.size(); ++i) {
      EXPECT_TRUE(schemas::example::same_events(
          made, made.events[i], builder.batch(), builder.batch().events[i]));
    }
  }
}

}  // namespace
}  // namespace headrace::worker
