#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/file_io.hpp"
#include "storage/ordered_log.hpp"
#include "storage/record_codec.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <vector>

/// The files behind a segment log: no threads, no modes, no buffering.
namespace headrace::storage {

/// What opening reads: every record of every segment, or of the newest only (the others by their
/// file headers).
enum class segment_check : std::uint8_t { everything, newest };

inline constexpr std::uint32_t segment_format_version = 1;
inline constexpr std::size_t segment_header_bytes = 64;

/// First bytes of a segment file (docs/storage-format.md).
struct segment_header {
  lsn first;                    // lsn of the first record, as in the file's name
  std::uint64_t prev_hash = 0;  // chain hash of the record before it; 0 if there was none
  friend bool operator==(const segment_header&, const segment_header&) = default;
};
header_bytes encode_segment_header(const segment_header& header);
/// Fails: corrupt, in words that fit behind a file name.
result<segment_header> decode_segment_header(
    std::span<const std::byte, segment_header_bytes> bytes);
/// "00000000000000000042.log", so that names sort as positions do.
std::string segment_name(lsn first);

/// A log's files, oldest first; the newest is written. One thread at a time.
class segment_files {
 public:
  struct options {
    std::filesystem::path folder;
    std::uint64_t segment_bytes = 0;
    bool read_only = false;
    bool durable = false;  // creation, roll and removal are synced, folder included
    lsn continue_after;
    segment_check check = segment_check::everything;
    std::function<int(int descriptor)> sync;
    std::function<int(int descriptor, std::uint64_t bytes)> cut;
  };
  static result<segment_files> open(options how);

  /// Appends behind the last record, all or nothing; begins a new file first where the newest is
  /// full.
  append_outcome write(std::span<const log_record> group);
  /// fdatasync of the newest file. A failure ends the process.
  void sync_or_end();
  // A place to begin reading: one for about every 64 KiB of file.
  struct mark {
    lsn next;
    std::uint64_t offset = 0;
    std::uint64_t chain = 0;
  };
  /// One file.
  struct segment {
    std::filesystem::path path;
    lsn first;
    lsn last;  // first − 1 while empty
    std::uint64_t bytes = segment_header_bytes;
    std::uint64_t chain = 0;  // behind the last record
    std::vector<mark> marks;
    bool empty() const { return last < first; }
    void note(lsn next, std::uint64_t offset, std::uint64_t before);
  };

  /// Takes whole files below `keep_from` out of the log, oldest first; then `remove` and, for what
  /// it leaves, `put_back`.
  std::vector<segment> take_before(lsn keep_from);
  /// Removes the files, oldest first, and takes each from `taken`. Touches nothing else here, so
  /// that appends may go on meanwhile: removing takes tens of milliseconds a file. Fails: io_error.
  result<void> remove(std::vector<segment>& taken) const;
  void put_back(std::vector<segment> taken);
  void close();

  /// Where to read, taken by value: reading needs no lock against `write`, which only adds behind
  /// `end`.
  struct stretch {
    std::filesystem::path path;
    std::uint64_t offset = 0;
    std::uint64_t end = 0;
    lsn next;                 // of the record at `offset`
    std::uint64_t chain = 0;  // what its prev_hash must be
  };
  std::vector<stretch> stretches(lsn from) const;
  /// Visits the records of `where` from `from` on. False: the visitor stopped. Fails: corrupt,
  /// io_error.
  static result<bool> read(const stretch& where, lsn from, const ordered_log::visitor& visit);

  ordered_log::extent extent() const;
  lsn last() const { return last_; }
  std::uint64_t bytes() const;
  std::uint64_t torn_bytes() const { return torn_bytes_; }

 private:
  explicit segment_files(options how) : options_(std::move(how)) {}
  result<void> load();
  result<void> load_segment(const std::filesystem::path& path, lsn named, lsn later);
  result<void> verify(segment& into, std::uint64_t file_bytes, bool newest);
  result<void> skim(segment& into, std::uint64_t file_bytes, lsn later);
  result<void> begin_after(lsn position);
  result<void> open_newest();
  append_outcome begin_segment();
  append_outcome undo(int code);
  void reserve(std::uint64_t bytes);
  void trim();

  options options_;
  std::vector<segment> segments_;
  file_handle newest_;          // open for writing; empty until the first write
  std::uint64_t reserved_ = 0;  // bytes of it that have disk blocks; above its size
  lsn last_;
  std::uint64_t chain_ = 0;
  std::uint64_t torn_bytes_ = 0;
  std::vector<header_bytes> headers_;  // reused by write
  std::vector<std::uint64_t> chains_;
  std::vector<::iovec> pieces_;
};

}  // namespace headrace::storage
