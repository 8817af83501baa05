#pragma once

#include "base/byte_io.hpp"
#include "base/result.hpp"
#include "schemas/schema.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::ps {

/// How often keys without a row were pushed lately: a count-min sketch of two halves, the older of
/// which is dropped when half a window has passed. Counts are never too small for what the last
/// half window to window brought, and saturate at 255. 256 KiB. Single-threaded.
class occurrence_sketch {
 public:
  /// `window_ms` 0: nothing is ever dropped.
  explicit occurrence_sketch(std::uint64_t window_ms);

  /// Adds and gives the count, this one included.
  std::uint32_t add(std::uint64_t key, std::uint32_t occurrences, std::uint64_t stamp_ms);

  void save(byte_writer& to) const;
  /// Fails: corrupt; the sketch is then empty.
  result<void> load(byte_reader& from);

 private:
  static constexpr std::size_t depth = 4;
  static constexpr std::size_t width = std::size_t{1} << 15;
  using half = std::vector<std::uint8_t>;  // [depth, width]

  void turn(std::uint64_t stamp_ms);

  std::uint64_t half_ms_;
  std::uint64_t begun_ms_ = 0;  // of `newer_`
  half newer_;
  half older_;
};

/// Decides which keys of one table get a row (schemas::admission_spec). The sketch counts what was
/// pushed, sent again or not: a push that the log refused counts once more when it comes again.
/// Chance is a function of (table seed, key, stamp). What is decided stands in the record; replay
/// asks nobody. Single-threaded: the shard owns it.
class admission {
 public:
  explicit admission(const schemas::table_spec& spec);

  /// Every key is admitted: nobody needs to ask.
  bool open() const { return !counts_ && spec_.probability >= 1.0F && spec_.rows_per_second == 0; }
  /// A key without a row was pushed `occurrences` times in a record stamped `stamp_ms`.
  bool admit(std::uint64_t key, std::uint32_t occurrences, std::uint64_t stamp_ms);
  /// Whether occurrences are counted at all.
  bool counts() const { return counts_; }
  /// The same key in a record that is redone, which has decided.
  void note(std::uint64_t key, std::uint32_t occurrences, std::uint64_t stamp_ms);

  void save(byte_writer& to) const;
  result<void> load(byte_reader& from);

 private:
  schemas::admission_spec spec_;
  std::uint64_t seed_;
  bool counts_;  // more than one occurrence is asked for
  occurrence_sketch sketch_;
  std::uint64_t bucket_ms_ = 0;  // of the rate: the second that is being filled
  std::uint64_t in_bucket_ = 0;
};

}  // namespace headrace::ps
