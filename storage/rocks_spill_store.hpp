#pragma once

#include "storage/spill_store.hpp"

#include <cstddef>
#include <filesystem>
#include <memory>

namespace headrace::storage {

/// A spill store in a RocksDB of its own: a row for each number, without a log and not synced, as
/// nothing of it is read after a restart.
class rocks_spill_store final : public spill_store {
 public:
  /// Empties the folder, which must be absent, empty or a spill store, and holds it. Fails: in_use,
  /// bad_input (it holds something else), disk_full, io_error.
  static result<std::unique_ptr<rocks_spill_store>> open(
      const std::filesystem::path& folder, std::size_t memtable_bytes = std::size_t{16} << 20);
  ~rocks_spill_store() override;

  result<void> write(std::span<const spilled_bytes> batch) override;
  result<void> read(std::span<const std::uint64_t> numbers,
                    const std::function<void(const spilled_bytes&)>& visit) override;
  result<void> remove(std::span<const std::uint64_t> numbers) override;

 private:
  struct engine;
  explicit rocks_spill_store(std::unique_ptr<engine> built);
  std::unique_ptr<engine> engine_;
};

}  // namespace headrace::storage
