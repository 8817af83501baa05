#include "base/check.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/text_source.hpp"
#include "worker/events/json_rows.hpp"
#include "worker/ingest/libsvm_rows.hpp"

#include <cmath>
#include <string_view>

/// One row of JSON or libSVM: cut into columns, then an event is made of them. The first byte of
/// the input chooses how (text_source.hpp).
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace;
  if (size < 1) return 0;
  const worker::source_spec spec =
      fuzz::text_source(static_cast<std::uint8_t>(data[0] | 128U), "row");
  const auto columns = worker::used_columns(spec);
  std::unique_ptr<worker::row_cutter> cutter = worker::json_rows(columns);
  if (spec.format == worker::row_format::libsvm) {
    auto made = worker::libsvm_rows(columns);
    CHECK(made.ok());
    cutter = std::move(*made);
  }
  worker::record row;
  row.text = {reinterpret_cast<const char*>(data) + 1, size - 1};
  worker::cut_row cut;
  if (const auto problem = cutter->cut(row, cut)) {
    CHECK(!problem->what.empty());
    return 0;
  }
  CHECK(cut.fields.size() == columns.size());
  const auto parser = worker::row_parser::bind(spec, columns, columns.size(), "row");
  CHECK(parser.ok());
  worker::event event;
  if (const auto problem = parser->parse(cut.fields, event, cut.lists)) {
    CHECK(!problem->what.empty());
    return 0;
  }
  CHECK(event.label == 0.0F || event.label == 1.0F);
  CHECK(event.keys.size() == 2);
  for (const float value : event.values) CHECK(std::isfinite(value));
  return 0;
}
