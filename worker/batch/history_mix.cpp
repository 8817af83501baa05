#include "worker/batch/history_mix.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace headrace::worker {
namespace {

// Keys of counter_draw that keep what is drawn for one use from another.
constexpr std::uint64_t key_of_count = 1;
constexpr std::uint64_t key_of_batches = 2;
constexpr std::uint64_t golden_ratio = 0x9E3779B97F4A7C15;  // 2^64 / φ

// Evenly in [0, n) by 64 drawn bits.
std::uint64_t scaled(std::uint64_t bits, std::uint64_t n) {
  __extension__ typedef unsigned __int128 wide;
  return static_cast<std::uint64_t>((static_cast<wide>(bits) * n) >> 64);
}

template <class Value>
void append(std::vector<Value>& to,
            const std::vector<Value>& from,
            std::size_t begin,
            std::size_t count) {
  const auto part = std::span(from).subspan(begin, count);
  to.insert(to.end(), part.begin(), part.end());
}

bool same_form(const schemas::sample_batch& a, const schemas::sample_batch& b) {
  return a.features == b.features && a.label_count == b.label_count && a.sequences == b.sequences;
}

// Puts a sample of a batch of the same form behind those of `into`.
void copy(const schemas::sample_batch& from,
          std::span<const std::size_t> lists_begin,
          std::size_t sample,
          schemas::sample_batch& into) {
  append(into.labels, from.labels, sample * from.label_count, from.label_count);
  append(into.row_numbers, from.row_numbers, sample, 1);
  append(into.keys, from.keys, sample * from.features, from.features);
  if (into.values.empty() && !from.values.empty())
    into.values.assign(std::size_t{into.samples} * into.features, 1.0F);
  if (!from.values.empty()) {
    append(into.values, from.values, sample * from.features, from.features);
  } else if (!into.values.empty()) {
    into.values.resize(into.values.size() + into.features, 1.0F);
  }
  if (into.sequences > 0) {
    append(into.lengths, from.lengths, sample * from.sequences, from.sequences);
    const auto lengths = std::span(from.lengths).subspan(sample * from.sequences, from.sequences);
    const auto keys = std::accumulate(lengths.begin(), lengths.end(), std::size_t{0});
    append(into.sequence_keys, from.sequence_keys, lists_begin[sample], keys);
  }
  ++into.samples;
  ++into.history;
}

std::size_t bytes_of(const schemas::sample_batch& batch) {
  return (batch.labels.size() + batch.values.size()) * sizeof(float) +
         (batch.keys.size() + batch.row_numbers.size() + batch.sequence_keys.size()) *
             sizeof(std::uint64_t) +
         batch.lengths.size() * sizeof(std::uint16_t);
}

}  // namespace

history_mix::history_mix(settings how) : how_(how) {
  CHECK(how_.share > 0.0 && how_.share <= share_max);
}

// What is rounded off goes up or down by multiples of the golden ratio, which are more even over
// any run of batches than random numbers (Weyl; discrepancy O(log n / n)).
std::uint32_t history_mix::wanted(batch_number batch, std::uint32_t fresh) const {
  const std::uint64_t dither =
      counter_draw(how_.seed, key_of_count, 0) + batch.value * golden_ratio;
  const double due = static_cast<double>(fresh) * how_.share / (1.0 - how_.share);
  return static_cast<std::uint32_t>(std::floor(due + unit_double(dither)));
}

batch_number history_mix::drawn(batch_number by, batch_number oldest) const {
  std::uint64_t begin = std::max<std::uint64_t>(1, oldest.value);
  if (how_.batches > 0 && by.value > how_.batches) begin = std::max(begin, by.value - how_.batches);
  if (begin >= by.value) return {};
  const std::uint64_t bits = counter_draw(how_.seed, key_of_batches, by.value);
  return batch_number{begin + scaled(bits, by.value - begin)};
}

result<history_mix::older_ptr> history_mix::read(storage::ordered_log& log, batch_number from) {
  result<schemas::sample_batch> batch =
      error{errc::corrupt, "sample log: batch " + std::to_string(from.value) + " is not there"};
  const auto visited = log.read_from(lsn{from.value}, [&](const storage::log_record& record) {
    if (record.lsn.value == from.value) batch = schemas::decode_sample_batch(record.payload);
    return false;
  });
  if (!visited) return visited.error();
  if (!batch) return batch.error();
  auto made = std::make_shared<older>();
  made->batch = std::move(*batch);
  std::size_t lists = 0;
  for (std::size_t n = 0; made->batch.sequences > 0 && n < made->batch.samples; ++n) {
    made->lists_begin.push_back(lists);
    const auto lengths =
        std::span(made->batch.lengths).subspan(n * made->batch.sequences, made->batch.sequences);
    for (const std::uint16_t length : lengths) lists += length;
  }
  made->bytes = bytes_of(made->batch) + made->lists_begin.size() * sizeof(std::size_t);
  return older_ptr(std::move(made));
}

// Makes draws_ those of `through` and the numbers before it, as many as fit: a function of the log,
// whatever was held.
result<void> history_mix::fill(storage::ordered_log& log,
                               batch_number through,
                               batch_number oldest) {
  std::deque<draw> before = std::exchange(draws_, {});
  const auto held = [](const std::deque<draw>& where, batch_number from) {
    const auto found = std::ranges::find(where, from, &draw::from);
    return found == where.end() ? nullptr : found->held;
  };
  std::size_t bytes = 0;
  for (batch_number by = through; by.value > 0 && draws_.size() < draws_max;
       by = batch_number{by.value - 1}) {
    const batch_number from = drawn(by, oldest);
    if (from.value == 0) break;  // the log began here
    older_ptr one = held(draws_, from);
    const bool again = one != nullptr;
    if (!one) one = held(before, from);
    if (!one) {
      auto got = read(log, from);
      if (!got) return got.error();
      one = std::move(*got);
    }
    if (!again) bytes += one->bytes;
    if (bytes > how_.cache_bytes && !draws_.empty()) break;
    draws_.push_back({by, from, std::move(one)});
  }
  return {};
}

result<void> history_mix::mix(storage::ordered_log& log, schemas::sample_batch& into) {
  const std::uint32_t count = wanted(into.batch, into.samples);
  if (count == 0 || log.last().last.value == 0) return {};
  if (auto filled = fill(log, into.batch, batch_number{log.last().first.value}); !filled)
    return filled;
  std::vector<const older*> pool;
  std::vector<std::uint64_t> ends;  // fresh samples of the pool through each of its batches
  for (const draw& each : draws_) {
    const auto& batch = each.held->batch;
    if (!same_form(batch, into) || batch.fresh() == 0) continue;
    pool.push_back(each.held.get());
    ends.push_back((ends.empty() ? 0 : ends.back()) + batch.fresh());
  }
  if (pool.empty()) return {};
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t bits = counter_draw(how_.seed ^ golden_ratio, into.batch.value, i);
    const std::uint64_t at = scaled(bits, ends.back());
    const auto in = static_cast<std::size_t>(std::ranges::upper_bound(ends, at) - ends.begin());
    const older& from = *pool[in];
    copy(from.batch, from.lists_begin, at - (ends[in] - from.batch.fresh()), into);
  }
  return {};
}

}  // namespace headrace::worker
