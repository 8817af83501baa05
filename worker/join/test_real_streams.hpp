#pragma once

#include "base/random.hpp"
#include "worker/ingest/record_reader.hpp"
#include "worker/ingest/time_format.hpp"
#include "worker/join/test_joins.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Public data sets as streams of impressions and what came of them, found through HEADRACE_DATA.
namespace headrace::worker {

constexpr std::uint64_t minute_ms = 60'000;
constexpr std::uint64_t hour_ms = 60 * minute_ms;
constexpr std::uint64_t day_ms = 24 * hour_ms;

/// Of an impression the payload is what was shown: a text for each of `columns`, tabs between, the
/// first of them its key.
struct real_stream {
  std::vector<std::string> columns;
  std::vector<std::string> actions;
  join_spec how;
  std::vector<join_call> events;
};

inline std::filesystem::path open_data(const char* file) {
  const char* folder = std::getenv("HEADRACE_DATA");
  return folder == nullptr ? "" : std::filesystem::path(folder) / "open" / file;
}

inline void for_each_row(const std::filesystem::path& file,
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

/// The time of a row, its fraction of a second cut to milliseconds.
inline std::uint64_t time_of(const time_format& format, std::string_view text) {
  const auto ms = format.to_ms(text);
  EXPECT_TRUE(ms.has_value()) << text;
  return ms.value_or(0);
}

inline join_call shown(const std::string& key,
                       std::uint64_t time_ms,
                       std::initializer_list<std::string_view> more) {
  join_call made = impression(key, time_ms);
  for (const std::string_view one : more) made.payload.append(1, '\t').append(one);
  return made;
}

/// Open Bandit: what was shown in 40,000 places of a shop. A click is told with its impression
/// there; live it comes by itself, here up to 40 minutes later by the seed: three quarters of them
/// in the window. Nothing where the data is not there.
inline std::optional<real_stream> open_bandit() {
  real_stream made;
  made.columns = {"shown", "item", "position", "age"};
  made.actions = {"click"};
  made.how.window_ms = 30 * minute_ms;
  made.how.out_of_order_ms = minute_ms;
  made.how.correct_ms = 5 * minute_ms;
  std::uint64_t clicks = 0;
  const auto format = time_format::parse("%Y-%m-%d %H:%M:%S+00:00");
  EXPECT_TRUE(format.ok());
  for (const char* name : {"random_men", "random_women", "bts_men", "bts_women"}) {
    const auto file = open_data("open-bandit") / (std::string(name) + ".csv.zst");
    if (!std::filesystem::exists(file)) return std::nullopt;
    for_each_row(file, [&](const std::vector<std::string_view>& row) {
      const std::string key = std::string(name) + " " + std::string(row[0]);
      const std::uint64_t time = time_of(*format, row[1]);
      made.events.push_back(shown(key, time, {row[2], row[3], row[7]}));
      if (row[4] != "1") return;
      ++clicks;
      made.events.push_back(action(key, time + counter_draw(1, clicks, 0) % (40 * minute_ms)));
    });
  }
  EXPECT_EQ(made.events.size() - clicks, 40'000U);
  EXPECT_GT(clicks, 150U);
  return made;
}

/// Online Retail: a customer's first purchase of an item is the impression; what came of it is that
/// the item was bought again, or sent back, within 30 days or corrected within 60. Nothing where
/// the data is not there.
inline std::optional<real_stream> online_retail() {
  const auto file = open_data("online-retail/online_retail.csv.zst");
  if (!std::filesystem::exists(file)) return std::nullopt;
  real_stream made;
  made.columns = {"purchase", "customer", "item", "country"};
  made.actions = {"again", "back"};
  made.how.window_ms = 30 * day_ms;
  made.how.out_of_order_ms = hour_ms;
  made.how.correct_ms = 30 * day_ms;
  made.how.actions = 2;
  const auto format = time_format::parse("%Y-%m-%d %H:%M:%S");
  EXPECT_TRUE(format.ok());
  std::set<std::string, std::less<>> known;
  std::uint64_t bought = 0;
  for_each_row(file, [&](const std::vector<std::string_view>& row) {
    const bool sent_back = row[0].starts_with('C');
    if (row[6].empty()) return;
    bought += sent_back ? 0 : 1;
    std::string key = std::string(row[6]) + " " + std::string(row[1]);
    const std::uint64_t time = time_of(*format, row[4]);
    if (!sent_back && known.insert(key).second) {
      made.events.push_back(shown(key, time, {row[6], row[1], row[7]}));
    } else {
      made.events.push_back(action(std::move(key), time, sent_back ? 1 : 0));
    }
  });
  EXPECT_EQ(bought, 397'924U);
  return made;
}

}  // namespace headrace::worker
