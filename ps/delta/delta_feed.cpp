#include "ps/delta/delta_feed.hpp"

#include "base/check.hpp"
#include "schemas/delta.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <string>
#include <utility>

namespace headrace::ps {
namespace {

constexpr std::size_t size_classes = 256;  // powers of two

std::size_t size_class(float size) {
  return std::bit_cast<std::uint32_t>(std::max(0.0F, size)) >> 23;
}

/// Whether a row fits into what is left of a delta; takes its bytes from it.
bool take(std::size_t& left, std::size_t row_bytes) {
  if (left < row_bytes) return false;
  left -= row_bytes;
  return true;
}

}  // namespace

std::size_t delta_plan::rows() const {
  std::size_t sum = 0;
  for (const auto& of_table : keys) sum += of_table.size();
  return sum;
}

delta_feed::delta_feed(std::uint64_t session,
                       std::vector<std::size_t> row_bytes,
                       feed_limits limits)
    : session_(session),
      row_bytes_(std::move(row_bytes)),
      limits_(limits),
      first_(row_bytes_.size()),
      pending_(row_bytes_.size()) {
  CHECK(!row_bytes_.empty());
  constexpr std::size_t rows_max = schemas::delta_rows_max;
  const std::size_t share = (limits_.delta_bytes_max + rows_max - 1) / rows_max;
  for (std::size_t& bytes : row_bytes_) bytes = std::max(bytes, share);
  CHECK(limits.window_max >= 1);
  // So that each delta takes a row of the oldest generation and one of the largest changes.
  CHECK(limits.delta_bytes_max >= 2 * *std::ranges::max_element(row_bytes_));
}

void delta_feed::add_first(table_id table, std::span<const std::uint64_t> keys) {
  CHECK(number_ == 0 || waiting_);
  std::vector<pending_row> rows;
  rows.reserve(keys.size());
  for (const std::uint64_t key : keys) rows.push_back({.key = key});
  first_[table.value].add(std::move(rows));
  // A session that begins with more rows than the limit would end with the first change.
  limits_.pending_max = std::max(limits_.pending_max, 2 * pending_rows_at_most());
}

void delta_feed::absorb(table_id table, std::vector<pending_row> changed) {
  if (lapsed_) return;
  // Those that were never sent will be, with the values of then.
  const pending_rows& unsent = first_[table.value];
  if (!unsent.empty())
    std::erase_if(changed, [&](const pending_row& row) { return unsent.contains(row.key); });
  for (pending_row& row : changed) row.generation = open_generation();
  pending_[table.value].add(std::move(changed));
  if (pending_rows_at_most() <= limits_.pending_max) return;
  for (auto* const of : {&first_, &pending_}) {
    for (pending_rows& rows : *of) rows.all();  // now each row counts once
  }
  if (pending_rows_at_most() <= limits_.pending_max) return;
  lapsed_ = true;
  for (auto* const of : {&first_, &pending_}) {
    for (pending_rows& rows : *of) rows = {};
  }
  in_flight_.clear();
}

delta_feed::table_rows delta_feed::choose() {
  std::size_t changed = 0;
  for (std::size_t i = 0; i < pending_.size(); ++i)
    changed += pending_[i].all().size() * row_bytes_[i];
  const std::size_t reserved = std::min(changed, limits_.delta_bytes_max / 2);
  std::size_t for_first = limits_.delta_bytes_max - reserved;
  table_rows first = choose_first(for_first);
  const std::size_t left = reserved + for_first;
  table_rows chosen(pending_.size());
  if (changed > left) {
    chosen = choose_within(left);
  } else {
    for (std::size_t i = 0; i < pending_.size(); ++i)
      chosen[i] = std::exchange(pending_[i].all(), {});
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (first[i].empty()) continue;
    const std::size_t middle = first[i].size();
    first[i].insert(first[i].end(), chosen[i].begin(), chosen[i].end());
    merge_runs(first[i], {middle, first[i].size()});
    chosen[i] = std::move(first[i]);
  }
  return chosen;
}

delta_feed::table_rows delta_feed::choose_first(std::size_t& bytes) {
  table_rows chosen(first_.size());
  for (std::size_t i = 0; i < first_.size(); ++i) {
    chosen[i] = first_[i].take_last(bytes / row_bytes_[i]);
    bytes -= chosen[i].size() * row_bytes_[i];
  }
  return chosen;
}

delta_feed::table_rows delta_feed::choose_within(std::size_t bytes) {
  // Bytes of each size class and of each generation tell where the cuts are.
  const std::uint32_t first = oldest_pending();
  std::vector<std::size_t> of_age(open_generation() - first + 1, 0);
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    for (const pending_row& row : pending_[i].all())
      of_age[row.generation - first] += row_bytes_[i];
  }
  std::size_t old = bytes / 2;
  std::uint32_t age_cut = first;  // older ones fit whole
  std::size_t left = old;
  for (const std::size_t size : of_age) {
    if (size > left) break;
    left -= size;
    ++age_cut;
  }
  std::array<std::size_t, size_classes> of_size{};
  std::vector<std::vector<bool>> taken(pending_.size());
  for (const bool older : {true, false}) {
    for (std::size_t i = 0; i < pending_.size(); ++i) {
      const auto& rows = pending_[i].all();
      taken[i].resize(rows.size());
      for (std::size_t r = 0; r < rows.size(); ++r) {
        if (older ? rows[r].generation >= age_cut : rows[r].generation != age_cut) continue;
        taken[i][r] = take(old, row_bytes_[i]);
      }
    }
  }
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    const auto& rows = pending_[i].all();
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (!taken[i][r]) of_size[size_class(rows[r].size)] += row_bytes_[i];
    }
  }
  std::size_t large = bytes - bytes / 2 + old;
  std::size_t size_cut = size_classes - 1;  // larger ones fit whole
  for (std::size_t sum = 0; size_cut > 0 && sum + of_size[size_cut] <= large; --size_cut)
    sum += of_size[size_cut];
  for (const bool larger : {true, false}) {
    for (std::size_t i = 0; i < pending_.size(); ++i) {
      const auto& rows = pending_[i].all();
      for (std::size_t r = 0; r < rows.size(); ++r) {
        const std::size_t size = size_class(rows[r].size);
        if (taken[i][r] || (larger ? size <= size_cut : size != size_cut)) continue;
        taken[i][r] = take(large, row_bytes_[i]);
      }
    }
  }
  table_rows chosen(pending_.size());
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    auto& rows = pending_[i].all();
    std::size_t kept = 0;
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (taken[i][r]) {
        chosen[i].push_back(rows[r]);
      } else {
        rows[kept++] = rows[r];
      }
    }
    rows.resize(kept);
  }
  return chosen;
}

std::uint32_t delta_feed::oldest_pending() {
  const auto is_empty = [](const pending_rows& rows) { return rows.empty(); };
  if (!std::ranges::all_of(first_, is_empty)) return 0;
  std::uint32_t oldest = open_generation();
  for (pending_rows& rows : pending_) {
    for (const pending_row& row : rows.all()) oldest = std::min(oldest, row.generation);
  }
  return oldest;
}

std::optional<delta_plan> delta_feed::plan(const feed_position& now, bool beat) {
  if (lapsed_ || in_flight_.size() >= limits_.window_max) return std::nullopt;
  const bool moved = number_ == 0 || now.version != last_.head_version || waiting_ != !last_.whole;
  if (!beat && !moved && pending_rows_at_most() == 0) return std::nullopt;
  generations_.push_back(now);
  sent_delta sent{.number = ++number_, .oldest = open_generation(), .rows = choose()};
  delta_plan plan;
  plan.session = session_;
  plan.number = number_;
  plan.follows = follows_;
  plan.head_version = now.version;
  plan.keys.resize(sent.rows.size());
  for (std::size_t i = 0; i < sent.rows.size(); ++i) {
    plan.keys[i].reserve(sent.rows[i].size());
    for (const pending_row& row : sent.rows[i]) {
      plan.keys[i].push_back(row.key);
      sent.oldest = std::min(sent.oldest, row.generation);
    }
  }
  in_flight_.push_back(std::move(sent));
  oldest_ = oldest_pending();
  // The first generation is number 0: nothing holds before it.
  plan.whole = oldest_ > 0 && !waiting_;
  if (plan.whole) plan.said = generations_[oldest_ - 1 - first_generation_];
  follows_ = number_;
  last_ = plan;
  last_.keys.clear();
  return plan;
}

void delta_feed::acknowledge(std::uint64_t number) {
  acknowledged_ = std::max(acknowledged_, std::min(number, number_));
  while (!in_flight_.empty() && in_flight_.front().number <= acknowledged_) in_flight_.pop_front();
  forget_generations();
}

result<void> delta_feed::resume(std::uint64_t number) {
  if (lapsed_ || number < acknowledged_ || number > number_) {
    return error{errc::gap,
                 "session " + std::to_string(session_) + " can go on behind deltas " +
                     std::to_string(acknowledged_) + " to " + std::to_string(number_) +
                     ", not behind " + std::to_string(number) + "; begin a new session"};
  }
  acknowledge(number);
  while (!in_flight_.empty()) {
    sent_delta& sent = in_flight_.back();
    for (std::size_t i = 0; i < sent.rows.size(); ++i) pending_[i].add(std::move(sent.rows[i]));
    oldest_ = std::min(oldest_, sent.oldest);
    in_flight_.pop_back();
  }
  follows_ = number;
  last_ = {};  // what was said there may not have arrived
  return {};
}

void delta_feed::forget_generations() {
  std::uint32_t oldest = std::min(oldest_, open_generation());
  for (const sent_delta& sent : in_flight_) oldest = std::min(oldest, sent.oldest);
  for (; first_generation_ + 1 < oldest && generations_.size() > 1; ++first_generation_)
    generations_.pop_front();
}

std::size_t delta_feed::pending_rows_at_most() const {
  std::size_t sum = 0;
  for (const auto* const of : {&first_, &pending_}) {
    for (const pending_rows& rows : *of) sum += rows.rows_at_most();
  }
  return sum;
}

std::size_t delta_feed::bytes() const {
  std::size_t sum = generations_.size() * sizeof(feed_position);
  for (const auto* const of : {&first_, &pending_}) {
    for (const pending_rows& rows : *of) sum += rows.bytes();
  }
  for (const sent_delta& sent : in_flight_) {
    for (const auto& rows : sent.rows) sum += rows.capacity() * sizeof(pending_row);
  }
  return sum;
}

}  // namespace headrace::ps
