#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace headrace::ps {

/// What one source may bring to one shard; 0 = no limit.
struct quota_limits {
  std::uint64_t rows_per_second = 0;
  std::uint64_t new_rows_per_second = 0;
  std::uint64_t bytes_per_second = 0;
  std::uint32_t burst_ms = 1'000;   // what a source that was idle may bring at once, as time
  std::size_t sources_max = 4'096;  // remembered at once
  bool limited() const { return (rows_per_second | new_rows_per_second | bytes_per_second) != 0; }
};

/// What one push brings.
struct quota_cost {
  std::uint64_t rows = 0;
  std::uint64_t new_rows = 0;  // keys that would get a row, as admission decided
  std::uint64_t bytes = 0;     // of the section
};

/// Token buckets for each source: rows, new rows and bytes a second.
///
/// Over any span of time a source is admitted at most rate × span + max(rate × burst, its largest
/// push): a push larger than the burst is admitted when the bucket is full, and the time it takes
/// is paid behind it. What one source does changes nothing for another. Sources are told apart by
/// name: a new generation goes on with the bucket of the one before.
///
/// A source whose buckets are full again is like one never met and is forgotten when room is
/// needed; with more than `sources_max` busy ones the fullest bucket is forgotten, which gives that
/// source one burst and refuses nobody.
///
/// Ask once for each push that is new (the push rule said so) and about to be appended: duplicates
/// and refusals cost nothing. No part of replay. Single-threaded: the shard owns it.
class source_quota {
 public:
  explicit source_quota(const quota_limits& limits);

  /// 0: admitted and charged. Else nothing is charged, and the push fits in that many milliseconds.
  /// `now_ms` from a clock that does not jump; where it goes back, time stands still.
  std::uint32_t admit(std::string_view source, const quota_cost& cost, std::uint64_t now_ms);

  std::size_t sources() const { return sources_.size(); }

 private:
  /// In thousandths of a token, so that rate × milliseconds needs no division; below 0 after a push
  /// larger than the burst.
  struct buckets {
    std::int64_t rows = 0;
    std::int64_t new_rows = 0;
    std::int64_t bytes = 0;
    std::uint64_t filled_ms = 0;
  };

  buckets full(std::uint64_t now_ms) const;
  void refill(buckets& of, std::uint64_t now_ms) const;
  std::uint64_t missing_ms(const buckets& of) const;
  buckets& find_or_add(std::string_view source, std::uint64_t now_ms);
  void make_room(std::uint64_t now_ms);

  quota_limits limits_;
  std::map<std::string, buckets, std::less<>> sources_;
};

}  // namespace headrace::ps
