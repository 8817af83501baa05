#include "worker/ingest/libsvm_rows.hpp"

#include "base/parse_number.hpp"
#include "worker/ingest/column_text.hpp"

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <utility>

namespace headrace::worker {
namespace {

using problem = std::optional<row_problem>;

problem malformed(std::string_view word, const char* why) {
  return row_problem{bad_row::malformed, shown(word) + " " + why};
}

// The next word of the row; empty at the end.
std::string_view take_word(std::string_view& rest) {
  constexpr std::string_view space = " \t\r";
  const auto begin = rest.find_first_not_of(space);
  if (begin == std::string_view::npos || rest[begin] == '#') {
    rest = {};
    return {};
  }
  rest.remove_prefix(begin);
  const auto word = rest.substr(0, rest.find_first_of(" \t\r#"));
  rest.remove_prefix(word.size());
  return word;
}

// One spelling for one index.
std::string_view without_zeros(std::string_view index) {
  while (index.size() > 1 && index.front() == '0') index.remove_prefix(1);
  return index;
}

struct svm_columns {
  std::size_t count = 0;
  std::vector<std::size_t> labels;
  std::vector<std::size_t> groups;
  std::vector<std::size_t> lists;
  std::unordered_map<std::uint64_t, std::size_t> places;  // of an index, its column
};

class libsvm_cutter final : public row_cutter {
 public:
  explicit libsvm_cutter(svm_columns columns) : columns_(std::move(columns)) {}

  problem cut(const record& from, cut_row& into) override {
    start(into);
    std::string_view rest = from.text;
    const std::string_view label = take_word(rest);
    if (label.empty()) return row_problem{bad_row::malformed, "no label"};
    if (label.find(':') != std::string_view::npos)
      return malformed(label, "stands where the label should");
    for (const std::size_t column : columns_.labels) into.fields[column] = label;
    bool first = true;
    for (auto word = take_word(rest); !word.empty(); word = take_word(rest), first = false) {
      const auto colon = word.find(':');
      if (colon == std::string_view::npos) return malformed(word, "is no index:value");
      const auto name = word.substr(0, colon);
      const auto value = word.substr(colon + 1);
      if (first && name == "qid") {
        for (const std::size_t column : columns_.groups) into.fields[column] = value;
      } else if (auto wrong = take(without_zeros(name), value, word, into)) {
        return wrong;
      }
    }
    for (const std::size_t column : columns_.lists)
      into.lists.of[column] = {0, static_cast<std::uint32_t>(into.lists.items.size()), true};
    std::ranges::sort(indices_);
    if (std::ranges::adjacent_find(indices_) != indices_.end())
      return row_problem{
          bad_row::malformed,
          "index " + std::to_string(*std::ranges::adjacent_find(indices_)) + " is there twice"};
    return std::nullopt;
  }

 private:
  void start(cut_row& into) {
    into.fields.assign(columns_.count, {});
    for (const auto& [index, column] : columns_.places) into.fields[column] = "0";
    into.lists.of.assign(columns_.count, {});
    into.lists.items.clear();
    indices_.clear();
  }

  problem take(std::string_view name,
               std::string_view value,
               std::string_view word,
               cut_row& into) {
    const auto index = parse_number<std::uint64_t>(name);
    if (!index) return malformed(word, "is no index:value: the index is a whole number");
    double number = 0.0;
    if (const auto bad = to_number(value, number))
      return row_problem{*bad, "the value of index " + std::string(name) + " is " + shown(value)};
    indices_.push_back(*index);
    if (number != 0.0) into.lists.items.push_back(name);
    if (const auto found = columns_.places.find(*index); found != columns_.places.end())
      into.fields[found->second] = value;
    return std::nullopt;
  }

  svm_columns columns_;
  std::vector<std::uint64_t> indices_;  // of the row
};

}  // namespace

result<std::unique_ptr<row_cutter>> libsvm_rows(const std::vector<std::string>& columns) {
  svm_columns made;
  made.count = columns.size();
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const std::string& name = columns[c];
    const auto index = parse_number<std::uint64_t>(name);
    if (name == "label") {
      made.labels.push_back(c);
    } else if (name == "qid") {
      made.groups.push_back(c);
    } else if (name == "indices") {
      made.lists.push_back(c);
    } else if (!index || !made.places.emplace(*index, c).second) {
      return error{errc::bad_config,
                   "no column '" + name +
                       "': source.format = \"libsvm\" has label, qid, indices, and an index by its "
                       "number, each by one spelling"};
    }
  }
  return std::unique_ptr<row_cutter>(std::make_unique<libsvm_cutter>(std::move(made)));
}

}  // namespace headrace::worker
