#include "worker/metrics/score_book.hpp"

#include <array>
#include <cstring>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::uint64_t book_format = 1;

void put(std::vector<std::byte>& out, std::uint64_t value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

bool take(std::span<const std::byte>& from, std::uint64_t& value) {
  if (from.size() < sizeof value) return false;
  std::memcpy(&value, from.data(), sizeof value);
  from = from.subspan(sizeof value);
  return true;
}

}  // namespace

bool score_book::add(const schemas::sample_batch& batch,
                     std::span<const float> online,
                     std::span<const float> frozen) {
  if (batch.batch <= through_) return false;
  missed_ += batch.batch.value - through_.value - 1;
  through_ = batch.batch;
  ++batches_;
  for (std::uint32_t i = 0; i < batch.samples; ++i) {
    const float label = batch.labels[i];
    const bool second = batch.row_numbers[i] >= half_row_;
    all_.add(label, online[i]);
    if (second) second_half_.add(label, online[i]);
    if (frozen.empty()) continue;
    since_freeze_.add(label, online[i]);
    frozen_.add(label, frozen[i]);
    if (second) frozen_second_half_.add(label, frozen[i]);
  }
  return true;
}

std::vector<std::byte> score_book::save() const {
  std::vector<std::byte> out;
  for (const std::uint64_t value : {book_format, half_row_, through_.value, batches_, missed_})
    put(out, value);
  for (const auto* part : {&all_, &second_half_, &frozen_second_half_, &since_freeze_, &frozen_}) {
    const auto bytes = part->save();
    put(out, bytes.size());
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  return out;
}

result<void> score_book::load(std::span<const std::byte> bytes) {
  const error damaged{errc::corrupt, "saved figures of the run are damaged or of another format"};
  std::array<std::uint64_t, 5> head{};
  for (auto& value : head) {
    if (!take(bytes, value)) return damaged;
  }
  if (head[0] != book_format) return damaged;
  score_book read(head[1]);
  read.through_ = batch_number{head[2]};
  read.batches_ = head[3];
  read.missed_ = head[4];
  for (auto* part : {&read.all_,
                     &read.second_half_,
                     &read.frozen_second_half_,
                     &read.since_freeze_,
                     &read.frozen_}) {
    std::uint64_t size = 0;
    if (!take(bytes, size) || size > bytes.size()) return damaged;
    if (auto loaded = part->load(bytes.first(size)); !loaded) return loaded;
    bytes = bytes.subspan(size);
  }
  if (!bytes.empty()) return damaged;
  *this = std::move(read);
  return {};
}

}  // namespace headrace::worker
