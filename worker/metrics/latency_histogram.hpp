#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace headrace::worker {

/// How long something took, in milliseconds: exact below 16, then within an eighth. 4 KiB; single-
/// threaded.
class latency_histogram {
 public:
  void add(std::uint64_t ms) {
    ++counts_[bucket(ms)];
    ++total_;
  }
  std::uint64_t count() const { return total_; }
  /// The least time that a share `q` (0 … 1) of all stayed within, rounded up to its bucket's end;
  /// 0 when there is none.
  std::uint64_t quantile(double q) const {
    const auto wanted = static_cast<std::uint64_t>(q * static_cast<double>(total_));
    std::uint64_t seen = 0;
    for (std::size_t b = 0; b < counts_.size(); ++b) {
      seen += counts_[b];
      if (counts_[b] > 0 && (seen > wanted || seen == total_)) return end(b);
    }
    return 0;
  }

 private:
  // Below 16 one a number; above, eight for each power of two.
  static std::size_t bucket(std::uint64_t ms) {
    if (ms < 16) return static_cast<std::size_t>(ms);
    const auto power = static_cast<std::size_t>(std::bit_width(ms) - 1);
    return 16 + (power - 4) * 8 + static_cast<std::size_t>(ms >> (power - 3) & 7U);
  }
  static std::uint64_t end(std::size_t bucket) {
    if (bucket < 16) return bucket;
    const std::size_t power = (bucket - 16) / 8 + 4;
    return ((8 + (bucket - 16) % 8 + 1) << (power - 3)) - 1;
  }

  std::array<std::uint64_t, 16 + 60 * 8> counts_{};
  std::uint64_t total_ = 0;
};

}  // namespace headrace::worker
