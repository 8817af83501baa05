#include "worker/ingest/file_source.hpp"

#include "worker/events/json_rows.hpp"
#include "worker/ingest/column_text.hpp"
#include "worker/ingest/libsvm_rows.hpp"
#include "worker/text/text_cleaning.hpp"

#include <utility>

namespace headrace::worker {
namespace {

constexpr std::string_view file_scheme = "file://";
constexpr std::string_view standard_input = "-";

std::string file_of(const source_spec& spec) {
  if (spec.uri == "stdin:") return std::string(standard_input);
  return spec.uri.starts_with(file_scheme) ? spec.uri.substr(file_scheme.size()) : spec.uri;
}

// For people.
std::string spelled(const std::string& file) {
  return file == standard_input ? "standard input" : "'" + file + "'";
}

// The columns of a file: their names where they have some, and how many.
struct found_columns {
  std::vector<std::string> names;
  std::size_t count = 0;
};

// Of the first row that `reader` gives: the header, or one that only counts columns.
result<found_columns> find_columns(record_reader& reader,
                                   bool header,
                                   const std::string& file,
                                   const record_layout& layout) {
  record first;
  std::vector<std::string_view> fields;
  std::string scratch;
  for (;;) {
    auto more = reader.next(first);
    if (!more) return more.error();
    if (!*more) {
      if (header) return error{errc::bad_input, spelled(file) + " is empty: there is no header"};
      return error{errc::bad_input, spelled(file) + " has no usable row"};
    }
    const bool usable = !first.bad && split_fields(first, layout, fields, scratch);
    if (usable) break;
    if (header) return error{errc::bad_input, spelled(file) + ": the header cannot be read"};
  }
  found_columns found;
  found.count = fields.size();
  if (header) found.names.assign(fields.begin(), fields.end());
  return found;
}

result<std::vector<std::size_t>> text_columns_of(const source_spec& spec,
                                                 const std::vector<std::string>& names,
                                                 std::size_t columns,
                                                 const std::string& file) {
  std::vector<std::size_t> places;
  for (const text_spec& text : spec.texts) {
    auto place = row_parser::find_column(text.column, "a text", names, columns, file);
    if (!place) return place.error();
    places.push_back(*place);
  }
  return places;
}

}  // namespace

struct file_source::opened {
  std::string file;
  record_layout layout;
  bool header = false;  // the first record is none of the rows
  std::uint64_t bad_rows_max = 0;
  record_reader reader;
  std::unique_ptr<row_cutter> cutter;
  row_parser parser;
  std::vector<text_spec> texts;
  std::vector<std::size_t> text_columns;
};

file_source::file_source(opened made)
    : file_(std::move(made.file)),
      layout_(std::move(made.layout)),
      header_(made.header),
      reader_(std::move(made.reader)),
      cutter_(std::move(made.cutter)),
      parser_(std::move(made.parser)),
      bad_(made.bad_rows_max),
      filter_(made.texts),
      text_columns_(std::move(made.text_columns)),
      texts_(text_columns_.size()) {}

result<std::unique_ptr<file_source>> file_source::open(const source_spec& spec) {
  auto made = spec.format == row_format::delimited ? open_delimited(spec) : open_named(spec);
  if (!made) return made.error();
  return std::unique_ptr<file_source>(new file_source(std::move(*made)));
}

result<file_source::opened> file_source::open_delimited(const source_spec& spec) {
  const std::string file = file_of(spec);
  if (spec.separator.empty() || spec.separator.size() > 8) {
    return error{errc::bad_config,
                 "source.separator: 1 to 8 bytes, not " + std::to_string(spec.separator.size())};
  }
  record_layout layout{spec.separator, spec.quotes, spec.row_bytes_max};
  const bool has_names = spec.header || !spec.columns.empty();
  if (spec.rest && (spec.quotes || !has_names)) {
    return error{errc::bad_config,
                 "source.rest: needs columns whose number is known, and source.quotes = false"};
  }
  if (file == standard_input && !has_names) {
    return error{errc::bad_config,
                 "source.uri: standard input is read once, so the first row cannot say how many "
                 "columns there are; give source.columns, or source.header = true"};
  }
  auto reader = record_reader::open(file, layout);
  if (!reader) return reader.error();
  found_columns columns{spec.columns, spec.columns.size()};
  if (spec.columns.empty()) {
    auto found = find_columns(*reader, spec.header, file, layout);
    if (!found) return found.error();
    columns = std::move(*found);
  } else if (spec.header) {
    record header;
    if (auto read = reader->next(header); !read) return read.error();
  }
  auto parser = row_parser::bind(spec, columns.names, columns.count, file);
  if (!parser) return parser.error();
  auto texts = text_columns_of(spec, columns.names, columns.count, file);
  if (!texts) return texts.error();
  if (spec.rest) layout.fields_max = columns.count;
  if (!has_names) {  // that row is one of them
    reader = record_reader::open(file, layout);
    if (!reader) return reader.error();
  }
  return opened{file,
                layout,
                spec.header,
                spec.bad_rows_max,
                std::move(*reader),
                delimited_rows(layout),
                std::move(*parser),
                spec.texts,
                std::move(*texts)};
}

// Formats in which rows name their columns.
result<file_source::opened> file_source::open_named(const source_spec& spec) {
  const std::string file = file_of(spec);
  const std::vector<std::string> columns = used_columns(spec);
  std::unique_ptr<row_cutter> cutter;
  if (spec.format == row_format::jsonl) {
    cutter = json_rows(columns);
  } else {
    auto made = libsvm_rows(columns);
    if (!made) return made.error();
    cutter = std::move(*made);
  }
  auto parser = row_parser::bind(spec, columns, columns.size(), file);
  if (!parser) return parser.error();
  auto texts = text_columns_of(spec, columns, columns.size(), file);
  if (!texts) return texts.error();
  const record_layout layout{spec.separator, false, spec.row_bytes_max};
  auto reader = record_reader::open(file, layout);
  if (!reader) return reader.error();
  return opened{file,
                layout,
                false,
                spec.bad_rows_max,
                std::move(*reader),
                std::move(cutter),
                std::move(*parser),
                spec.texts,
                std::move(*texts)};
}

result<bool> file_source::next(event& into) {
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
    } else if (const auto problem = read_row(into)) {
      counted = bad_.add(problem->why, file_, record_.line, problem->what);
    } else {
      return true;
    }
    if (!counted) return counted.error();
  }
}

// The row of record_, or what is wrong with it.
std::optional<row_problem> file_source::read_row(event& into) {
  if (auto problem = cutter_->cut(record_, row_)) return problem;
  if (auto problem = clean_texts()) return problem;
  if (auto problem = parser_.parse(row_.fields, into, row_.lists)) return problem;
  const auto refused = filter_.judge(texts_);
  if (!refused) return std::nullopt;
  return row_problem{reason_of(refused->why), "the text is " + shown(texts_[refused->text])};
}

// In the place of the row's.
std::optional<row_problem> file_source::clean_texts() {
  for (std::size_t t = 0; t < texts_.size(); ++t) {
    const std::size_t column = text_columns_[t];
    if (column >= row_.fields.size()) break;  // the parser says how many there are
    if (row_.lists.is_list(column))
      return row_problem{bad_row::wrong_type, "a list stands where a text is needed"};
    if (!clean_text(row_.fields[column], texts_[t]))
      return row_problem{bad_row::malformed, "the text is no UTF-8: " + shown(row_.fields[column])};
    row_.fields[column] = texts_[t];
  }
  return std::nullopt;
}

result<void> file_source::skip(std::uint64_t through) {
  event ignored;
  while (position_ < through) {
    auto more = next(ignored);
    if (!more) return more.error();
    if (!*more && position_ < through) {
      const bool piped = file_ == standard_input;
      return error{
          errc::bad_input,
          spelled(file_) + " has " + std::to_string(position_) + " rows but " +
              std::to_string(through) + " were read before; " +
              (piped ? "pipe the same in again, from its beginning" : "it is not the same file")};
    }
  }
  return {};
}

result<std::uint64_t> file_source::count_records() const {
  if (file_ == standard_input) return endless_records;
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
