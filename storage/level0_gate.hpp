#pragma once

#include <rocksdb/db.h>
#include <rocksdb/listener.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace headrace::storage {

/// Makes writers wait for compactions. RocksDB holds back writes to memtables by itself, but takes
/// over as many files as it is given, and each file in level 0 costs every reader. Thread-safe.
class level0_gate final : public rocksdb::EventListener {
 public:
  /// Returns when fewer than `files_max` files lie in level 0, or after `patience`: then
  /// compactions are slow or the disk is full, which the write will tell.
  void wait(rocksdb::DB& db, std::uint64_t files_max, std::chrono::milliseconds patience);

  void OnCompactionCompleted(rocksdb::DB* db, const rocksdb::CompactionJobInfo& job) override;
  const char* Name() const override { return "headrace.level0_gate"; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace headrace::storage
