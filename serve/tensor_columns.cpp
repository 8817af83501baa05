#include "serve/tensor_columns.hpp"

#include "worker/ingest/feature_writer.hpp"

#include <algorithm>
#include <utility>

namespace headrace::serve {
namespace {

constexpr std::size_t kept_tensors_max = 64;

}  // namespace

tensor_columns::element tensor_columns::element_of(std::string_view datatype) {
  if (datatype == "BYTES") return element::text;
  if (datatype == "FP16" || datatype == "FP32" || datatype == "FP64") return element::number;
  if (datatype == "BOOL") return element::truth;
  for (const char* sign : {"INT", "UINT"}) {
    for (const char* bits : {"8", "16", "32", "64"})
      if (datatype == std::string(sign) + bits) return element::whole;
  }
  return element::none;
}

bool tensor_columns::fits(element kind, const tensor::item& item) {
  switch (kind) {
    case element::text:
      return item.type == json_type::string;
    case element::whole:
      return item.type == json_type::number && worker::is_whole_number(item.text);
    case element::number:
      return item.type == json_type::number;
    case element::truth:
      return item.type == json_type::boolean;
    case element::none:
      break;
  }
  return false;
}

void tensor_columns::begin() {
  if (tensors_.size() > kept_tensors_max) tensors_ = std::vector<tensor>();
  tensors_.clear();
}

result<void> tensor_columns::read(ondemand::value& from) {
  if (tensors_.size() == schemas::event_fields_max)
    return error{errc::too_large, "inputs: too many"};
  const std::string where = "inputs[" + std::to_string(tensors_.size()) + "]";
  tensor& made = tensors_.emplace_back();
  if (auto read = members_of(from, where, made); !read) return read;
  if (auto good = check(made, where + " " + worker::shown(made.name)); !good) return good;
  const auto same = std::ranges::find(tensors_, made.name, &tensor::name);
  if (&*same != &made) return bad("inputs: " + worker::shown(made.name) + " is there twice");
  return {};
}

result<void> tensor_columns::shape_of(ondemand::value& from,
                                      const std::string& where,
                                      tensor& into) {
  return each_item(from, where, [&](std::size_t i, ondemand::value& item) -> result<void> {
    const auto size = read_whole<std::uint32_t>(item, where);
    if (!size) return size.error();
    if (i == 2) return bad(where + ": [n] or [n,k] is needed");
    into.shape.push_back(*size);
    return {};
  });
}

// Flat, or a list for each row.
result<void> tensor_columns::data_of(ondemand::value& from,
                                     const std::string& where,
                                     tensor& into,
                                     bool nested) {
  return each_item(from, where, [&](std::size_t, ondemand::value& item) -> result<void> {
    tensor::item made;
    if (const auto code = item.type().get(made.type)) return not_json(code);
    if (made.type == json_type::array && !nested) return data_of(item, where, into, true);
    if (made.type == json_type::string) {
      if (const auto code = item.get_string().get(made.text)) return not_json(code);
      if (made.text.size() > schemas::event_text_bytes_max || !is_utf8(made.text))
        return bad(where + ": a text is too long or not UTF-8");
    } else if (made.type == json_type::number) {
      made.text = token_of(item);
      if (!worker::is_whole_number(made.text)) {
        if (const auto code = item.get_double().get(made.number)) return not_json(code);
      }
      if (made.text.size() > schemas::event_text_bytes_max)
        return bad(where + ": a number is too long");
    } else if (made.type == json_type::boolean) {
      bool truth = false;
      if (const auto code = item.get_bool().get(truth)) return not_json(code);
      made.text = truth ? "1" : "0";
    } else {
      return bad(where + ": texts, numbers, true and false are accepted");
    }
    into.items.push_back(made);
    return {};
  });
}

result<void> tensor_columns::members_of(ondemand::value& from,
                                        const std::string& where,
                                        tensor& into) {
  static constexpr std::string_view accepted[] = {
      "name", "shape", "datatype", "data", "parameters"};
  ondemand::object object;
  if (const auto code = from.get_object().get(object)) return not_that(code, where, "an object");
  bool has_shape = false;
  auto read = each_member(object,
                          where + ": ",
                          accepted,
                          [&](std::string_view name, ondemand::value& value) -> result<void> {
                            if (name == "shape") {
                              has_shape = true;
                              return shape_of(value, where + ".shape", into);
                            }
                            if (name == "data") return data_of(value, where + ".data", into, false);
                            if (name == "parameters") return {};
                            auto text = read_text(value, where + "." + std::string(name));
                            if (!text) return text.error();
                            (name == "name" ? into.name : into.datatype) = std::move(*text);
                            return {};
                          });
  if (!read) return read;
  if (into.name.empty() || into.name.size() > schemas::event_name_bytes_max)
    return bad(where + ".name: the name of a column is needed");
  if (!has_shape || into.shape.empty()) return bad(where + ".shape: [n] or [n,k] is needed");
  return {};
}

result<void> tensor_columns::check(tensor& of, const std::string& where) const {
  const element kind = element_of(of.datatype);
  if (kind == element::none) {
    return bad(where + ".datatype: " + worker::shown(of.datatype) +
               " is none of BYTES, INT8 … INT64, UINT8 … UINT64, FP16, FP32, FP64, BOOL");
  }
  of.rows = of.shape[0];
  of.each = of.shape.size() == 2 ? of.shape[1] : 1;
  if (of.rows * of.each != of.items.size()) {
    return bad(where + ": its shape says " + std::to_string(of.rows * of.each) +
               " values, its data are " + std::to_string(of.items.size()));
  }
  for (const tensor::item& item : of.items)
    if (!fits(kind, item)) return bad(where + ".data: a value is no " + of.datatype);
  const auto columns = model_.columns();
  const auto column = std::ranges::find(columns, of.name, &request_column::name);
  const bool takes_lists = column != columns.end() && column->kind == worker::feature_kind::ids;
  of.is_list = takes_lists && of.shape.size() == 2;
  if (!of.is_list && of.each != 1) return bad(where + ".shape: the column takes one value a row");
  if (of.is_list && kind == element::number)
    return bad(where + ".datatype: a list of ids is of BYTES or whole numbers");
  if (of.each > schemas::event_texts_max) {
    return error{errc::too_large,
                 where + ".shape: at most " + std::to_string(schemas::event_texts_max) +
                     " ids are accepted in a list"};
  }
  return {};
}

void tensor_columns::write_row(const tensor& of,
                               std::size_t row,
                               schemas::event_batch_builder& into) {
  const std::uint16_t name = into.name(of.name);
  if (of.is_list) {
    std::vector<std::string_view> texts;
    for (std::size_t i = 0; i < of.each; ++i) texts.push_back(of.items[row * of.each + i].text);
    return into.texts(name, texts);
  }
  const tensor::item& item = of.items[row];
  if (item.type == json_type::string) return into.text(name, item.text);
  if (!worker::is_whole_number(item.text)) return into.number(name, item.number);
  if (const auto whole = parse_number<std::int64_t>(item.text)) return into.integer(name, *whole);
  into.text(name, item.text);  // an id beyond 64 bits
}

// Rows of all tensors as events; those of one row beside others of many are for all.
result<bool> tensor_columns::write(schemas::event_batch_builder& into) const {
  std::size_t n = 0;
  for (const tensor& each : tensors_) n = std::max(n, each.rows);
  if (n == 0) return bad("inputs: there is nothing to predict");
  if (n > rows_max_) {
    return error{errc::too_large,
                 "inputs: at most " + std::to_string(rows_max_) + " rows are accepted"};
  }
  bool shared = false;
  for (const tensor& each : tensors_) {
    if (each.rows != n && each.rows != 1) {
      return bad("inputs: " + worker::shown(each.name) + " has " + std::to_string(each.rows) +
                 " rows, others have " + std::to_string(n));
    }
    shared = shared || each.rows != n;
  }
  if (shared) {
    into.event("", "", 0);
    for (const tensor& each : tensors_)
      if (each.rows != n) write_row(each, 0, into);
  }
  for (std::size_t i = 0; i < n; ++i) {
    into.event("", "", 0);
    for (const tensor& each : tensors_)
      if (each.rows == n) write_row(each, i, into);
  }
  return shared;
}

}  // namespace headrace::serve
