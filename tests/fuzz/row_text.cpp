#include "base/check.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/text_source.hpp"
#include "worker/ingest/record_reader.hpp"
#include "worker/ingest/row_parser.hpp"

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

/// One row of a delimited file: cut into fields, then an event is made of them. The first byte of
/// the input chooses how (text_source.hpp); rows_of_text reads whole files.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace;
  if (size < 1) return 0;
  const worker::source_spec spec = fuzz::text_source(data[0], "row.csv");
  if (spec.format != worker::row_format::delimited) return 0;  // row_formats
  worker::record_layout layout;
  layout.separator = spec.separator;
  layout.quotes = spec.quotes;
  worker::record row;
  row.text = {reinterpret_cast<const char*>(data) + 1, size - 1};
  row.has_quotes = layout.quotes && row.text.find('"') != std::string_view::npos;
  static std::vector<std::string_view> fields;
  static std::string scratch;
  if (!worker::split_fields(row, layout, fields, scratch)) return 0;
  CHECK(!fields.empty());
  const auto parser = worker::row_parser::bind(spec, {}, 3, "row.csv");
  CHECK(parser.ok());
  worker::event event;
  if (const auto problem = parser->parse(fields, event)) {
    CHECK(!problem->what.empty());
    return 0;
  }
  CHECK(event.label == 0.0F || event.label == 1.0F);
  CHECK(event.keys.size() == 2);
  for (const float value : event.values) CHECK(std::isfinite(value));
  return 0;
}
