#include "storage/row_expiry.hpp"

#include "storage/rocks_support.hpp"
#include "storage/row_codec.hpp"

#include <string>
#include <utility>

namespace headrace::storage {
namespace {

// What was set when the compaction began, so that its threads need no lock.
class expired_rows final : public rocksdb::CompactionFilter {
 public:
  explicit expired_rows(std::map<table_id, std::uint64_t> last_seen_below)
      : last_seen_below_(std::move(last_seen_below)) {}

  bool Filter(int,
              const rocksdb::Slice& key,
              const rocksdb::Slice& value,
              std::string*,
              bool*) const override {
    if (key.size() != row_key_bytes || value.size() < row_header_bytes) return false;
    const auto table = table_of(bytes_of(key));
    if (table == position_table) return false;
    const auto limit = last_seen_below_.find(table);
    return limit != last_seen_below_.end() && last_seen_of(bytes_of(value)) < limit->second;
  }
  const char* Name() const override { return "headrace.expired_rows"; }

 private:
  std::map<table_id, std::uint64_t> last_seen_below_;
};

}  // namespace

void row_expiry::set(table_id table, std::uint64_t last_seen_below_ms) {
  const std::lock_guard lock(mutex_);
  last_seen_below_[table] = last_seen_below_ms;
}

std::unique_ptr<rocksdb::CompactionFilter> row_expiry::CreateCompactionFilter(
    const rocksdb::CompactionFilter::Context&) {
  const std::lock_guard lock(mutex_);
  if (last_seen_below_.empty()) return nullptr;
  return std::make_unique<expired_rows>(last_seen_below_);
}

}  // namespace headrace::storage
