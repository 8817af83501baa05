#include "ps/shard/source_quota.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <limits>

namespace headrace::ps {
namespace {

/// Rates and bursts stay so far below 2^63 that no sum here can overflow.
constexpr std::uint64_t rate_max = std::uint64_t{1} << 40;
constexpr std::uint32_t burst_ms_max = 60'000;
constexpr std::uint64_t cost_max = std::uint64_t{1} << 44;
constexpr std::int64_t thousandths = 1'000;

std::int64_t capacity(std::uint64_t rate, std::uint32_t burst_ms) {
  return static_cast<std::int64_t>(rate * burst_ms);
}

/// Milliseconds until `level` has grown to `wanted`.
std::uint64_t ms_until(std::int64_t level, std::int64_t wanted, std::uint64_t rate) {
  if (level >= wanted) return 0;
  return (static_cast<std::uint64_t>(wanted - level) + rate - 1) / rate;
}

std::int64_t refilled(std::int64_t level,
                      std::uint64_t rate,
                      std::uint32_t burst_ms,
                      std::uint64_t elapsed_ms) {
  const std::int64_t most = capacity(rate, burst_ms);
  if (rate == 0 || elapsed_ms >= ms_until(level, most, rate)) return most;
  return level + static_cast<std::int64_t>(rate * elapsed_ms);
}

/// What the bucket must hold for `cost` to pass: all of it, or a full bucket where it is larger.
std::uint64_t wait_ms(std::int64_t level,
                      std::uint64_t cost,
                      std::uint64_t rate,
                      std::uint32_t burst_ms) {
  if (rate == 0 || cost == 0) return 0;
  const std::int64_t wanted =
      std::min(capacity(rate, burst_ms), static_cast<std::int64_t>(cost) * thousandths);
  return ms_until(level, wanted, rate);
}

void spend(std::int64_t& level, std::uint64_t cost, std::uint64_t rate) {
  if (rate != 0) level -= static_cast<std::int64_t>(cost) * thousandths;
}

}  // namespace

source_quota::source_quota(const quota_limits& limits) : limits_(limits) {
  CHECK(limits.rows_per_second <= rate_max);
  CHECK(limits.new_rows_per_second <= rate_max);
  CHECK(limits.bytes_per_second <= rate_max);
  CHECK(limits.burst_ms >= 1);
  CHECK(limits.burst_ms <= burst_ms_max);
  CHECK(limits.sources_max >= 1);
}

std::uint32_t source_quota::admit(std::string_view source,
                                  const quota_cost& cost,
                                  std::uint64_t now_ms) {
  if (!limits_.limited()) return 0;
  CHECK(std::max({cost.rows, cost.new_rows, cost.bytes}) <= cost_max);
  buckets& mine = find_or_add(source, now_ms);
  refill(mine, now_ms);
  const std::uint64_t wait = std::max(
      {wait_ms(mine.rows, cost.rows, limits_.rows_per_second, limits_.burst_ms),
       wait_ms(mine.new_rows, cost.new_rows, limits_.new_rows_per_second, limits_.burst_ms),
       wait_ms(mine.bytes, cost.bytes, limits_.bytes_per_second, limits_.burst_ms)});
  if (wait > 0) {
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(wait, std::numeric_limits<std::uint32_t>::max()));
  }
  spend(mine.rows, cost.rows, limits_.rows_per_second);
  spend(mine.new_rows, cost.new_rows, limits_.new_rows_per_second);
  spend(mine.bytes, cost.bytes, limits_.bytes_per_second);
  return 0;
}

source_quota::buckets source_quota::full(std::uint64_t now_ms) const {
  return {capacity(limits_.rows_per_second, limits_.burst_ms),
          capacity(limits_.new_rows_per_second, limits_.burst_ms),
          capacity(limits_.bytes_per_second, limits_.burst_ms),
          now_ms};
}

void source_quota::refill(buckets& of, std::uint64_t now_ms) const {
  const std::uint64_t elapsed = now_ms > of.filled_ms ? now_ms - of.filled_ms : 0;
  of.filled_ms = now_ms;
  of.rows = refilled(of.rows, limits_.rows_per_second, limits_.burst_ms, elapsed);
  of.new_rows = refilled(of.new_rows, limits_.new_rows_per_second, limits_.burst_ms, elapsed);
  of.bytes = refilled(of.bytes, limits_.bytes_per_second, limits_.burst_ms, elapsed);
}

/// Milliseconds until every bucket is full.
std::uint64_t source_quota::missing_ms(const buckets& of) const {
  const auto missing = [this](std::int64_t level, std::uint64_t rate) {
    return rate == 0 ? 0 : ms_until(level, capacity(rate, limits_.burst_ms), rate);
  };
  return std::max({missing(of.rows, limits_.rows_per_second),
                   missing(of.new_rows, limits_.new_rows_per_second),
                   missing(of.bytes, limits_.bytes_per_second)});
}

source_quota::buckets& source_quota::find_or_add(std::string_view source, std::uint64_t now_ms) {
  if (const auto known = sources_.find(source); known != sources_.end()) return known->second;
  if (sources_.size() >= limits_.sources_max) make_room(now_ms);
  return sources_.emplace(source, full(now_ms)).first->second;
}

/// Forgets every full source, or the fullest where none is full.
void source_quota::make_room(std::uint64_t now_ms) {
  auto fullest = sources_.begin();
  std::uint64_t least_missing = std::numeric_limits<std::uint64_t>::max();
  for (auto it = sources_.begin(); it != sources_.end();) {
    refill(it->second, now_ms);
    const std::uint64_t missing = missing_ms(it->second);
    if (missing == 0) {
      it = sources_.erase(it);
      least_missing = 0;
      continue;
    }
    if (missing < least_missing) {
      least_missing = missing;
      fullest = it;
    }
    ++it;
  }
  if (least_missing > 0) sources_.erase(fullest);
}

}  // namespace headrace::ps
