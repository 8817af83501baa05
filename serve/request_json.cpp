#include "serve/request_json.hpp"

#include "base/check.hpp"
#include "base/parse_number.hpp"
#include "base/utf8.hpp"
#include "worker/events/json_event_reader.hpp"
#include "worker/events/json_value.hpp"
#include "worker/ingest/column_text.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <simdjson.h>
#include <utility>

namespace headrace::serve {
namespace {

namespace ondemand = simdjson::ondemand;
using ondemand::json_type;
using worker::json_event_reader;

constexpr std::size_t kept_bytes_max = std::size_t{4} << 20;
constexpr std::size_t room_bytes = 4'096;
constexpr std::size_t names_max = 256;  // heads or outputs that are named

error bad(const std::string& why) { return {errc::bad_input, why}; }
error not_json(simdjson::error_code code) {
  if (code == simdjson::UTF8_ERROR) return {errc::malformed, "the text is not UTF-8"};
  return {errc::malformed, std::string("not JSON: ") + simdjson::error_message(code)};
}
// Of a value: another type than is needed is no broken text.
error not_that(simdjson::error_code code, const std::string& where, const char* needed) {
  if (code == simdjson::INCORRECT_TYPE) return bad(where + ": " + needed + " is needed");
  return not_json(code);
}

std::string list_of(std::span<const std::string_view> names) {
  std::string text;
  for (const std::string_view name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

std::string_view token_of(ondemand::value& from) {
  return worker::without_spaces(from.raw_json_token());
}

/// Calls take(name, value) → result<void> for each member; each at most once, and only those that
/// are accepted.
template <class Take>
result<void> each_member(ondemand::object& from,
                         const std::string& where,
                         std::span<const std::string_view> accepted,
                         const Take& take) {
  std::vector<bool> seen(accepted.size());
  for (auto field : from) {
    std::string_view name;
    ondemand::value value;
    if (const auto code = field.error()) return not_json(code);
    if (const auto code = field.unescaped_key().get(name)) return not_json(code);
    if (const auto code = field.value().get(value)) return not_json(code);
    const auto at = std::ranges::find(accepted, name);
    if (at == accepted.end()) {
      return bad(where + "member " + worker::shown(name) + " is not known; there may be " +
                 list_of(accepted));
    }
    const auto place = static_cast<std::size_t>(at - accepted.begin());
    if (seen[place]) return bad(where + worker::shown(name) + " is there twice");
    seen[place] = true;
    if (auto taken = take(name, value); !taken) return taken;
  }
  return {};
}

/// Calls take(i, value) → result<void> for each item.
template <class Take>
result<void> each_item(ondemand::value& from, const std::string& where, const Take& take) {
  ondemand::array array;
  if (const auto code = from.get_array().get(array)) return not_that(code, where, "a list");
  std::size_t i = 0;
  for (auto element : array) {
    ondemand::value item;
    if (const auto code = element.get(item)) return not_json(code);
    if (auto taken = take(i++, item); !taken) return taken;
  }
  return {};
}

result<std::string> read_text(ondemand::value& from, const std::string& where) {
  std::string_view text;
  if (const auto code = from.get_string().get(text)) return not_that(code, where, "a text");
  if (text.size() > schemas::event_text_bytes_max) return bad(where + ": the text is too long");
  if (!is_utf8(text)) return bad(where + ": the text is not UTF-8");  // an escaped half of a pair
  return std::string(text);
}

template <class Number>
result<Number> read_whole(ondemand::value& from, const std::string& where) {
  const std::string_view token = token_of(from);
  const auto number = worker::is_whole_number(token) ? parse_number<Number>(token) : std::nullopt;
  if (!number) return bad(where + ": a whole number from 0 on is needed");
  return *number;
}

result<void> read_names(ondemand::value& from,
                        const std::string& where,
                        std::vector<std::string>& into) {
  auto read = each_item(from, where, [&](std::size_t i, ondemand::value& item) -> result<void> {
    if (i == names_max) return error{errc::too_large, where + ": too many"};
    auto name = read_text(item, where);
    if (!name) return name.error();
    if (std::ranges::find(into, *name) != into.end())
      return bad(where + ": " + worker::shown(*name) + " is there twice");
    into.push_back(std::move(*name));
    return {};
  });
  if (read && into.empty()) return bad(where + ": the list is empty");
  return read;
}

// A text or a whole number, as its digits.
result<std::string> read_id(ondemand::value& from, const std::string& where) {
  json_type type{};
  if (const auto code = from.type().get(type)) return not_json(code);
  if (type == json_type::string) return read_text(from, where);
  const std::string_view token = token_of(from);
  if (type == json_type::number && worker::is_whole_number(token)) return std::string(token);
  return bad(where + ": a text or a whole number is needed");
}

/// One tensor of V2. Items lie in the text, or in what the parser unescaped.
struct tensor {
  struct item {
    std::string_view text;  // of a text, or the token
    json_type type{};
    double number = 0.0;  // that is not whole
  };
  std::string name;
  std::string datatype;
  std::vector<std::uint64_t> shape;
  std::vector<item> items;
  std::size_t rows = 0;
  std::size_t each = 1;  // items of a row
  bool is_list = false;
};

enum class tensor_kind { text, whole, number, truth, none };
tensor_kind kind_of(std::string_view datatype) {
  if (datatype == "BYTES") return tensor_kind::text;
  if (datatype == "FP16" || datatype == "FP32" || datatype == "FP64") return tensor_kind::number;
  if (datatype == "BOOL") return tensor_kind::truth;
  for (const char* sign : {"INT", "UINT"}) {
    for (const char* bits : {"8", "16", "32", "64"})
      if (datatype == std::string(sign) + bits) return tensor_kind::whole;
  }
  return tensor_kind::none;
}
bool fits(tensor_kind kind, const tensor::item& item) {
  switch (kind) {
    case tensor_kind::text:
      return item.type == json_type::string;
    case tensor_kind::whole:
      return item.type == json_type::number && worker::is_whole_number(item.text);
    case tensor_kind::number:
      return item.type == json_type::number;
    case tensor_kind::truth:
      return item.type == json_type::boolean;
    case tensor_kind::none:
      break;
  }
  return false;
}

}  // namespace

struct request_json::state {
  state(const served_model& of, std::size_t most) : model(of), samples_max(most) {}

  const served_model& model;
  std::size_t samples_max;
  ondemand::parser parser;
  json_event_reader columns_of;
  schemas::event_batch_builder builder;
  std::vector<char> padded;
  ondemand::document document;
  std::vector<tensor> tensors;

  /// The one object that `text` is, member by member.
  template <class Take>
  result<void> read(std::string_view text,
                    std::span<const std::string_view> accepted,
                    const Take& take) {
    builder.begin("");
    if (text.empty()) return error{errc::malformed, "the body is empty; a JSON object is needed"};
    let_go();
    padded.resize(std::max(padded.size(), text.size() + simdjson::SIMDJSON_PADDING));
    std::memcpy(padded.data(), text.data(), text.size());
    std::memset(padded.data() + text.size(), 0, simdjson::SIMDJSON_PADDING);
    if (parser.capacity() < text.size()) {
      const std::size_t room = std::max(2 * text.size(), room_bytes);
      if (const auto code = parser.allocate(room, parser.max_depth())) return not_json(code);
    }
    if (const auto code = parser.iterate(padded.data(), text.size(), padded.size()).get(document))
      return not_json(code);
    if (auto done = again(accepted, take); !done) return done;
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS)
      return error{errc::malformed, "not JSON: something follows the object"};
    return {};
  }
  /// From the beginning, once more.
  template <class Take>
  result<void> again(std::span<const std::string_view> accepted, const Take& take) {
    ondemand::object object;
    document.rewind();
    if (const auto code = document.get_object().get(object))
      return not_that(code, "the body", "a JSON object");
    return each_member(object, "", accepted, take);
  }

  void let_go() {
    if (parser.capacity() > kept_bytes_max) parser = ondemand::parser();
    if (padded.size() > kept_bytes_max) padded = std::vector<char>();
    if (tensors.size() > 64) tensors = std::vector<tensor>();
  }

  result<void> one_event(ondemand::value& from, const std::string& where) {
    ondemand::object object;
    if (const auto code = from.get_object().get(object))
      return not_that(code, where, "an object of columns");
    switch (columns_of.read_columns(object, builder)) {
      case json_event_reader::outcome::added:
        return {};
      case json_event_reader::outcome::refused:
        return bad(where + ": " + columns_of.detail());
      case json_event_reader::outcome::broken:
        break;
    }
    return not_json(columns_of.broken_by());
  }

  result<void> events(ondemand::value& from, const std::string& where) {
    auto read = each_item(from, where, [&](std::size_t i, ondemand::value& item) -> result<void> {
      if (i == samples_max) {
        return error{errc::too_large,
                     where + ": at most " + std::to_string(samples_max) + " are accepted"};
      }
      return one_event(item, where + "[" + std::to_string(i) + "]");
    });
    return read;
  }

  /// {"user":{…}, SEVERAL:[…] or ONE:{…}} or {ALONE:…}, and others by take.
  template <class Take>
  result<bool> people(std::string_view text,
                      std::string_view with_user,
                      std::string_view alone,
                      bool lists,
                      std::span<const std::string_view> accepted,
                      const Take& take) {
    bool shared = false;
    bool deferred = false;
    bool read_with_user = false;
    bool read_alone = false;
    const auto some = [&](std::string_view name, ondemand::value& value) {
      const std::string where(name);
      return lists ? events(value, where) : one_event(value, where);
    };
    auto read = this->read(
        text, accepted, [&](std::string_view name, ondemand::value& value) -> result<void> {
          if (name == "user") {
            if (read_alone) return bad("user: not beside " + std::string(alone));
            shared = true;
            return one_event(value, "user");
          }
          if (name == with_user) {
            if (read_alone) return bad(std::string(name) + ": not beside " + std::string(alone));
            read_with_user = true;
            deferred = !shared;
            return deferred ? result<void>() : some(name, value);
          }
          if (name == alone) {
            if (shared || read_with_user)
              return bad(std::string(name) + ": not beside user and " + std::string(with_user));
            read_alone = true;
            return some(name, value);
          }
          return take(name, value);
        });
    if (!read) return read.error();
    // The user's columns come first, wherever they stand.
    if (deferred) {
      auto rest =
          again(accepted, [&](std::string_view name, ondemand::value& value) -> result<void> {
            return name == with_user ? some(name, value) : result<void>();
          });
      if (!rest) return rest.error();
    }
    if (!read_with_user && !read_alone) {
      return bad(std::string(with_user) + " is missing: {\"user\":{…},\"" + std::string(with_user) +
                 "\":…} or {\"" + std::string(alone) + "\":…}");
    }
    return shared;
  }

  result<void> shape_of(ondemand::value& from, const std::string& where, tensor& into) {
    return each_item(from, where, [&](std::size_t i, ondemand::value& item) -> result<void> {
      const auto size = read_whole<std::uint32_t>(item, where);
      if (!size) return size.error();
      if (i == 2) return bad(where + ": [n] or [n,k] is needed");
      into.shape.push_back(*size);
      return {};
    });
  }

  // Flat, or a list for each row.
  result<void> data_of(ondemand::value& from, const std::string& where, tensor& into, bool nested) {
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

  result<void> one_tensor(ondemand::value& from, std::size_t place, tensor& into) {
    static constexpr std::string_view accepted[] = {
        "name", "shape", "datatype", "data", "parameters"};
    const std::string where = "inputs[" + std::to_string(place) + "]";
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
                              if (name == "data")
                                return data_of(value, where + ".data", into, false);
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
    return check_tensor(into, where + " " + worker::shown(into.name));
  }

  result<void> check_tensor(tensor& of, const std::string& where) const {
    const tensor_kind kind = kind_of(of.datatype);
    if (kind == tensor_kind::none) {
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
    const auto columns = model.columns();
    const auto column = std::ranges::find(columns, of.name, &request_column::name);
    const bool takes_lists = column != columns.end() && column->kind == worker::feature_kind::ids;
    of.is_list = takes_lists && of.shape.size() == 2;
    if (!of.is_list && of.each != 1) return bad(where + ".shape: the column takes one value a row");
    if (of.is_list && kind == tensor_kind::number)
      return bad(where + ".datatype: a list of ids is of BYTES or whole numbers");
    if (of.each > schemas::event_texts_max) {
      return error{errc::too_large,
                   where + ".shape: at most " + std::to_string(schemas::event_texts_max) +
                       " ids are accepted in a list"};
    }
    return {};
  }

  void add_row(const tensor& of, std::size_t row) {
    const std::uint16_t name = builder.name(of.name);
    if (of.is_list) {
      std::vector<std::string_view> texts;
      for (std::size_t i = 0; i < of.each; ++i) texts.push_back(of.items[row * of.each + i].text);
      return builder.texts(name, texts);
    }
    const tensor::item& item = of.items[row];
    if (item.type == json_type::string) return builder.text(name, item.text);
    if (!worker::is_whole_number(item.text)) return builder.number(name, item.number);
    if (const auto whole = parse_number<std::int64_t>(item.text))
      return builder.integer(name, *whole);
    builder.text(name, item.text);  // an id beyond 64 bits
  }

  // Rows of all tensors as events; those of one row beside others of many are for all.
  result<bool> rows() {
    std::size_t n = 0;
    for (const tensor& each : tensors) n = std::max(n, each.rows);
    if (n == 0) return bad("inputs: there is nothing to predict");
    if (n > samples_max) {
      return error{errc::too_large,
                   "inputs: at most " + std::to_string(samples_max) + " rows are accepted"};
    }
    bool shared = false;
    for (const tensor& each : tensors) {
      if (each.rows != n && each.rows != 1) {
        return bad("inputs: " + worker::shown(each.name) + " has " + std::to_string(each.rows) +
                   " rows, others have " + std::to_string(n));
      }
      shared = shared || each.rows != n;
    }
    if (shared) {
      builder.event("", "", 0);
      for (const tensor& each : tensors)
        if (each.rows != n) add_row(each, 0);
    }
    for (std::size_t i = 0; i < n; ++i) {
      builder.event("", "", 0);
      for (const tensor& each : tensors)
        if (each.rows == n) add_row(each, i);
    }
    return shared;
  }
};

request_json::request_json(const served_model& model, std::size_t samples_max)
    : state_(std::make_unique<state>(model, samples_max)) {
  CHECK(samples_max >= 1 && samples_max < schemas::batch_events_max);
}
request_json::~request_json() = default;

const schemas::event_batch& request_json::columns() const { return state_->builder.batch(); }

result<predict_request> request_json::predict(std::string_view text) {
  static constexpr std::string_view accepted[] = {
      "user", "candidates", "instances", "top", "heads"};
  predict_request made;
  auto shared = state_->people(text,
                               "candidates",
                               "instances",
                               true,
                               accepted,
                               [&](std::string_view name, ondemand::value& value) -> result<void> {
                                 if (name == "heads") return read_names(value, "heads", made.heads);
                                 const auto top = read_whole<std::uint32_t>(value, "top");
                                 if (!top) return top.error();
                                 if (*top == 0) return bad("top: at least 1 is needed");
                                 made.top = *top;
                                 return {};
                               });
  if (!shared) return shared.error();
  made.shared = *shared;
  return made;
}

result<explain_request> request_json::explain(std::string_view text) {
  static constexpr std::string_view accepted[] = {
      "user", "candidate", "instance", "head", "permutations", "seed"};
  explain_request made;
  auto shared = state_->people(text,
                               "candidate",
                               "instance",
                               false,
                               accepted,
                               [&](std::string_view name, ondemand::value& value) -> result<void> {
                                 if (name == "head") {
                                   auto head = read_text(value, "head");
                                   if (!head) return head.error();
                                   made.head = std::move(*head);
                                 } else if (name == "permutations") {
                                   const auto count =
                                       read_whole<std::uint32_t>(value, "permutations");
                                   if (!count) return count.error();
                                   made.permutations = *count;
                                 } else {
                                   const auto seed = read_whole<std::uint64_t>(value, "seed");
                                   if (!seed) return seed.error();
                                   made.seed = *seed;
                                 }
                                 return {};
                               });
  if (!shared) return shared.error();
  made.shared = *shared;
  return made;
}

result<lookup_request> request_json::lookup(std::string_view text) {
  static constexpr std::string_view accepted[] = {"feature", "ids", "keys"};
  lookup_request made;
  const std::size_t most = state_->samples_max;
  const auto too_many = [&](const char* what) {
    return error{errc::too_large,
                 std::string(what) + ": at most " + std::to_string(most) + " are accepted"};
  };
  auto read = state_->read(
      text, accepted, [&](std::string_view name, ondemand::value& value) -> result<void> {
        if (name == "feature") {
          auto feature = read_text(value, "feature");
          if (!feature) return feature.error();
          made.feature = std::move(*feature);
          return {};
        }
        const bool is_keys = name == "keys";
        const char* const what = is_keys ? "keys" : "ids";
        return each_item(value, what, [&](std::size_t i, ondemand::value& item) -> result<void> {
          if (i == most) return too_many(what);
          const std::string where = std::string(what) + "[" + std::to_string(i) + "]";
          auto id = read_id(item, where);
          if (!id) return id.error();
          if (!is_keys) {
            made.ids.push_back(std::move(*id));
            return {};
          }
          const auto key = parse_number<std::uint64_t>(*id);
          if (!key) return bad(where + ": a whole number below 2^64 is needed");
          made.keys.push_back(*key);
          return {};
        });
      });
  if (!read) return read.error();
  if (made.ids.empty() == made.keys.empty())
    return bad("ids or keys: one of both is needed, and not empty");
  if (!made.keys.empty() && !made.feature.empty()) return bad("feature: keys are of no feature");
  return made;
}

result<infer_request> request_json::infer(std::string_view text) {
  static constexpr std::string_view accepted[] = {"id", "inputs", "outputs", "parameters"};
  static constexpr std::string_view of_output[] = {"name", "parameters"};
  infer_request made;
  std::vector<tensor>& tensors = state_->tensors;
  tensors.clear();
  const auto output = [&](std::size_t i, ondemand::value& item) -> result<void> {
    const std::string where = "outputs[" + std::to_string(i) + "]";
    if (i == names_max) return error{errc::too_large, "outputs: too many"};
    ondemand::object object;
    if (const auto code = item.get_object().get(object)) return not_that(code, where, "an object");
    const std::size_t before = made.outputs.size();
    auto read =
        each_member(object,
                    where + ": ",
                    of_output,
                    [&](std::string_view name, ondemand::value& value) -> result<void> {
                      if (name == "parameters") return {};
                      auto given = read_text(value, where + ".name");
                      if (!given) return given.error();
                      if (std::ranges::find(made.outputs, *given) != made.outputs.end())
                        return bad(where + ".name: " + worker::shown(*given) + " is there twice");
                      made.outputs.push_back(std::move(*given));
                      return {};
                    });
    if (read && made.outputs.size() == before) return bad(where + ".name is missing");
    return read;
  };
  const auto input = [&](std::size_t i, ondemand::value& item) -> result<void> {
    if (i == schemas::event_fields_max) return error{errc::too_large, "inputs: too many"};
    if (auto read = state_->one_tensor(item, i, tensors.emplace_back()); !read) return read;
    for (std::size_t k = 0; k < i; ++k) {
      if (tensors[k].name == tensors[i].name)
        return bad("inputs: " + worker::shown(tensors[i].name) + " is there twice");
    }
    return {};
  };
  auto read = state_->read(
      text, accepted, [&](std::string_view name, ondemand::value& value) -> result<void> {
        if (name == "parameters") return {};
        if (name == "inputs") return each_item(value, "inputs", input);
        if (name == "outputs") return each_item(value, "outputs", output);
        auto id = read_text(value, "id");
        if (!id) return id.error();
        made.id = std::move(*id);
        return {};
      });
  if (!read) return read.error();
  auto shared = state_->rows();
  if (!shared) return shared.error();
  made.shared = *shared;
  return made;
}

}  // namespace headrace::serve
