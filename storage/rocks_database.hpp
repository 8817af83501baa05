#pragma once

#include "base/result.hpp"
#include "storage/rocks_row_store.hpp"
#include "storage/row_ingest.hpp"

#include <rocksdb/db.h>

#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>

namespace headrace::storage {

class full_disk_listener;
class level0_gate;
class row_expiry;
class row_file_system;

/// An open RocksDB, opened again by the first write after a full disk stopped it.
///
/// A disk that is full when RocksDB adds a line to its manifest, or merges files, stops it for
/// good. Its own way back, Resume(), flushes memtables; ours are always empty
/// (storage/row_ingest.hpp), and Debian's 7.8 ends the process by an assertion on the file that
/// such a flush doesn't write. As every row that was written lies in a file, closing loses nothing.
/// While there is no space to open it for writing, it is open for reading. Any other error stays:
/// nobody knows what the disk holds then, and the process must start anew. Thread-safe.
class rocks_database {
 public:
  /// Fails as rocks_row_store::open does.
  static result<std::unique_ptr<rocks_database>> open(const rocks_row_store::options& how);
  ~rocks_database();

  /// The database, which nobody closes while this lives. A thread holds one at most.
  struct reading {
    std::shared_lock<std::shared_mutex> open;
    rocksdb::DB* db = nullptr;
  };
  /// Fails: disk_full, io_error when it could not be opened again even for reading.
  result<reading> read();

  struct writing {
    std::shared_lock<std::shared_mutex> open;
    rocksdb::DB* db = nullptr;
    row_ingest* files = nullptr;
  };
  /// Opens it again where that is needed. Fails: disk_full, io_error, corrupt; in_use when it was
  /// opened for reading only.
  result<writing> write();
  /// A full disk stopped it: the next `write` opens it again.
  bool stopped() const;

  row_expiry& expiry() { return *expiry_; }

 private:
  explicit rocks_database(const rocks_row_store::options& how);
  // The caller has `open_` to itself.
  result<void> open_to_read();
  result<void> open_to_write();
  result<void> open_again();
  void close();

  const rocks_row_store::options how_;
  std::shared_ptr<row_expiry> expiry_;
  std::shared_ptr<level0_gate> gate_;
  std::shared_ptr<full_disk_listener> full_disk_;
  std::shared_ptr<row_file_system> files_;
  std::unique_ptr<rocksdb::Env> env_;  // over `files_`
  std::shared_mutex open_;             // held shared by who uses what follows
  std::unique_ptr<rocksdb::DB> db_;
  std::unique_ptr<row_ingest> ingest_;  // none while it is open for reading
  std::optional<error> why_not_;        // no database at all
};

}  // namespace headrace::storage
