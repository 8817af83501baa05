#include "worker/windows/impression_columns.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::uint64_t key_seed = 0x696D7072;  // of the hashes that are saved: frozen

schemas::hash128 hash_of(std::string_view key) {
  return schemas::hash128_of(std::as_bytes(std::span(key)), key_seed);
}

error damaged(const std::string& what) {
  return {errc::corrupt,
          "saved columns of impressions: " + what + "; restore the state folder from a copy"};
}

}  // namespace

std::size_t impression_columns::key_hash::operator()(const schemas::hash128& key) const {
  return secret_place(key.low, key.high, secret);
}

std::size_t impression_columns::longest_look() const {
  std::size_t longest = 0;
  for (std::size_t bucket = 0; bucket < by_key_.bucket_count(); ++bucket)
    longest = std::max(longest, by_key_.bucket_size(bucket));
  return longest;
}

void impression_columns::put(std::string_view key,
                             std::uint64_t time_ms,
                             std::uint64_t watermark_ms,
                             std::span<const std::byte> columns) {
  if (how_.entries_max == 0) return;
  constexpr auto all_time = std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t until = time_ms < all_time - how_.keep_ms ? time_ms + how_.keep_ms : all_time;
  const schemas::hash128 hash = hash_of(key);
  const auto known = by_key_.find(hash);
  const bool is_known =
      known != by_key_.end() && entries_[known->second - first_].until_ms >= watermark_ms;
  if (is_known || until < watermark_ms) return;
  add({hash, until, {columns.begin(), columns.end()}});
  keep_bounds(watermark_ms);
}

std::span<const std::byte> impression_columns::find(std::string_view key,
                                                    std::uint64_t watermark_ms) const {
  const auto known = by_key_.find(hash_of(key));
  if (known == by_key_.end()) return {};
  const entry& found = entries_[known->second - first_];
  if (found.until_ms < watermark_ms) return {};
  return found.columns;
}

void impression_columns::add(entry made) {
  bytes_ += entry_bytes + made.columns.size();
  by_key_[made.key] = first_ + entries_.size();
  entries_.push_back(std::move(made));
}

void impression_columns::keep_bounds(std::uint64_t watermark_ms) {
  const auto full = [this] {
    return entries_.size() > how_.entries_max || (how_.bytes_max > 0 && bytes_ > how_.bytes_max);
  };
  while (!entries_.empty()) {
    const entry& oldest = entries_.front();
    const bool counts = by_key_.at(oldest.key) == first_;
    const bool is_known = counts && oldest.until_ms >= watermark_ms;
    if (is_known && !full()) return;
    forgotten_ += is_known ? 1 : 0;
    drop_oldest();
  }
}

void impression_columns::drop_oldest() {
  const auto known = by_key_.find(entries_.front().key);
  if (known->second == first_) by_key_.erase(known);
  bytes_ -= entry_bytes + entries_.front().columns.size();
  entries_.pop_front();
  ++first_;
}

void impression_columns::save(byte_writer& out) const {
  out.number(forgotten_);
  out.number(static_cast<std::uint64_t>(entries_.size()));
  for (const entry& each : entries_) {
    out.number(each.key.low);
    out.number(each.key.high);
    out.number(each.until_ms);
    out.block(each.columns);
  }
}

result<void> impression_columns::load(byte_reader& in) {
  forgotten_ = in.number<std::uint64_t>();
  for (auto left = in.number<std::uint64_t>(); left > 0 && in.ok(); --left) {
    entry one;
    one.key.low = in.number<std::uint64_t>();
    one.key.high = in.number<std::uint64_t>();
    one.until_ms = in.number<std::uint64_t>();
    const auto columns = in.block();
    one.columns.assign(columns.begin(), columns.end());
    if (in.ok() && how_.entries_max > 0) add(std::move(one));
  }
  if (!in.ok()) return damaged("cut short");
  return {};
}

}  // namespace headrace::worker
