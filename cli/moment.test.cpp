#include "cli/moment.hpp"

#include <gtest/gtest.h>

namespace headrace::cli {
namespace {

constexpr std::uint64_t now_ms = 1'764'263'000'123;  // 2025-11-27T17:03:20.123Z

TEST(Moment, IsReadToTheMillisecond) {
  const auto read = [](const char* text) { return parse_moment(text, "--to", now_ms).value(); };
  EXPECT_EQ(read("2025-11-27T17:03:20.123Z"), now_ms);
  EXPECT_EQ(read("2025-11-27T17:03:20Z"), now_ms - 123);
  EXPECT_EQ(read("2025-11-27T17:03:20.000Z"), now_ms - 123);
  EXPECT_EQ(read("15m"), now_ms - 900'000);
}

TEST(Moment, IsWrittenAsItIsRead) {
  for (const std::uint64_t ms : {now_ms, std::uint64_t{5}, now_ms - 123})
    EXPECT_EQ(parse_moment(moment_text(ms), "--to", now_ms).value(), ms);
}

TEST(Moment, RefusesWhatIsNoTime) {
  for (const char* text : {"",
                           "Z",
                           ".Z",
                           "2025-11-27T17:03:20.1a3Z",
                           "2025-11-27T17:03.123Z",
                           "2025-11-27T17:03:20.123"}) {
    const auto read = parse_moment(text, "--to", now_ms);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().detail.rfind("--to '" + std::string(text) + "' is no time", 0), 0U);
  }
}

}  // namespace
}  // namespace headrace::cli
