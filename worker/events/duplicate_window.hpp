#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace headrace::worker {

/// The newest ids, up to a number, to know one again. Keeps 64-bit hashes (xxh3 under a secret of the
/// process would make a restart forget, so the seed is fixed and 128 bits are kept): 16 bytes and a
/// slot an id. One thread.
class duplicate_window {
 public:
  explicit duplicate_window(std::uint64_t ids_max);
  /// False, and nothing changes, when it is known.
  bool add(std::string_view id);
  /// Takes the `count` newest back.
  void take_back(std::uint64_t count);
  std::uint64_t size() const;
};

}  // namespace headrace::worker
