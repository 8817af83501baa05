#include "worker/ingest/record_reader.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t chunk_bytes = std::size_t{256} << 10;
constexpr std::size_t kept_bytes = 64;  // of a bad record, for the message
constexpr char quote = '"';

const char* find(const char* from, const char* end, char wanted) {
  if (from >= end) return nullptr;  // also tells the compiler that the length is not negative
  return static_cast<const char*>(std::memchr(from, wanted, static_cast<std::size_t>(end - from)));
}

bool starts_with(const char* at, const char* end, std::string_view wanted) {
  return static_cast<std::size_t>(end - at) >= wanted.size() &&
         std::memcmp(at, wanted.data(), wanted.size()) == 0;
}

// The separator's next place, or `end`.
const char* find_separator(const char* from, const char* end, std::string_view separator) {
  while (from < end) {
    const char* hit = find(from, end, separator[0]);
    if (hit == nullptr) return end;
    if (separator.size() == 1 || starts_with(hit, end, separator)) return hit;
    from = hit + 1;
  }
  return end;
}

// Behind the quote that closes the field opened just before `from`, or null when there is none.
const char* behind_closing_quote(const char* from, const char* end) {
  while (from < end) {
    const char* hit = find(from, end, quote);
    if (hit == nullptr) return nullptr;
    if (hit + 1 == end || hit[1] != quote) return hit + 1;
    from = hit + 2;
  }
  return nullptr;
}

}  // namespace

record_reader::record_reader(std::unique_ptr<byte_input> input, record_layout layout)
    : input_(std::move(input)), layout_(std::move(layout)), buffer_(chunk_bytes) {}

result<record_reader> record_reader::open(const std::string& path, record_layout layout) {
  auto input = byte_input::open(path);
  if (!input) return input.error();
  return record_reader(std::move(*input), std::move(layout));
}

// Makes room and reads once; at the end of the file sets input_ended_.
result<void> record_reader::refill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() - end_ < chunk_bytes / 2) buffer_.resize(buffer_.size() + chunk_bytes);
  auto got = input_->read(std::span(buffer_).subspan(end_));
  if (!got) return got.error();
  end_ += *got;
  input_ended_ = *got == 0;
  return {};
}

result<bool> record_reader::next(record& into) {
  for (;;) {
    std::size_t end = 0;
    into.has_quotes = false;
    const scan found = begin_ == end_ ? scan::need_more : find_end(end, into.has_quotes);
    const bool too_much = end_ - begin_ > layout_.row_bytes_max;
    if (found == scan::found) {
      take(end, into);
      if (!into.text.empty()) return true;
      continue;  // an empty line
    }
    if (input_ended_ && begin_ == end_) return false;
    if (found == scan::open && (too_much || input_ended_)) {
      const char* first = buffer_.data() + begin_;
      const char* stop = find(first, buffer_.data() + end_, '\n');
      take(stop == nullptr ? end_ - begin_ : static_cast<std::size_t>(stop - first), into);
      into.bad = bad_row::open_quote;
      into.text = into.text.substr(0, kept_bytes);
      return true;
    }
    if (found == scan::need_more && too_much) return take_too_long(into);
    if (input_ended_) {  // a last line without an end
      take(end_ - begin_, into);
      if (!into.text.empty()) return true;
      return false;
    }
    if (auto more = refill(); !more) return more.error();
    if (!std::exchange(started_, true) &&
        starts_with(buffer_.data(), buffer_.data() + end_, "\xEF\xBB\xBF"))
      begin_ = 3;
  }
}

// Offset of the line end that ends the record at begin_.
record_reader::scan record_reader::find_end(std::size_t& end, bool& quoted) const {
  const char* first = buffer_.data() + begin_;
  const char* last = buffer_.data() + end_;
  const char* line_end = find(first, last, '\n');
  if (layout_.quotes && find(first, line_end == nullptr ? last : line_end, quote) != nullptr) {
    quoted = true;
    return find_quoted_end(end);
  }
  if (line_end == nullptr) return scan::need_more;
  end = static_cast<std::size_t>(line_end - first);
  return scan::found;
}

record_reader::scan record_reader::find_quoted_end(std::size_t& end) const {
  const char* first = buffer_.data() + begin_;
  const char* last = buffer_.data() + end_;
  const char* at = first;
  for (;;) {  // a field each round
    if (at < last && *at == quote) {
      const char* behind = behind_closing_quote(at + 1, last);
      if (behind == nullptr || static_cast<std::size_t>(behind - first) > layout_.row_bytes_max)
        return scan::open;
      at = behind;
    }
    const char* line_end = find(at, last, '\n');
    const char* field_end =
        find_separator(at, line_end == nullptr ? last : line_end, layout_.separator);
    if (field_end == line_end) {
      end = static_cast<std::size_t>(line_end - first);
      return scan::found;
    }
    if (field_end == last) return scan::need_more;
    at = field_end + layout_.separator.size();
  }
}

// The record is [begin_, begin_ + end); its line end, if there is one, is consumed too.
void record_reader::take(std::size_t end, record& into) {
  into.text = std::string_view(buffer_.data() + begin_, end);
  into.line = line_;
  into.bad.reset();
  line_ += into.has_quotes
               ? static_cast<std::uint64_t>(std::count(into.text.begin(), into.text.end(), '\n'))
               : 0;
  begin_ += end;
  if (begin_ < end_) {
    ++begin_;
    ++line_;
  }
  if (into.text.size() > layout_.row_bytes_max) {
    into.bad = bad_row::too_long;
    into.text = into.text.substr(0, kept_bytes);
  }
  if (into.text.ends_with('\r')) into.text.remove_suffix(1);
}

// Drops the line from begin_ up to its end, however long it is.
result<bool> record_reader::take_too_long(record& into) {
  kept_.assign(buffer_.data() + begin_, kept_bytes);
  into.line = line_;
  for (;;) {
    const char* hit = find(buffer_.data() + begin_, buffer_.data() + end_, '\n');
    if (hit != nullptr) {
      begin_ = static_cast<std::size_t>(hit - buffer_.data()) + 1;
      ++line_;
      break;
    }
    begin_ = end_ = 0;
    if (input_ended_) break;
    if (auto more = refill(); !more) return more.error();
  }
  into.text = kept_;
  into.bad = bad_row::too_long;
  return true;
}

bool split_fields(const record& from,
                  const record_layout& layout,
                  std::vector<std::string_view>& fields,
                  std::string& scratch) {
  fields.clear();
  scratch.clear();
  const char* at = from.text.data();
  const char* last = at + from.text.size();
  if (from.has_quotes) scratch.reserve(from.text.size());  // views into it must not move
  for (;;) {
    if (from.has_quotes && at < last && *at == quote) {
      const char* behind = behind_closing_quote(at + 1, last);
      if (behind == nullptr) return false;
      std::string_view inner(at + 1, static_cast<std::size_t>(behind - at) - 2);
      if (inner.find(quote) != std::string_view::npos) {
        const std::size_t start = scratch.size();
        for (std::size_t i = 0; i < inner.size(); ++i) {
          scratch += inner[i];
          if (inner[i] == quote) ++i;
        }
        inner = std::string_view(scratch).substr(start);
      }
      fields.push_back(inner);
      if (behind == last) return true;
      if (!starts_with(behind, last, layout.separator)) return false;
      at = behind + layout.separator.size();
    } else {
      const bool takes_rest = fields.size() + 1 == layout.fields_max;
      const char* end = takes_rest ? last : find_separator(at, last, layout.separator);
      fields.emplace_back(at, static_cast<std::size_t>(end - at));
      if (end == last) return true;
      at = end + layout.separator.size();
    }
  }
}

}  // namespace headrace::worker
