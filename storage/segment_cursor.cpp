#include "storage/segment_cursor.hpp"

#include <algorithm>
#include <array>
#include <fcntl.h>

namespace headrace::storage {
namespace {

constexpr std::size_t piece_max = std::size_t{4} << 20;

}  // namespace

error log_damage(const std::filesystem::path& path,
                 std::uint64_t offset,
                 lsn at,
                 const std::string& what) {
  const std::string record = std::to_string(at.value);
  return error{errc::corrupt,
               "log file '" + path.string() + "' is damaged at offset " + std::to_string(offset) +
                   ", record " + record + ": " + what +
                   "; restore the state folder from a copy, or give up record " + record +
                   " and all behind it: truncate -s " + std::to_string(offset) +
                   " on this file and remove later ones"};
}

result<segment_cursor> segment_cursor::open(const std::filesystem::path& path,
                                            std::uint64_t offset,
                                            std::uint64_t end,
                                            lsn next,
                                            std::uint64_t chain) {
  auto file = open_file(path, O_RDONLY);
  if (!file) return file.error();
  segment_cursor made;
  made.path_ = path;
  made.file_ = std::move(*file);
  made.offset_ = offset;
  made.end_ = end;
  made.next_ = next;
  made.chain_ = chain;
  return made;
}

result<segment_cursor::found> segment_cursor::next(log_record& into) {
  into = {};  // lets go of the piece, so that it can be filled again
  const std::uint64_t left = end_ - offset_;
  if (left == 0) return found::end;
  if (left < record_header_bytes) return found::torn;
  auto begin = need(record_header_bytes);
  if (!begin) return begin.error();
  header_bytes bytes;
  std::copy_n(*begin, bytes.size(), bytes.begin());
  const auto header = decode_header(bytes);
  if (!header) {
    const auto zeros = only_zeros();
    if (!zeros) return zeros.error();
    if (*zeros) return found::torn;
    return damage(header.error().detail);
  }
  if (header->lsn != next_)
    return damage("record " + std::to_string(header->lsn.value) + " stands in its place");
  if (header->prev_hash != chain_)
    return damage("it does not follow the record before it (prev_hash)");
  if (header->record_bytes() > left) return found::torn;
  begin = need(header->record_bytes());
  if (!begin) return begin.error();
  const std::span body(*begin + record_header_bytes, header->body_bytes());
  if (!body_matches(*header, body)) return damage("the checksum of its contents does not match");
  into = record_of(*header, body, piece_);
  offset_ += header->record_bytes();
  chain_ = chain_hash(bytes);
  next_ = lsn{next_.value + 1};
  return found::record;
}

// Bytes [offset_, offset_ + bytes), which lie before end_, in one piece.
result<const std::byte*> segment_cursor::need(std::uint64_t bytes) {
  if (piece_ && offset_ >= piece_offset_ && offset_ + bytes <= piece_offset_ + piece_bytes_) {
    return piece_.get() + (offset_ - piece_offset_);
  }
  const auto wanted = static_cast<std::size_t>(
      std::max(bytes, std::min<std::uint64_t>(piece_next_, end_ - offset_)));
  piece_next_ = std::min(piece_next_ * 2, piece_max);
  if (!piece_ || piece_.use_count() > 1 || piece_capacity_ < wanted) {
    piece_.reset(
        new std::byte[wanted]);  // operator new aligns to 16, and offsets are multiples of 8
    piece_capacity_ = wanted;
  }
  const auto got = read_at(file_, path_, std::span(piece_.get(), wanted), offset_);
  if (!got) return got.error();
  piece_bytes_ = *got;
  piece_offset_ = offset_;
  if (*got < bytes) return damage("the file has become shorter since it was opened");
  return static_cast<const std::byte*>(piece_.get());
}

result<bool> segment_cursor::only_zeros() {
  std::array<std::byte, 4096> block;
  for (std::uint64_t at = offset_; at < end_;) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), end_ - at));
    const auto got = read_at(file_, path_, std::span(block).first(wanted), at);
    if (!got) return got.error();
    if (*got == 0) break;
    const auto read = std::span(block).first(*got);
    if (std::ranges::any_of(read, [](std::byte b) { return b != std::byte{0}; })) return false;
    at += *got;
  }
  return true;
}

error segment_cursor::damage(const std::string& what) const {
  return log_damage(path_, offset_, next_, what);
}

}  // namespace headrace::storage
