#pragma once

#include "base/ids.hpp"

#include <rocksdb/compaction_filter.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace headrace::storage {

/// Drops rows that nobody has seen for long while RocksDB compacts; positions and values that
/// headrace did not write stay. A dropped row hides its older versions, as a delete does.
/// Thread-safe.
class row_expiry final : public rocksdb::CompactionFilterFactory {
 public:
  /// Rows of `table` last seen before `last_seen_below_ms` go, in compactions that begin from now.
  void set(table_id table, std::uint64_t last_seen_below_ms);

  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& context) override;
  const char* Name() const override { return "headrace.row_expiry"; }

 private:
  std::mutex mutex_;
  std::map<table_id, std::uint64_t> last_seen_below_;
};

}  // namespace headrace::storage
