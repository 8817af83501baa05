#include "worker/events/json_rows.hpp"

#include "worker/ingest/column_text.hpp"

#include <algorithm>
#include <cstdint>
#include <simdjson.h>
#include <string_view>
#include <utility>

namespace headrace::worker {
namespace {

namespace ondemand = simdjson::ondemand;
using ondemand::json_type;
using problem = std::optional<row_problem>;

constexpr std::size_t none = SIZE_MAX;
constexpr std::string_view nested = "features";

problem malformed(const std::string& why) { return row_problem{bad_row::malformed, why}; }
problem malformed(simdjson::error_code error) {
  return malformed(std::string("not JSON: ") + simdjson::error_message(error));
}
problem wrong_type(std::string_view column, const char* is) {
  return row_problem{bad_row::wrong_type, shown(column) + " is " + is};
}

std::string_view without_space(std::string_view token) {
  while (!token.empty() && (token.back() == ' ' || (token.back() >= '\t' && token.back() <= '\r')))
    token.remove_suffix(1);
  return token;
}

class json_cutter final : public row_cutter {
 public:
  explicit json_cutter(const std::vector<std::string>& columns) : columns_(columns) {}

  problem cut(const record& from, cut_row& into) override {
    into.fields.assign(columns_.size(), {});
    into.lists.of.assign(columns_.size(), {});
    into.lists.items.clear();
    seen_.assign(columns_.size(), false);
    row_ = &into;
    padded_.assign(from.text);
    padded_.append(simdjson::SIMDJSON_PADDING, ' ');
    ondemand::document document;
    const simdjson::padded_string_view text(padded_.data(), from.text.size(), padded_.size());
    if (const auto error = parser_.iterate(text).get(document)) return malformed(error);
    ondemand::object object;
    if (const auto error = document.get_object().get(object)) {
      return error == simdjson::INCORRECT_TYPE ? malformed("the line is no JSON object")
                                               : malformed(error);
    }
    if (auto wrong = members(object, false)) return wrong;
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS)
      return malformed("text behind the object");
    return std::nullopt;
  }

 private:
  problem members(ondemand::object from, bool in_features) {
    for (auto field : from) {
      std::string_view name;
      ondemand::value value;
      if (const auto error = field.error()) return malformed(error);
      if (const auto error = field.unescaped_key().get(name)) return malformed(error);
      if (const auto error = field.value().get(value)) return malformed(error);
      const auto column = place_of(name);
      if (column == none) {
        if (auto wrong = other(name, value, in_features)) return wrong;
      } else if (seen_[column]) {
        return malformed(shown(name) + " is there twice");
      } else {
        seen_[column] = true;
        if (auto wrong = take(column, value)) return wrong;
      }
    }
    return std::nullopt;
  }

  // Not a column: the object of columns, or nothing of ours.
  problem other(std::string_view name, ondemand::value& value, bool in_features) {
    json_type type{};
    if (const auto error = value.type().get(type)) return malformed(error);
    if (in_features || name != nested || type != json_type::object) return std::nullopt;
    ondemand::object object;
    if (const auto error = value.get_object().get(object)) return malformed(error);
    return members(object, true);
  }

  problem take(std::size_t column, ondemand::value& value) {
    json_type type{};
    if (const auto error = value.type().get(type)) return malformed(error);
    if (type == json_type::object) return wrong_type(columns_[column], "an object");
    if (type != json_type::array) return scalar(type, value, row_->fields[column]);
    ondemand::array array;
    if (const auto error = value.get_array().get(array)) return malformed(error);
    auto& list = row_->lists.of[column];
    list.is_list = true;
    list.begin = static_cast<std::uint32_t>(row_->lists.items.size());
    for (auto element : array) {
      ondemand::value item;
      std::string_view text;
      if (const auto error = element.get(item)) return malformed(error);
      if (const auto error = item.type().get(type)) return malformed(error);
      if (type == json_type::object || type == json_type::array)
        return wrong_type(columns_[column], "a list of lists or objects");
      if (auto wrong = scalar(type, item, text)) return wrong;
      if (type != json_type::null) row_->lists.items.push_back(text);
    }
    list.end = static_cast<std::uint32_t>(row_->lists.items.size());
    return std::nullopt;
  }

  static problem scalar(json_type type, ondemand::value& value, std::string_view& into) {
    if (type == json_type::string) {
      if (const auto error = value.get_string().get(into)) return malformed(error);
    } else if (type == json_type::boolean) {
      bool truth = false;
      if (const auto error = value.get_bool().get(truth)) return malformed(error);
      into = truth ? "1" : "0";
    } else if (type == json_type::null) {
      bool is_null = false;
      if (const auto error = value.is_null().get(is_null)) return malformed(error);
      if (!is_null) return malformed("not JSON: a word that begins as null does");
    } else {
      into = without_space(value.raw_json_token());
      double number = 0.0;
      const auto error = value.get_double().get(number);
      if (error == simdjson::SUCCESS) return std::nullopt;
      if (to_number(into, number) == bad_row::not_finite) return std::nullopt;  // too large for one
      return malformed(error);
    }
    return std::nullopt;
  }

  std::size_t place_of(std::string_view name) const {
    const auto found = std::ranges::find(columns_, name);
    return found == columns_.end() ? none : static_cast<std::size_t>(found - columns_.begin());
  }

  std::vector<std::string> columns_;
  ondemand::parser parser_;
  std::string padded_;
  std::vector<bool> seen_;
  cut_row* row_ = nullptr;
};

}  // namespace

std::unique_ptr<row_cutter> json_rows(const std::vector<std::string>& columns) {
  return std::make_unique<json_cutter>(columns);
}

}  // namespace headrace::worker
