#include "ps/shard/admission.hpp"

#include "base/random.hpp"

#include <algorithm>
#include <utility>

namespace headrace::ps {
namespace {

constexpr std::uint32_t saturated = 255;
constexpr std::uint64_t second_ms = 1'000;

}  // namespace

// ---- occurrence_sketch ----

occurrence_sketch::occurrence_sketch(std::uint64_t window_ms) : half_ms_((window_ms + 1) / 2) {}

void occurrence_sketch::turn(std::uint64_t stamp_ms) {
  if (newer_.empty()) {
    newer_.resize(depth * width);
    older_.resize(depth * width);
    begun_ms_ = stamp_ms;
  }
  if (half_ms_ == 0 || stamp_ms < begun_ms_ + half_ms_) return;
  const bool long_ago = stamp_ms >= begun_ms_ + 2 * half_ms_;
  std::swap(newer_, older_);
  std::ranges::fill(newer_, std::uint8_t{0});
  if (long_ago) std::ranges::fill(older_, std::uint8_t{0});
  begun_ms_ = stamp_ms;
}

std::uint32_t occurrence_sketch::add(std::uint64_t key,
                                     std::uint32_t occurrences,
                                     std::uint64_t stamp_ms) {
  turn(stamp_ms);
  const std::uint32_t more = std::min(occurrences, saturated);
  std::uint32_t least = UINT32_MAX;
  for (std::size_t row = 0; row < depth; ++row) {
    const std::size_t at = row * width + counter_draw(row, key, 0) % width;
    newer_[at] = static_cast<std::uint8_t>(std::min(saturated, newer_[at] + more));
    least = std::min<std::uint32_t>(least, newer_[at] + older_[at]);
  }
  return least;
}

void occurrence_sketch::save(byte_writer& to) const {
  to.number(begun_ms_);
  to.block(std::as_bytes(std::span(newer_)));
  to.block(std::as_bytes(std::span(older_)));
}

result<void> occurrence_sketch::load(byte_reader& from) {
  const auto begun_ms = from.number<std::uint64_t>();
  const auto newer = from.block();
  const auto older = from.block();
  const bool fits =
      newer.size() == older.size() && (newer.empty() || newer.size() == depth * width);
  if (!from.ok() || !fits) {
    *this = occurrence_sketch(2 * half_ms_);
    return error{errc::corrupt, "an admission sketch is not of the size that it must have"};
  }
  begun_ms_ = begun_ms;
  const auto as_counts = [](std::span<const std::byte> bytes) {
    const auto* first = reinterpret_cast<const std::uint8_t*>(bytes.data());
    return half(first, first + bytes.size());
  };
  newer_ = as_counts(newer);
  older_ = as_counts(older);
  return {};
}

// ---- admission ----

admission::admission(const schemas::table_spec& spec)
    : spec_(spec.admission),
      seed_(spec.init.seed ^ mix64(spec.id.value)),
      counts_(spec.admission.count > 1),
      sketch_(spec.admission.window_ms) {}

bool admission::admit(std::uint64_t key, std::uint32_t occurrences, std::uint64_t stamp_ms) {
  if (counts_ && sketch_.add(key, occurrences, stamp_ms) < spec_.count) return false;
  if (spec_.probability < 1.0F &&
      unit_float(counter_draw(seed_, key, stamp_ms)) >= spec_.probability)
    return false;
  if (spec_.rows_per_second == 0) return true;
  if (stamp_ms >= bucket_ms_ + second_ms || stamp_ms < bucket_ms_) {
    bucket_ms_ = stamp_ms;
    in_bucket_ = 0;
  }
  if (in_bucket_ >= spec_.rows_per_second) return false;
  ++in_bucket_;
  return true;
}

void admission::note(std::uint64_t key, std::uint32_t occurrences, std::uint64_t stamp_ms) {
  if (counts_) sketch_.add(key, occurrences, stamp_ms);
}

void admission::save(byte_writer& to) const {
  to.number(static_cast<std::uint32_t>(counts_));
  if (counts_) sketch_.save(to);
}

result<void> admission::load(byte_reader& from) {
  const bool counted = from.number<std::uint32_t>() != 0;
  if (!counted) return {};
  occurrence_sketch read(spec_.window_ms);
  if (auto loaded = read.load(from); !loaded) return loaded;
  if (counts_) sketch_ = std::move(read);  // a job that no longer counts has no use for it
  return {};
}

}  // namespace headrace::ps
