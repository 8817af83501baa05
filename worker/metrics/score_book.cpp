#include "worker/metrics/score_book.hpp"

#include "base/byte_io.hpp"

#include <array>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::uint64_t book_format = 1;

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
  byte_writer out;
  for (const std::uint64_t value : {book_format, half_row_, through_.value, batches_, missed_})
    out.number(value);
  for (const auto* part : {&all_, &second_half_, &frozen_second_half_, &since_freeze_, &frozen_}) {
    out.block(part->save());
  }
  return out.take();
}

result<void> score_book::load(std::span<const std::byte> bytes) {
  byte_reader in(bytes);
  const bool known = in.number<std::uint64_t>() == book_format;
  const auto half_row = in.number<std::uint64_t>();
  const auto through = in.number<std::uint64_t>();
  const auto batches = in.number<std::uint64_t>();
  const auto missed = in.number<std::uint64_t>();
  std::array<std::span<const std::byte>, 5> saved;
  for (auto& part : saved) part = in.block();
  if (!known || !in.at_end())
    return error{errc::corrupt, "saved figures of the run are damaged or of another format"};
  score_book read(half_row);  // 10 MB of histograms: not before the bytes look like a book
  read.through_ = batch_number{through};
  read.batches_ = batches;
  read.missed_ = missed;
  const std::array parts{&read.all_,
                         &read.second_half_,
                         &read.frozen_second_half_,
                         &read.since_freeze_,
                         &read.frozen_};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (auto loaded = parts[i]->load(saved[i]); !loaded) return loaded;
  }
  *this = std::move(read);
  return {};
}

}  // namespace headrace::worker
