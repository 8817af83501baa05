#pragma once

#include "base/result.hpp"
#include "storage/file_io.hpp"
#include "storage/ordered_log.hpp"
#include "storage/record_codec.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>

namespace headrace::storage {

/// Reads one segment file record by record and checks each: header, position, chain, body.
///
/// Reads in pieces that grow from 64 KiB to 4 MiB, so that one record is cheap and many are fast;
/// read(2) and not mmap, because a disk error must come back as an error and not as SIGBUS. Frames
/// share the piece they lie in.
class segment_cursor {
 public:
  /// Starts at `offset`, where record `next` begins whose prev_hash must be `chain`. `end` is the
  /// end of what may be read. Fails: not_found, io_error.
  static result<segment_cursor> open(const std::filesystem::path& path,
                                     std::uint64_t offset,
                                     std::uint64_t end,
                                     lsn next,
                                     std::uint64_t chain);

  enum class found : std::uint8_t {
    record,
    end,   // `end` was reached behind a whole record
    torn,  // `end` cuts a record short, or nothing but zeros stands before it
  };
  /// Fails: corrupt (file, offset, record and the way out named), io_error.
  result<found> next(log_record& into);

  /// Behind the last record found.
  std::uint64_t offset() const { return offset_; }
  std::uint64_t chain() const { return chain_; }

 private:
  segment_cursor() = default;
  result<const std::byte*> need(std::uint64_t bytes);
  result<bool> only_zeros();
  error damage(const std::string& what) const;

  std::filesystem::path path_;
  file_handle file_;
  std::uint64_t offset_ = 0;
  std::uint64_t end_ = 0;
  lsn next_;
  std::uint64_t chain_ = 0;
  std::shared_ptr<std::byte[]> piece_;
  std::size_t piece_capacity_ = 0;
  std::size_t piece_bytes_ = 0;
  std::uint64_t piece_offset_ = 0;
  std::size_t piece_next_ = std::size_t{64} << 10;
};

/// `corrupt`, in one line: where, what, and the way out, which is to cut the log at `offset` or to
/// restore it.
error log_damage(const std::filesystem::path& path,
                 std::uint64_t offset,
                 lsn at,
                 const std::string& what);

}  // namespace headrace::storage
