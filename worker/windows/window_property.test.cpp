#include "base/random.hpp"
#include "worker/windows/window_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <list>
#include <optional>
#include <string>
#include <vector>

/// Drawn streams against the definition written down with lists. HEADRACE_SEED=n runs one of them
/// again, HEADRACE_SEEDS=n so many.
namespace headrace::worker {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

__extension__ typedef __int128 wide;  // no time is too large to be added to

/// Everything is looked through each time, and nothing is shared with the table but its contract.
class listed_windows {
 public:
  explicit listed_windows(window_bounds how) : how_(how) {}

  void advance(std::uint64_t time) {
    watermark_ = std::max(watermark_, wide{time} - wide{how_.out_of_order_ms});
    watermark_ = std::max(watermark_, wide{0});
    while (!keys_.empty() && std::ranges::all_of(keys_.front().events, [&](const auto& one) {
      return wide{one.time_ms} + wide{how_.over_ms} <= watermark_;
    }))
      keys_.pop_front();
  }
  bool add(std::uint64_t key, window_event one) {
    if (wide{one.time_ms} < watermark_) return false;
    auto at = std::ranges::find(keys_, key, &known::key);
    if (at == keys_.end()) {
      if (keys_.size() == how_.keys_max) keys_.pop_front();
      keys_.push_back({key, {}});
    } else {
      keys_.splice(keys_.end(), keys_, at);
    }
    auto& events = keys_.back().events;
    std::erase_if(events, [&](const auto& each) {
      return wide{each.time_ms} + wide{how_.over_ms} <= watermark_;
    });
    while (how_.newest_max > 0 && known_at_watermark(events) > how_.newest_max)
      events.erase(events.begin());
    events.push_back(one);
    std::ranges::stable_sort(events, {}, &window_event::time_ms);
    if (events.size() > how_.key_events_max) events.erase(events.begin());
    while (events_of_all() > how_.events_max) keys_.pop_front();
    return true;
  }
  std::vector<window_event> window(std::uint64_t key, std::uint64_t time) const {
    std::vector<window_event> found;
    const auto at = std::ranges::find(keys_, key, &known::key);
    if (at == keys_.end()) return found;
    const wide after = std::max(wide{time}, watermark_) - wide{how_.over_ms};
    for (const auto& one : at->events) {
      if (wide{one.time_ms} > after && one.time_ms <= time) found.push_back(one);
    }
    return found;
  }
  std::size_t keys() const { return keys_.size(); }
  std::size_t events_of_all() const {
    std::size_t all = 0;
    for (const auto& one : keys_) all += one.events.size();
    return all;
  }
  wide watermark() const { return watermark_; }

 private:
  struct known {
    std::uint64_t key = 0;
    std::vector<window_event> events;
  };
  std::size_t known_at_watermark(const std::vector<window_event>& events) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        events, [&](const auto& one) { return wide{one.time_ms} <= watermark_; }));
  }
  window_bounds how_;
  std::list<known> keys_;  // fed longest ago first
  wide watermark_ = 0;
};

window_bounds draw_bounds(random_stream& random) {
  window_bounds how;
  how.over_ms = 1 + random.next_below(random.next_below(3) == 0 ? 5 : 400);
  how.out_of_order_ms = random.next_below(3) == 0 ? 0 : random.next_below(200);
  how.newest_max =
      random.next_below(3) == 0 ? static_cast<std::uint32_t>(1 + random.next_below(6)) : 0;
  how.keys_max = random.next_below(2) == 0 ? 1 + random.next_below(6) : 1'000;
  how.key_events_max = random.next_below(2) == 0 ? 1 + random.next_below(8) : 1'000;
  how.events_max = random.next_below(2) == 0 ? how.key_events_max + random.next_below(20) : 100'000;
  return how;
}

/// Times that go on in steps of 0, a few, and now and then more than any window is long.
class drawn_clock {
 public:
  explicit drawn_clock(random_stream& random)
      : random_(random), now_(random.next_below(4) == 0 ? 0 : 1'700'000'000'000) {}
  std::uint64_t next() {
    if (random_.next_below(40) == 0) now_ += random_.next_below(100'000);
    if (random_.next_below(2) == 0) now_ += random_.next_below(10);
    const std::uint64_t back = random_.next_below(3) == 0 ? random_.next_below(300) : 0;
    return now_ - std::min(now_, back);
  }

 private:
  random_stream& random_;
  std::uint64_t now_;
};

std::vector<std::byte> saved(const window_table& table) {
  byte_writer out;
  table.save(out);
  return out.take();
}

struct met {
  std::uint64_t late = 0;
  std::uint64_t overflowed = 0;
  std::uint64_t forgotten = 0;
  std::uint64_t held = 0;  // in windows that were looked at
};

void run(std::uint64_t seed, met& all) {
  random_stream random(seed);
  const window_bounds how = draw_bounds(random);
  const std::uint64_t keys = 1 + random.next_below(12);
  drawn_clock clock(random);
  listed_windows expected(how);
  std::optional<window_table> table(how);
  for (auto steps = 20 + random.next_below(200); steps > 0; --steps) {
    const std::uint64_t time = clock.next();
    const std::uint64_t key = random.next_below(keys);
    const schemas::hash128 hash{key * 64, key};  // one slot for all, until the index grows
    expected.advance(time);
    table->advance(time);
    const auto window = table->window(hash, time);
    ASSERT_EQ(std::vector(window.begin(), window.end()), expected.window(key, time));
    all.held += window.size();
    if (random.next_below(4) > 0) {
      const window_event one{time, random.next_below(1'000)};
      ASSERT_EQ(table->add(hash, one), expected.add(key, one));
    }
    ASSERT_TRUE(wide{table->watermark_ms()} == expected.watermark());
    ASSERT_EQ(table->keys(), expected.keys());
    ASSERT_EQ(table->events(), expected.events_of_all());
    ASSERT_LE(table->keys(), how.keys_max);
    ASSERT_LE(table->events(), how.events_max);
    if (random.next_below(30) > 0) continue;
    const auto bytes = saved(*table);
    const auto counted = table->count();
    table.emplace(how);
    byte_reader in(bytes);
    ASSERT_TRUE(table->load(in));
    ASSERT_TRUE(in.at_end());
    ASSERT_EQ(saved(*table), bytes);
    ASSERT_EQ(table->count(), counted);
  }
  all.late += table->count().late;
  all.overflowed += table->count().overflowed;
  all.forgotten += table->count().forgotten;
}

TEST(WindowProperty, IsTheDefinition) {
  const std::uint64_t one = from_environment("HEADRACE_SEED", 0);
  const std::uint64_t seeds = from_environment("HEADRACE_SEEDS", 3'000);
  met all;
  for (std::uint64_t seed = one > 0 ? one : 1; seed <= (one > 0 ? one : seeds); ++seed) {
    SCOPED_TRACE("again: HEADRACE_SEED=" + std::to_string(seed));
    run(seed, all);
    if (testing::Test::HasFailure()) return;
  }
  if (one > 0 || seeds < 100) return;
  EXPECT_GT(all.late, seeds);  // else it would prove nothing
  EXPECT_GT(all.overflowed, seeds);
  EXPECT_GT(all.forgotten, seeds);
  EXPECT_GT(all.held, 50 * seeds);
}

}  // namespace
}  // namespace headrace::worker
