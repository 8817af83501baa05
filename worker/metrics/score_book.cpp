#include "worker/metrics/score_book.hpp"

#include "base/byte_io.hpp"
#include "base/check.hpp"
#include "worker/join/negative_offset.hpp"

#include <array>
#include <string>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::uint64_t one_head_format = 1;
constexpr std::uint64_t heads_format = 2;  // the number of heads stands behind the missed batches

// In the order of the bytes.
template <class Scores>
auto parts_of(Scores& scores) {
  return std::array{&scores.all,
                    &scores.second_half,
                    &scores.frozen_second_half,
                    &scores.since_freeze,
                    &scores.frozen};
}

}  // namespace

score_book::score_book(std::uint64_t half_row, std::vector<scored_head> heads, float negative_share)
    : half_row_(half_row),
      heads_(std::move(heads)),
      scores_(heads_.size()),
      negative_share_(negative_share) {
  CHECK(!heads_.empty());
}

bool score_book::add(const schemas::sample_batch& batch,
                     std::span<const float> online,
                     std::span<const float> frozen) {
  if (batch.batch <= through_) return false;
  missed_ += batch.batch.value - through_.value - 1;
  through_ = batch.batch;
  ++batches_;
  CHECK(online.size() == batch.samples * heads_.size());
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    head_scores& scores = scores_[h];
    for (std::uint32_t i = 0; i < batch.fresh(); ++i) {
      const std::size_t at = i * heads_.size() + h;
      const float label = batch.labels[std::size_t{i} * batch.label_count + heads_[h].label];
      const float weight = negative_weight(
          std::span(batch.labels).subspan(std::size_t{i} * batch.label_count, batch.label_count),
          negative_share_);
      const bool second = batch.row_numbers[i] >= half_row_;
      scores.all.add(label, online[at], weight);
      if (second) scores.second_half.add(label, online[at], weight);
      if (frozen.empty()) continue;
      scores.since_freeze.add(label, online[at], weight);
      scores.frozen.add(label, frozen[at], weight);
      if (second) scores.frozen_second_half.add(label, frozen[at], weight);
    }
  }
  return true;
}

std::vector<std::byte> score_book::save() const {
  byte_writer out;
  const bool one = heads_.size() == 1;
  for (const std::uint64_t value :
       {one ? one_head_format : heads_format, half_row_, through_.value, batches_, missed_})
    out.number(value);
  if (!one) out.number(std::uint64_t{heads_.size()});
  for (const head_scores& scores : scores_) {
    for (const auto* part : parts_of(scores)) out.block(part->save());
  }
  return out.take();
}

result<void> score_book::load(std::span<const std::byte> bytes) {
  byte_reader in(bytes);
  const auto format = in.number<std::uint64_t>();
  const auto half_row = in.number<std::uint64_t>();
  const auto through = in.number<std::uint64_t>();
  const auto batches = in.number<std::uint64_t>();
  const auto missed = in.number<std::uint64_t>();
  const auto heads = format == heads_format ? in.number<std::uint64_t>() : std::uint64_t{1};
  if (in.ok() && heads != heads_.size() && (format == one_head_format || format == heads_format))
    return error{errc::corrupt,
                 "saved figures are of a model with " + std::to_string(heads) +
                     " predicted labels; this one has " + std::to_string(heads_.size())};
  std::vector<std::array<std::span<const std::byte>, 5>> saved(heads_.size());
  for (auto& of_head : saved) {
    for (auto& part : of_head) part = in.block();
  }
  const bool known = format == (heads_.size() == 1 ? one_head_format : heads_format);
  if (!known || !in.at_end())
    return error{errc::corrupt, "saved figures of the run are damaged or of another format"};
  score_book read(
      half_row, heads_, negative_share_);  // megabytes: not before the bytes look like a book
  read.through_ = batch_number{through};
  read.batches_ = batches;
  read.missed_ = missed;
  for (std::size_t h = 0; h < saved.size(); ++h) {
    const auto parts = parts_of(read.scores_[h]);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (auto loaded = parts[i]->load(saved[h][i]); !loaded) return loaded;
    }
  }
  *this = std::move(read);
  return {};
}

}  // namespace headrace::worker
