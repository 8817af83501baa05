#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace headrace::storage {

/// Bytes that found no room in memory, by number, until they are read or removed.
struct spilled_bytes {
  std::uint64_t number = 0;
  std::span<const std::byte> bytes;
};

/// Memory's annex: what is put here lives no longer than the process, and opening one begins empty.
/// Engines: RocksDB (storage/rocks_spill_store.hpp), memory. One thread.
class spill_store {
 public:
  virtual ~spill_store() = default;
  /// Numbers ascending, each new. When it fails, none of them counts as written. Fails: disk_full,
  /// io_error.
  virtual result<void> write(std::span<const spilled_bytes> batch) = 0;
  /// Visits each of `numbers` (strictly ascending, each written and not removed) in order; bytes
  /// are valid during the call. Fails: corrupt (one is missing, or its checksum is wrong),
  /// io_error.
  virtual result<void> read(std::span<const std::uint64_t> numbers,
                            const std::function<void(const spilled_bytes&)>& visit) = 0;
  /// Fails: disk_full, io_error.
  virtual result<void> remove(std::span<const std::uint64_t> numbers) = 0;
};

}  // namespace headrace::storage
