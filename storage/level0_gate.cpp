#include "storage/level0_gate.hpp"

#include <string>

namespace headrace::storage {
namespace {

std::uint64_t level0_files(rocksdb::DB& db) {
  std::string files;  // RocksDB has it as text only
  if (!db.GetProperty(rocksdb::DB::Properties::kNumFilesAtLevelPrefix + "0", &files)) return 0;
  return std::stoull(files);
}

}  // namespace

void level0_gate::wait(rocksdb::DB& db,
                       std::uint64_t files_max,
                       std::chrono::milliseconds patience) {
  if (level0_files(db) < files_max) return;
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, patience, [&] { return level0_files(db) < files_max; });
}

void level0_gate::OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo&) {
  const std::lock_guard lock(mutex_);
  changed_.notify_all();
}

}  // namespace headrace::storage
