#pragma once

#include <cstdint>

namespace headrace::storage {

/// Which messages of a topic count, where a broker takes each that it is sent.
///
/// Whoever writes says for which position: the one behind what it knows of. Of several messages for
/// positions that are not taken yet the first one counts; those behind it, of another writer or the
/// same sent twice, are void for every reader, now and later. A message that stands where it was
/// written for counts in any case, so reading can begin there.
class claimed_order {
 public:
  /// Nothing that counts stands at `from` or behind it before the first call.
  explicit claimed_order(std::uint64_t from) : free_(from) {}
  /// In order of `position`.
  bool counts(std::uint64_t position, std::uint64_t written_for) {
    if (written_for < free_) return false;
    free_ = position + 1;
    return true;
  }

 private:
  std::uint64_t free_;  // what counts stands before it
};

}  // namespace headrace::storage
