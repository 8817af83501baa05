#include "worker/ingest/row_cutter.hpp"

#include <algorithm>
#include <utility>

namespace headrace::worker {
namespace {

class delimited_cutter final : public row_cutter {
 public:
  explicit delimited_cutter(record_layout layout) : layout_(std::move(layout)) {}
  std::optional<row_problem> cut(const record& from, cut_row& into) override {
    if (split_fields(from, layout_, into.fields, scratch_)) return std::nullopt;
    return row_problem{bad_row::open_quote, "text behind the closing quote of a field"};
  }

 private:
  record_layout layout_;
  std::string scratch_;
};

}  // namespace

std::unique_ptr<row_cutter> delimited_rows(record_layout layout) {
  return std::make_unique<delimited_cutter>(std::move(layout));
}

std::vector<std::string> used_columns(const source_spec& spec) {
  std::vector<std::string> names;
  const auto use = [&names](const std::string& name) {
    if (!name.empty() && std::ranges::find(names, name) == names.end()) names.push_back(name);
  };
  use(spec.label.column);
  for (const label_spec& label : spec.more_labels) use(label.column);
  use(spec.time_column);
  for (const feature_spec& feature : spec.features) {
    if (!feature.window || has_column(feature.window->is))
      use(feature.column.empty() ? feature.name : feature.column);
    if (!feature.window) continue;
    for (const std::string& column : feature.window->of) use(column);
    if (feature.window->where) use(feature.window->where->column);
  }
  for (const text_spec& text : spec.texts) use(text.column);
  return names;
}

}  // namespace headrace::worker
