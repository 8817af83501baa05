#include "base/check.hpp"
#include "kernels/top_k/packed_lanes.hpp"
#include "kernels/top_k/top_k.hpp"

#include <algorithm>
#include <array>
#include <bit>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/top_k/top_k_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

using int_tag = hn::CappedTag<std::int32_t, lanes_max>;
constexpr std::int32_t magnitude_mask = 0x7FFFFFFF;

/// A digit of the magnitude, and the counters of its values.
struct radix_digit {
  int shift;
  std::uint32_t* counts;
  std::size_t size;

  std::size_t of(std::int32_t magnitude) const {
    return (static_cast<std::uint32_t>(magnitude) >> shift) & (size - 1);
  }
};

/// Where the k-th largest magnitude lies, from counts of all magnitudes >= low.
struct radix_place {
  std::int32_t low;    // the magnitudes that share the digits found so far: [low, high]
  std::int32_t high;   //
  std::size_t wanted;  // how many of them belong to the k largest, the largest first
};

HWY_INLINE std::int32_t magnitude_at(const float* values, std::size_t i) {
  return std::bit_cast<std::int32_t>(values[i]) & magnitude_mask;
}

HWY_INLINE hn::Vec<int_tag> magnitudes_at(const float* values, std::size_t i) {
  const int_tag d;
  const hn::RebindToFloat<int_tag> df;
  return hn::And(hn::BitCast(d, hn::LoadU(df, values + i)), hn::Set(d, magnitude_mask));
}

/// Stores the lanes of the mask side by side, whatever behind them up to a whole vector; their
/// number.
HWY_INLINE std::size_t store_packed(hn::Vec<int_tag> v, hn::Mask<int_tag> mask, std::int32_t* to) {
  const int_tag d;
  if constexpr (hn::MaxLanes(int_tag()) > 8) {
    hn::StoreU(hn::Compress(v, mask), d, to);
    return hn::CountTrue(d, mask);
  } else {
    const hn::Rebind<std::uint8_t, int_tag> du8;
    std::array<std::uint8_t, 8> bits;
    hn::StoreMaskBits(d, mask, bits.data());
    const auto lanes = hn::PromoteTo(d, hn::LoadU(du8, packed_lanes[bits[0]].data()));
    hn::StoreU(hn::TableLookupLanes(v, hn::IndicesFromVec(d, lanes)), d, to);
    return static_cast<std::size_t>(std::popcount(bits[0]));
  }
}

/// Counts the digits of the magnitudes in [low, high]. The few that qualify are packed together
/// first: no branch depends on the data.
void count_digits(const float* values,
                  std::size_t n,
                  std::int32_t low,
                  std::int32_t high,
                  const radix_digit& digit) {
  constexpr std::size_t room = 1024;
  std::array<std::int32_t, room + lanes_max> packed;
  std::size_t filled = 0;
  const auto flush = [&packed, &filled, &digit] {
    for (std::size_t j = 0; j < filled; ++j) ++digit.counts[digit.of(packed[j])];
    filled = 0;
  };
  std::fill_n(digit.counts, digit.size, 0U);
  const int_tag d;
  const auto below = hn::Set(d, low - 1);  // low >= 0; high may be the largest integer
  const auto top = hn::Set(d, high);
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    const auto magnitudes = magnitudes_at(values, i);
    const auto inside = hn::AndNot(hn::Gt(magnitudes, top), hn::Gt(magnitudes, below));
    filled += store_packed(magnitudes, inside, packed.data() + filled);
    if (filled >= room) flush();
  }
  flush();
  for (; i < n; ++i) {
    const std::int32_t magnitude = magnitude_at(values, i);
    if (magnitude >= low && magnitude <= high) ++digit.counts[digit.of(magnitude)];
  }
}

/// Narrows the place to one value of the digit; false where the counts hold fewer than are wanted.
bool narrow(radix_place& place, const radix_digit& digit) {
  std::size_t wanted = place.wanted;
  for (std::size_t value = digit.size; value > 0; --value) {
    const std::size_t count = digit.counts[value - 1];
    if (count >= wanted) {
      const std::uint32_t start = static_cast<std::uint32_t>(place.low) +
                                  (static_cast<std::uint32_t>(value - 1) << digit.shift);
      place.low = static_cast<std::int32_t>(start);
      place.high = static_cast<std::int32_t>(start + ((1U << digit.shift) - 1U));
      place.wanted = wanted;
      return true;
    }
    wanted -= count;
  }
  return false;
}

/// A magnitude that about 1.5 k + a few of all are not below, by a sample of an 1/64; 0 for too few
/// values to be worth one. Being wrong costs a pass.
std::int32_t likely_floor(const float* values, std::size_t n, std::size_t k, radix_digit digit) {
  constexpr std::size_t run = 16;  // a cache line
  constexpr std::size_t apart = 64 * run;
  constexpr std::size_t worth = 1 << 16;
  if (n < worth) return 0;
  std::fill_n(digit.counts, digit.size, 0U);
  for (std::size_t start = 0; start + run <= n; start += apart) {
    for (std::size_t i = start; i < start + run; ++i) {
      ++digit.counts[digit.of(magnitude_at(values, i))];
    }
  }
  radix_place place = {0, 0, k / 64 + k / 128 + 16};
  return narrow(place, digit) ? place.low : 0;
}

/// The magnitude of the k-th largest, and how many of that magnitude are taken. k >= 1.
radix_place kth_largest(const top_k_args& args) {
  const float* values = args.values.data();
  const std::size_t n = args.values.size();
  std::uint32_t* counts = args.workspace.data();
  const radix_digit first = {20, counts, 2048};
  const radix_digit second = {10, counts + 2048, 1024};
  const radix_digit third = {0, counts + 3072, 1024};
  const std::size_t k = args.indices.size();
  radix_place place = {0, magnitude_mask, k};
  count_digits(values, n, likely_floor(values, n, k, first), magnitude_mask, first);
  if (!narrow(place, first)) {
    count_digits(values, n, 0, magnitude_mask, first);
    narrow(place, first);
  }
  count_digits(values, n, place.low, place.high, second);
  narrow(place, second);
  count_digits(values, n, place.low, place.high, third);
  narrow(place, third);
  return place;
}

/// Appends what is selected, in order of index.
class selection {
 public:
  selection(const top_k_args& args, const radix_place& kth)
      : values_(args.values.data()),
        indices_(args.indices.data()),
        k_(args.indices.size()),
        kth_(kth.low),
        ties_(kth.wanted) {}

  HWY_INLINE bool full() const { return taken_ == k_; }
  HWY_INLINE bool has_room(std::size_t more) const { return taken_ + more <= k_; }

  /// The value at i, where it belongs.
  HWY_INLINE void consider(std::size_t i) {
    const std::int32_t magnitude = magnitude_at(values_, i);
    if (magnitude < kth_ || (magnitude == kth_ && ties_ == 0)) return;
    if (magnitude == kth_) --ties_;
    indices_[taken_++] = static_cast<std::uint32_t>(i);
  }

  /// The vector of values from i; has_room for all of it, because packing writes whole vectors.
  HWY_INLINE void consider_vector(std::size_t i) {
    const int_tag d;
    const auto magnitudes = magnitudes_at(values_, i);
    const auto equal = hn::Eq(magnitudes, hn::Set(d, kth_));
    auto taken = hn::Gt(magnitudes, hn::Set(d, kth_));
    if (HWY_UNLIKELY(!hn::AllFalse(d, equal))) {
      const std::size_t more = hn::CountTrue(d, equal);
      if (more > ties_) {
        for (std::size_t j = i; j < i + hn::Lanes(d); ++j) consider(j);
        return;
      }
      ties_ -= more;
      taken = hn::Or(taken, equal);
    }
    const auto indices = hn::Iota(d, static_cast<std::int32_t>(static_cast<std::uint32_t>(i)));
    taken_ += store_packed(indices, taken, reinterpret_cast<std::int32_t*>(indices_ + taken_));
  }

  /// Whether the vector from i holds anything to consider.
  HWY_INLINE bool may_take(std::size_t i) const {
    const int_tag d;
    return !hn::AllFalse(d, hn::Gt(magnitudes_at(values_, i), hn::Set(d, kth_ - 1)));
  }

 private:
  const float* values_;
  std::uint32_t* indices_;
  std::size_t k_;
  std::int32_t kth_;
  std::size_t ties_;  // still to be taken
  std::size_t taken_ = 0;
};

void top_k_target(const top_k_args& args) {
  const std::size_t n = args.values.size();
  const std::size_t lanes = hn::Lanes(int_tag());
  selection chosen(args, kth_largest(args));
  std::size_t i = 0;
  for (; i + lanes <= n && chosen.has_room(lanes); i += lanes) chosen.consider_vector(i);
  for (; i + lanes <= n && !chosen.full(); i += lanes) {
    if (!chosen.may_take(i)) continue;
    for (std::size_t j = i; j < i + lanes; ++j) chosen.consider(j);
  }
  for (; i < n && !chosen.full(); ++i) chosen.consider(i);
  for (std::size_t j = 0; j < args.indices.size(); ++j) {
    args.selected[j] = args.values[args.indices[j]];
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(top_k_target);

void top_k_cpu(const top_k_args& args) {
  CHECK(args.values.size() <= 0xFFFFFFFFU);
  CHECK(args.indices.size() <= args.values.size());
  CHECK(args.selected.size() == args.indices.size());
  CHECK(args.workspace.size() >= top_k_workspace());
  if (args.indices.empty()) return;
  HWY_DYNAMIC_DISPATCH(top_k_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
