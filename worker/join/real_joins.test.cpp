#include "storage/memory_spill_store.hpp"
#include "worker/ingest/record_reader.hpp"
#include "worker/ingest/time_format.hpp"
#include "worker/join/joiner.hpp"
#include "worker/join/test_join_draw.hpp"
#include "worker/join/test_offline_join.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

/// Real streams as live impressions and labels, out of order, against the offline join. Found
/// through HEADRACE_DATA.
namespace headrace::worker {
namespace {

constexpr std::uint64_t minute_ms = 60'000;
constexpr std::uint64_t hour_ms = 60 * minute_ms;
constexpr std::uint64_t day_ms = 24 * hour_ms;

std::filesystem::path data(const char* file) {
  const char* folder = std::getenv("HEADRACE_DATA");
  return folder == nullptr ? "" : std::filesystem::path(folder) / "open" / file;
}

void for_each_row(const std::filesystem::path& file,
                  const std::function<void(const std::vector<std::string_view>&)>& visit) {
  const record_layout layout;
  auto reader = record_reader::open(file.string(), layout);
  ASSERT_TRUE(reader.ok()) << describe(reader.error());
  record row;
  std::vector<std::string_view> fields;
  std::string scratch;
  for (bool header = true; *reader->next(row); header = false) {
    ASSERT_TRUE(split_fields(row, layout, fields, scratch));
    if (!header) visit(fields);
  }
}

// The time of a row, its fraction of a second cut to milliseconds.
std::uint64_t time_of(const time_format& format, std::string_view text) {
  const auto ms = format.to_ms(text);
  EXPECT_TRUE(ms.has_value()) << text;
  return ms.value_or(0);
}

void expect_as_offline(const std::vector<join_call>& events, const join_spec& how) {
  const auto labels = offline_join(events, how, true);
  const auto first = offline_join(events, how, false);
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    SCOPED_TRACE(seed);
    auto calls = shuffled(events, how, seed);
    calls.push_back(finish());
    storage::memory_spill_store store;
    join_spec bounded = how;
    if (seed == 2) bounded.memory_bytes_max = 64 << 10;
    joiner join(bounded, &store);
    const auto sent = run(join, calls);
    EXPECT_EQ(final_labels(sent), labels);
    EXPECT_EQ(first_labels(sent), first);
    EXPECT_EQ(join.count().late_events, 0U);
    EXPECT_EQ(join.count().closed_early, 0U);
  }
}

// A click is told with its impression there; live it comes by itself, here up to 40 minutes later
// by the seed: three quarters of them in the window.
TEST(RealJoins, ReplayOpenBandit) {
  std::vector<join_call> events;
  std::uint64_t clicks = 0;
  const auto format = time_format::parse("%Y-%m-%d %H:%M:%S+00:00");
  ASSERT_TRUE(format.ok());
  for (const char* name : {"random_men", "random_women", "bts_men", "bts_women"}) {
    const auto file = data("open-bandit") / (std::string(name) + ".csv.zst");
    if (!std::filesystem::exists(file))
      GTEST_SKIP() << "HEADRACE_DATA does not lead to Open Bandit";
    for_each_row(file, [&](const std::vector<std::string_view>& row) {
      const std::string key = std::string(name) + " " + std::string(row[0]);
      const std::uint64_t time = time_of(*format, row[1]);
      events.push_back(impression(key, time));
      if (row[4] != "1") return;
      ++clicks;
      events.push_back(action(key, time + counter_draw(1, clicks, 0) % (40 * minute_ms)));
    });
  }
  ASSERT_EQ(events.size() - clicks, 40'000U);
  EXPECT_GT(clicks, 150U);
  join_spec how;
  how.window_ms = 30 * minute_ms;
  how.out_of_order_ms = minute_ms;
  how.correct_ms = 5 * minute_ms;
  expect_as_offline(events, how);
}

// A customer's first purchase of an item is the impression; what came of it is that the item was
// bought again, or sent back (two kinds of action), within 30 days or corrected within 60.
TEST(RealJoins, ReplayOnlineRetail) {
  const auto file = data("online-retail/online_retail.csv.zst");
  if (!std::filesystem::exists(file))
    GTEST_SKIP() << "HEADRACE_DATA does not lead to Online Retail";
  const auto format = time_format::parse("%Y-%m-%d %H:%M:%S");
  ASSERT_TRUE(format.ok());
  std::vector<join_call> events;
  std::set<std::string, std::less<>> known;
  std::uint64_t bought = 0;
  for_each_row(file, [&](const std::vector<std::string_view>& row) {
    const bool sent_back = row[0].starts_with('C');
    if (row[6].empty()) return;
    bought += sent_back ? 0 : 1;
    std::string key = std::string(row[6]) + " " + std::string(row[1]);
    const std::uint64_t time = time_of(*format, row[4]);
    if (!sent_back && known.insert(key).second) {
      events.push_back(impression(std::move(key), time));
    } else {
      events.push_back(action(std::move(key), time, sent_back ? 1 : 0));
    }
  });
  EXPECT_EQ(bought, 397'924U);
  join_spec how;
  how.window_ms = 30 * day_ms;
  how.out_of_order_ms = hour_ms;
  how.correct_ms = 30 * day_ms;
  how.actions = 2;
  expect_as_offline(events, how);
}

}  // namespace
}  // namespace headrace::worker
