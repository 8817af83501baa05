#include "storage/row_file_system.hpp"

#include <utility>

namespace headrace::storage {

row_file_system::row_file_system(std::filesystem::path incoming)
    : FileSystemWrapper(rocksdb::FileSystem::Default()), incoming_(std::move(incoming)) {}

void row_file_system::settle(bool may_name) {
  const std::lock_guard lock(mutex_);
  linked_.clear();
  if (may_name) return;
  for (const std::string& file : doubtful_) {
    target()->DeleteFile(file, {}, nullptr).PermitUncheckedError();
  }
  doubtful_.clear();
}

rocksdb::IOStatus row_file_system::LinkFile(const std::string& file,
                                            const std::string& as,
                                            const rocksdb::IOOptions& options,
                                            rocksdb::IODebugContext* debug) {
  auto status = target()->LinkFile(file, as, options, debug);
  if (!status.ok() || std::filesystem::path(file).parent_path() != incoming_) return status;
  const std::lock_guard lock(mutex_);
  linked_.insert(as);
  return status;
}

rocksdb::IOStatus row_file_system::DeleteFile(const std::string& file,
                                              const rocksdb::IOOptions& options,
                                              rocksdb::IODebugContext* debug) {
  const std::lock_guard lock(mutex_);
  if (!linked_.contains(file)) return target()->DeleteFile(file, options, debug);
  doubtful_.insert(file);
  return rocksdb::IOStatus::OK();
}

}  // namespace headrace::storage
