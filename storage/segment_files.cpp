#include "storage/segment_files.hpp"

#include "base/check.hpp"
#include "base/log.hpp"
#include "base/parse_number.hpp"
#include "storage/crc32c.hpp"
#include "storage/little_endian.hpp"
#include "storage/segment_cursor.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <iterator>
#include <system_error>
#include <unistd.h>

namespace headrace::storage {
namespace {

constexpr std::uint64_t magic = 0x474F4C4745535248;  // "HRSEGLOG"
constexpr std::size_t crc_offset = 60;
constexpr std::size_t name_digits = 20;
constexpr std::uint64_t mark_distance = std::uint64_t{64} << 10;
// Blocks are taken ahead in steps of this: writes into them cost 0.7 of writes that find their own
// (measured, segment_log.bench.cpp, plain_write). The file's size still ends with the last record,
// which is how a torn tail shows.
constexpr std::uint64_t reserve_bytes = std::uint64_t{8} << 20;
constexpr std::uint64_t trim_bytes_min = std::uint64_t{1} << 20;
constexpr std::array<std::byte, 8> zeros{};

std::optional<lsn> named_lsn(const std::filesystem::path& path) {
  const std::string file = path.filename().string();
  const std::string_view name = file;
  if (name.size() != name_digits + 4 || !name.ends_with(".log")) return std::nullopt;
  const auto value = parse_number<std::uint64_t>(name.substr(0, name_digits));
  return value ? std::optional(lsn{*value}) : std::nullopt;
}

struct named_file {
  lsn first;
  std::filesystem::path path;
};

result<std::vector<named_file>> list_segments(const std::filesystem::path& folder) {
  std::vector<named_file> files;
  std::error_code failure;
  for (std::filesystem::directory_iterator at(folder, failure), end; !failure && at != end;
       at.increment(failure)) {
    if (const auto first = named_lsn(at->path())) files.push_back({*first, at->path()});
  }
  if (failure) return file_error("list", folder, failure.value());
  std::ranges::sort(files, {}, &named_file::first);
  return files;
}

// Bytes of a file whose creation was cut short: too short for a record header, or nothing but
// zeros.
result<std::optional<std::uint64_t>> unborn_bytes(const std::filesystem::path& path,
                                                  bool header_counts) {
  auto file = open_file(path, O_RDONLY);
  if (!file) return file.error();
  const auto size = file_size(*file, path);
  if (!size) return size.error();
  const std::uint64_t least = segment_header_bytes + (header_counts ? 0 : record_header_bytes);
  if (*size < least) return std::optional(*size);
  std::vector<std::byte> block(std::size_t{64} << 10);
  for (std::uint64_t at = 0; at < *size;) {
    const auto got = read_at(*file, path, block, at);
    if (!got) return got.error();
    const auto read = std::span(block).first(*got);
    if (std::ranges::any_of(read, [](std::byte b) { return b != std::byte{0}; })) {
      return std::optional<std::uint64_t>{};
    }
    at += *got;
    if (*got == 0) break;
  }
  return std::optional(*size);
}

append_outcome outcome_of(append_state state, const error& why) {
  return {state, why.code, why.detail};
}

[[noreturn]] void end_process(const std::filesystem::path& path, int code) {
  std::fprintf(stderr,
               "headrace: fdatasync of '%s' failed: %s; what the disk holds is unknown, so this "
               "process must end; "
               "check the disk and start again, the log is read back then\n",
               path.c_str(),
               std::system_category().message(code).c_str());
  std::abort();
}

void add_piece(std::vector<::iovec>& pieces, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  pieces.push_back({const_cast<std::byte*>(bytes.data()), bytes.size()});  // only read
}

void add_padded(std::vector<::iovec>& pieces, std::span<const std::byte> bytes) {
  add_piece(pieces, bytes);
  add_piece(pieces, std::span(zeros).first(padded(bytes.size()) - bytes.size()));
}

}  // namespace

header_bytes encode_segment_header(const segment_header& header) {
  header_bytes bytes{};
  put(bytes, 0, magic);
  put(bytes, 8, segment_format_version);
  put(bytes, 12, static_cast<std::uint32_t>(segment_header_bytes));
  put(bytes, 16, header.first.value);
  put(bytes, 24, header.prev_hash);
  put(bytes, crc_offset, crc32c(std::span(bytes).first(crc_offset)));
  return bytes;
}

result<segment_header> decode_segment_header(
    std::span<const std::byte, segment_header_bytes> bytes) {
  if (take<std::uint64_t>(bytes, 0) != magic)
    return error{errc::corrupt, "it is not a log file of headrace"};
  if (take<std::uint32_t>(bytes, crc_offset) != crc32c(bytes.first(crc_offset))) {
    return error{errc::corrupt, "the checksum of the file header does not match"};
  }
  const auto version = take<std::uint32_t>(bytes, 8);
  if (version != segment_format_version) {
    return error{errc::corrupt,
                 "its format version is " + std::to_string(version) + " and this headrace reads " +
                     std::to_string(segment_format_version)};
  }
  return segment_header{lsn{take<std::uint64_t>(bytes, 16)}, take<std::uint64_t>(bytes, 24)};
}

std::string segment_name(lsn first) {
  std::string digits = std::to_string(first.value);
  return std::string(name_digits - digits.size(), '0') + digits + ".log";
}

void segment_files::segment::note(lsn next, std::uint64_t offset, std::uint64_t before) {
  if (marks.empty() || offset - marks.back().offset >= mark_distance)
    marks.push_back({next, offset, before});
}

result<segment_files> segment_files::open(options how) {
  segment_files made(std::move(how));
  if (!made.options_.read_only) {
    if (auto created = make_folder(made.options_.folder); !created) return created.error();
  }
  if (auto loaded = made.load(); !loaded) return loaded.error();
  if (made.options_.read_only) return made;
  if (made.last_ < made.options_.continue_after) {
    if (!made.segments_.empty()) {
      log_warn("log.begun_anew",
               {{"folder", made.options_.folder.string()},
                {"ended_at", made.last_.value},
                {"rows_hold_through", made.options_.continue_after.value}});
    }
    if (auto begun = made.begin_after(made.options_.continue_after); !begun) return begun.error();
  } else if (!made.segments_.empty()) {
    if (auto opened = made.open_newest(); !opened) return opened.error();
  }
  return made;
}

result<void> segment_files::load() {
  auto files = list_segments(options_.folder);
  if (!files) return files.error();
  while (!files->empty()) {  // a newest file that never got a record
    const auto unborn = unborn_bytes(files->back().path, files->size() == 1);
    if (!unborn) return unborn.error();
    if (!*unborn) break;
    torn_bytes_ += **unborn;
    if (!options_.read_only && ::unlink(files->back().path.c_str()) != 0) {
      return file_error("remove", files->back().path, errno);
    }
    files->pop_back();
  }
  for (std::size_t i = 0; i < files->size(); ++i) {
    const auto& [first, path] = (*files)[i];
    const lsn later = i + 1 < files->size() ? (*files)[i + 1].first : lsn{0};
    if (auto loaded = load_segment(path, first, later); !loaded) return loaded;
  }
  return {};
}

result<void> segment_files::load_segment(const std::filesystem::path& path, lsn named, lsn later) {
  auto file = open_file(path, O_RDONLY);
  if (!file) return file.error();
  const auto size = file_size(*file, path);
  if (!size) return size.error();
  header_bytes bytes{};
  const auto got = read_at(*file, path, bytes, 0);
  if (!got) return got.error();
  const auto header = decode_segment_header(bytes);
  if (!header) return log_damage(path, 0, named, header.error().detail);
  if (header->first != named)
    return log_damage(path, 0, named, "the file header names another first record");
  if (!segments_.empty()) {
    const lsn due{last_.value + 1};
    if (named != due) {
      return log_damage(path,
                        0,
                        due,
                        "records " + std::to_string(due.value) + " to " +
                            std::to_string(named.value - 1) + " are missing: a log file is gone");
    }
    if (header->prev_hash != chain_)
      return log_damage(path, 0, named, "it does not follow the file before it (prev_hash)");
  }
  segment made;
  made.path = path;
  made.first = named;
  made.last = lsn{named.value - 1};
  made.chain = header->prev_hash;
  const bool newest = later.value == 0;
  const bool skim_it = !newest && options_.check == segment_check::newest;
  auto checked = skim_it ? skim(made, *size, later) : verify(made, *size, newest);
  if (!checked) return checked;
  if (made.empty() && !newest) {
    return log_damage(path, made.bytes, named, "the file holds no records and later files exist");
  }
  last_ = made.last;
  chain_ = made.chain;
  segments_.push_back(std::move(made));
  return {};
}

// Reads every record; what is torn off the newest file is counted and not part of the segment.
result<void> segment_files::verify(segment& into, std::uint64_t file_bytes, bool newest) {
  auto cursor =
      segment_cursor::open(into.path, segment_header_bytes, file_bytes, into.first, into.chain);
  if (!cursor) return cursor.error();
  log_record record;
  while (true) {
    const std::uint64_t begin = cursor->offset();
    const auto found = cursor->next(record);
    if (!found) return found.error();
    if (*found != segment_cursor::found::record) {
      if (*found == segment_cursor::found::torn && !newest) {
        return log_damage(
            into.path, begin, lsn{into.last.value + 1}, "it is cut short and later files exist");
      }
      torn_bytes_ += file_bytes - begin;
      return {};
    }
    into.note(record.lsn, begin, into.chain);
    into.last = record.lsn;
    into.bytes = cursor->offset();
    into.chain = cursor->chain();
  }
}

// Takes the extent of an older file from the names; its records are checked when they are read.
result<void> segment_files::skim(segment& into, std::uint64_t file_bytes, lsn later) {
  auto next = open_file(options_.folder / segment_name(later), O_RDONLY);
  if (!next) return next.error();
  header_bytes bytes{};
  const auto got = read_at(*next, options_.folder / segment_name(later), bytes, 0);
  if (!got) return got.error();
  into.note(into.first, segment_header_bytes, into.chain);
  into.last = lsn{later.value - 1};
  into.bytes = file_bytes;
  if (const auto header = decode_segment_header(bytes)) into.chain = header->prev_hash;
  return {};
}

// Rows hold everything through `position`, so that what is left of the log isn't needed.
result<void> segment_files::begin_after(lsn position) {
  for (const auto& old : segments_) {
    if (::unlink(old.path.c_str()) != 0 && errno != ENOENT)
      return file_error("remove", old.path, errno);
  }
  segments_.clear();
  last_ = position;
  chain_ = 0;
  const auto begun = begin_segment();
  if (begun.state != append_state::committed) return error{begun.code, begun.detail};
  return {};
}

result<void> segment_files::open_newest() {
  const auto& newest = segments_.back();
  auto file = open_file(newest.path, O_RDWR);
  if (!file) return file.error();
  const auto size = file_size(*file, newest.path);
  if (!size) return size.error();
  newest_ = std::move(*file);
  reserved_ = newest.bytes;
  if (*size > newest.bytes) {
    if (::ftruncate(newest_.get(), static_cast<::off_t>(newest.bytes)) != 0) {
      return file_error("cut the torn tail off", newest.path, errno);
    }
    if (options_.durable) sync_or_end();
  }
  return {};
}

append_outcome segment_files::begin_segment() {
  segment made;
  made.first = lsn{last_.value + 1};
  made.last = last_;
  made.chain = chain_;
  made.path = options_.folder / segment_name(made.first);
  if (newest_) trim();
  if (options_.durable && newest_) sync_or_end();
  auto file = open_file(made.path, O_RDWR | O_CREAT | O_TRUNC);
  if (!file) return outcome_of(append_state::refused, file.error());
  header_bytes bytes = encode_segment_header({made.first, made.chain});
  ::iovec piece{bytes.data(), bytes.size()};
  if (const int code = write_at(file->get(), std::span(&piece, 1), 0); code != 0) {
    ::unlink(made.path.c_str());  // if it stays, opening drops it and the next try writes over it
    return outcome_of(append_state::refused, file_error("begin the log file", made.path, code));
  }
  newest_ = std::move(*file);
  reserved_ = segment_header_bytes;
  segments_.push_back(std::move(made));
  if (options_.durable) {
    sync_or_end();
    if (auto synced = sync_folder(options_.folder); !synced) end_process(options_.folder, EIO);
  }
  return {append_state::committed, errc::ok, {}};
}

append_outcome segment_files::write(std::span<const log_record> group) {
  CHECK(!options_.read_only);
  CHECK(!group.empty());
  CHECK(group.front().lsn.value == last_.value + 1);
  for (const auto& record : group) {
    if (std::max(record.payload.size(), record.decisions.size()) > record_part_bytes_max) {
      return {append_state::refused,
              errc::too_large,
              "record " + std::to_string(record.lsn.value) + " is over 1 GiB"};
    }
  }
  headers_.clear();
  chains_.clear();
  std::uint64_t total = 0;
  for (const auto& record : group) {
    const auto header = describe_record(record, chains_.empty() ? chain_ : chains_.back());
    headers_.push_back(encode_header(header));
    chains_.push_back(chain_hash(headers_.back()));
    total += header.record_bytes();
  }
  const bool full = !segments_.empty() && !segments_.back().empty() &&
                    segments_.back().bytes + total > options_.segment_bytes;
  if (segments_.empty() || full) {
    if (auto begun = begin_segment(); begun.state != append_state::committed) return begun;
  }
  pieces_.clear();
  for (std::size_t i = 0; i < group.size(); ++i) {
    add_piece(pieces_, headers_[i]);
    add_padded(pieces_, group[i].decisions.bytes());
    add_padded(pieces_, group[i].payload.bytes());
  }
  segment& newest = segments_.back();
  reserve(newest.bytes + total);
  if (const int code = write_at(newest_.get(), pieces_, newest.bytes); code != 0) return undo(code);
  for (std::size_t i = 0; i < group.size(); ++i) {
    newest.note(group[i].lsn, newest.bytes, newest.chain);
    newest.bytes +=
        record_header_bytes + padded(group[i].decisions.size()) + padded(group[i].payload.size());
    newest.chain = chains_[i];
  }
  newest.last = group.back().lsn;
  last_ = newest.last;
  chain_ = newest.chain;
  return {append_state::committed, errc::ok, {}};
}

// Cuts off what a failed write may have left behind.
append_outcome segment_files::undo(int code) {
  const auto& newest = segments_.back();
  const error failed = file_error("append to", newest.path, code);
  const int cut = options_.cut ? options_.cut(newest_.get(), newest.bytes)
                               : ::ftruncate(newest_.get(), static_cast<::off_t>(newest.bytes));
  if (cut == 0) {
    return outcome_of(append_state::refused, failed);
  }
  const error kept = file_error("cut off the end of", newest.path, errno);
  return {append_state::unknown, failed.code, failed.detail + "; and then: " + kept.detail};
}

// Only for speed: a disk or a file system that can't is not asked again for this file.
void segment_files::reserve(std::uint64_t bytes) {
  if (bytes <= reserved_) return;
  const std::uint64_t room =
      std::max(bytes, std::min(reserved_ + reserve_bytes, options_.segment_bytes));
  const auto begin = static_cast<::off_t>(reserved_);
  const auto more = static_cast<::off_t>(room - reserved_);
  reserved_ = ::fallocate(newest_.get(), FALLOC_FL_KEEP_SIZE, begin, more) == 0 ? room : UINT64_MAX;
}

// Gives back the blocks behind the last record; they do no harm if that fails, and a few are not
// worth what it costs (milliseconds, on the thread that appends).
void segment_files::trim() {
  const std::uint64_t rest = reserved_ - std::min(reserved_, segments_.back().bytes);
  if (rest > trim_bytes_min) {
    static_cast<void>(::ftruncate(newest_.get(), static_cast<::off_t>(segments_.back().bytes)) ==
                      0);
  }
}

void segment_files::sync_or_end() {
  const int failed = options_.sync ? options_.sync(newest_.get()) : ::fdatasync(newest_.get());
  if (failed != 0) end_process(segments_.back().path, errno);
}

std::vector<segment_files::segment> segment_files::take_before(lsn keep_from) {
  // The newest file with records stays, so that the log's position is never forgotten.
  std::size_t count = 0;
  while (count + 1 < segments_.size() && segments_[count + 1].first <= keep_from &&
         !segments_[count + 1].empty()) {
    ++count;
  }
  const auto end = segments_.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<segment> taken(std::make_move_iterator(segments_.begin()),
                             std::make_move_iterator(end));
  segments_.erase(segments_.begin(), end);
  return taken;
}

result<void> segment_files::remove(std::vector<segment>& taken) const {
  const bool any = !taken.empty();
  while (!taken.empty()) {
    if (::unlink(taken.front().path.c_str()) != 0 && errno != ENOENT) {
      return file_error("remove", taken.front().path, errno);
    }
    taken.erase(taken.begin());
  }
  if (any && options_.durable) return sync_folder(options_.folder);
  return {};
}

void segment_files::put_back(std::vector<segment> taken) {
  segments_.insert(segments_.begin(),
                   std::make_move_iterator(taken.begin()),
                   std::make_move_iterator(taken.end()));
}

void segment_files::close() {
  if (newest_) trim();
  newest_.reset();
}

std::vector<segment_files::stretch> segment_files::stretches(lsn from) const {
  std::vector<stretch> found;
  for (const auto& one : segments_) {
    if (one.empty() || one.last < from) continue;
    auto after = std::ranges::upper_bound(one.marks, from, {}, &mark::next);
    const mark& begin = after == one.marks.begin() ? one.marks.front() : *std::prev(after);
    found.push_back({one.path, begin.offset, one.bytes, begin.next, begin.chain});
  }
  return found;
}

result<bool> segment_files::read(const stretch& where,
                                 lsn from,
                                 const ordered_log::visitor& visit) {
  auto cursor = segment_cursor::open(where.path, where.offset, where.end, where.next, where.chain);
  if (!cursor && cursor.error().code == errc::not_found) {
    return error{
        errc::io_error,
        "log file '" + where.path.string() + "' was removed while the log was read; read again"};
  }
  if (!cursor) return cursor.error();
  log_record record;
  lsn next = where.next;
  while (true) {
    const std::uint64_t begin = cursor->offset();
    const auto found = cursor->next(record);
    if (!found) return found.error();
    if (*found == segment_cursor::found::end) return true;
    if (*found == segment_cursor::found::torn)
      return log_damage(where.path, begin, next, "it is cut short");
    next = lsn{record.lsn.value + 1};
    if (record.lsn >= from && !visit(record)) return false;
  }
}

ordered_log::extent segment_files::extent() const {
  const auto kept =
      std::ranges::find_if(segments_, [](const segment& one) { return !one.empty(); });
  return {kept == segments_.end() ? lsn{0} : kept->first, last_};
}

std::uint64_t segment_files::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& one : segments_) sum += one.bytes;
  return sum;
}

}  // namespace headrace::storage
