#pragma once

#include <cstdint>

namespace headrace::worker {

/// An even rate: `records` records in `duration_ns`. Pure arithmetic; time is handed in by whoever
/// asks.
class pacer {
 public:
  /// `records` 0 counts as 1.
  pacer(std::uint64_t duration_ns, std::uint64_t records)
      : duration_ns_(duration_ns), records_(records == 0 ? 1 : records) {}

  /// When record `i` (from 0) is due, in ns after the start: floor(i * duration / records).
  std::uint64_t due_ns(std::uint64_t i) const {
    const std::uint64_t rounds =
        i / records_;  // a source longer than it said goes on at the same rate
    return rounds * duration_ns_ + scaled(i % records_);
  }

 private:
  // part * duration / records with part < records, without overflow for any 64-bit values.
  std::uint64_t scaled(std::uint64_t part) const {
    const std::uint64_t whole = duration_ns_ / records_;
    const std::uint64_t rest = duration_ns_ % records_;
    return part * whole + static_cast<std::uint64_t>(static_cast<long double>(part) *
                                                     static_cast<long double>(rest) /
                                                     static_cast<long double>(records_));
  }

  std::uint64_t duration_ns_;
  std::uint64_t records_;
};

}  // namespace headrace::worker
