#pragma once

#include <rocksdb/file_system.h>

#include <filesystem>
#include <mutex>
#include <string>
#include <unordered_set>

namespace headrace::storage {

/// The files of a row store, none of which goes away while its manifest may still name it.
///
/// RocksDB takes a file over by a link and a line in its manifest. When that line cannot be synced,
/// it removes the link again (7.8; for files of its own it knows better since 6.3), though the line
/// may be in the manifest all the same: then the store can't be opened. Here such a link stays
/// until the store is opened again, or until it is known that no line names it. Thread-safe.
class row_file_system final : public rocksdb::FileSystemWrapper {
 public:
  /// Files come from `incoming`; other links, as a checkpoint makes them, are not watched.
  explicit row_file_system(std::filesystem::path incoming);

  /// A take-over ended. Links that RocksDB wanted removed go now, unless a line `may_name` them.
  void settle(bool may_name);

  rocksdb::IOStatus LinkFile(const std::string& file,
                             const std::string& as,
                             const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& file,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  const char* Name() const override { return "headrace.row_file_system"; }

 private:
  const std::filesystem::path incoming_;
  std::mutex mutex_;
  std::unordered_set<std::string> linked_;    // being taken over
  std::unordered_set<std::string> doubtful_;  // the manifest may name them or not
};

}  // namespace headrace::storage
