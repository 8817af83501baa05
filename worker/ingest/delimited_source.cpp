#include "worker/ingest/delimited_source.hpp"

#include <utility>

namespace headrace::worker {
namespace {

constexpr std::string_view file_scheme = "file://";

// The columns of a file: their names where they have some, and how many.
struct found_columns {
  std::vector<std::string> names;
  std::size_t count = 0;
};

result<found_columns> find_columns(const source_spec& spec,
                                   const std::string& file,
                                   const record_layout& layout) {
  if (!spec.columns.empty()) return found_columns{spec.columns, spec.columns.size()};
  auto reader = record_reader::open(file, layout);
  if (!reader) return reader.error();
  record first;
  std::vector<std::string_view> fields;
  std::string scratch;
  for (;;) {
    auto more = reader->next(first);
    if (!more) return more.error();
    if (!*more) {
      if (spec.header) return error{errc::bad_input, "'" + file + "' is empty: there is no header"};
      return error{errc::bad_input, "'" + file + "' has no usable row"};
    }
    const bool usable = !first.bad && split_fields(first, layout, fields, scratch);
    if (usable) break;
    if (spec.header) return error{errc::bad_input, "'" + file + "': the header cannot be read"};
  }
  found_columns found;
  found.count = fields.size();
  if (spec.header) found.names.assign(fields.begin(), fields.end());
  return found;
}

}  // namespace

delimited_source::delimited_source(std::string file,
                                   record_layout layout,
                                   bool header,
                                   std::uint64_t bad_rows_max,
                                   record_reader reader,
                                   row_parser parser)
    : file_(std::move(file)),
      layout_(std::move(layout)),
      header_(header),
      reader_(std::move(reader)),
      parser_(std::move(parser)),
      bad_(bad_rows_max) {}

result<std::unique_ptr<delimited_source>> delimited_source::open(const source_spec& spec) {
  std::string file =
      spec.uri.starts_with(file_scheme) ? spec.uri.substr(file_scheme.size()) : spec.uri;
  if (file == "-") {
    return error{errc::bad_config,
                 "source.uri: standard input cannot be read again after a restart; name a file"};
  }
  if (spec.separator.empty() || spec.separator.size() > 8) {
    return error{errc::bad_config,
                 "source.separator: 1 to 8 bytes, not " + std::to_string(spec.separator.size())};
  }
  record_layout layout{spec.separator, spec.quotes, spec.row_bytes_max};
  if (spec.rest && (spec.quotes || (!spec.header && spec.columns.empty()))) {
    return error{errc::bad_config,
                 "source.rest: needs columns whose number is known, and source.quotes = false"};
  }
  auto columns = find_columns(spec, file, layout);
  if (!columns) return columns.error();
  auto parser = row_parser::bind(spec, columns->names, columns->count, file);
  if (!parser) return parser.error();
  if (spec.rest) layout.fields_max = columns->count;
  auto reader = record_reader::open(file, layout);
  if (!reader) return reader.error();
  if (spec.header) {
    record header;
    if (auto read = reader->next(header); !read) return read.error();
  }
  return std::unique_ptr<delimited_source>(new delimited_source(std::move(file),
                                                                layout,
                                                                spec.header,
                                                                spec.bad_rows_max,
                                                                std::move(*reader),
                                                                std::move(*parser)));
}

result<bool> delimited_source::next(event& into) {
  for (;;) {
    auto more = reader_.next(record_);
    if (!more) return more.error();
    if (!*more) return false;
    into.row_number = position_++;
    result<void> counted;
    if (record_.bad) {
      const bool too_long = *record_.bad == bad_row::too_long;
      counted =
          bad_.add(*record_.bad,
                   file_,
                   record_.line,
                   too_long ? "longer than " + std::to_string(layout_.row_bytes_max) + " bytes"
                            : "a quoted field does not end");
    } else if (!split_fields(record_, layout_, fields_, scratch_)) {
      counted = bad_.add(
          bad_row::open_quote, file_, record_.line, "text behind the closing quote of a field");
    } else if (const auto problem = parser_.parse(fields_, into)) {
      counted = bad_.add(problem->why, file_, record_.line, problem->what);
    } else {
      return true;
    }
    if (!counted) return counted.error();
  }
}

result<void> delimited_source::skip(std::uint64_t through) {
  event ignored;
  while (position_ < through) {
    auto more = next(ignored);
    if (!more) return more.error();
    if (!*more && position_ < through) {
      return error{errc::bad_input,
                   "'" + file_ + "' has " + std::to_string(position_) + " rows but " +
                       std::to_string(through) + " were read before; it is not the same file"};
    }
  }
  return {};
}

result<std::uint64_t> delimited_source::count_records() const {
  auto reader = record_reader::open(file_, layout_);
  if (!reader) return reader.error();
  record each;
  std::uint64_t records = 0;
  for (;;) {
    auto more = reader->next(each);
    if (!more) return more.error();
    if (!*more) break;
    ++records;
  }
  return records - (header_ && records > 0 ? 1 : 0);
}

}  // namespace headrace::worker
