#include "worker/events/json_event_reader.hpp"

#include "base/parse_number.hpp"
#include "base/utf8.hpp"
#include "worker/events/json_value.hpp"

#include <algorithm>

namespace headrace::worker {

namespace {

using simdjson::ondemand::json_type;

constexpr std::size_t members_max = 2 * schemas::event_fields_max;
constexpr std::size_t named_bytes_max = 64;  // of a name in a refusal
enum known : unsigned {
  id_bit = 1,
  key_bit = 2,
  time_bit = 4,
  action_bit = 8,
  features_bit = 16,
  version_bit = 32
};

std::string_view kind_of(json_type type) {
  switch (type) {
    case json_type::array:
      return "a list";
    case json_type::object:
      return "an object";
    case json_type::number:
      return "a number";
    case json_type::string:
      return "a text";
    case json_type::boolean:
      return "true or false";
    case json_type::null:
      return "null";
  }
  return "something else";
}

/// The name for people: no control bytes, no end in the middle of a character.
std::string spelled(std::string_view name) {
  std::string text;
  while (!name.empty() && text.size() < named_bytes_max) {
    const std::size_t length = utf8_length(name);
    if (length == 0 || name.front() < ' ')
      text += length > 1 ? name.substr(0, length) : std::string_view("?");
    else
      text += name.substr(0, length);
    name.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return name.empty() ? text : text + "…";
}

}  // namespace

std::string_view without_spaces(std::string_view token) {
  while (!token.empty() && (token.back() == ' ' || (token.back() >= '\t' && token.back() <= '\r')))
    token.remove_suffix(1);
  return token;
}

bool json_event_reader::is_of_value(simdjson::error_code error) {
  return error == simdjson::STRING_ERROR || error == simdjson::NUMBER_ERROR ||
         error == simdjson::T_ATOM_ERROR || error == simdjson::F_ATOM_ERROR ||
         error == simdjson::N_ATOM_ERROR || error == simdjson::INCORRECT_TYPE;
}

bool json_event_reader::refuse(fault_kind fault, std::string_view name, const std::string& why) {
  fault_ = fault;
  detail_ = spelled(name) + ": " + why;
  return false;
}

bool json_event_reader::failed(simdjson::error_code error, std::string_view name) {
  if (is_of_value(error))
    return refuse(fault_kind::malformed, name, std::string(simdjson::error_message(error)));
  broken_by_ = error;
  return false;
}

bool json_event_reader::wrong_type(std::string_view name, value& from, std::string_view needed) {
  json_type type{};
  if (const auto error = from.type().get(type)) return failed(error, name);
  return refuse(fault_kind::wrong_type,
                name,
                std::string(needed) + " is needed, this is " + std::string(kind_of(type)));
}

bool json_event_reader::is_null(value& from) {
  return without_spaces(from.raw_json_token()) == "null";
}

bool json_event_reader::once(std::string_view name, unsigned member) {
  if ((known_members_ & member) != 0)
    return refuse(fault_kind::malformed, name, "the member is there twice");
  known_members_ |= member;
  return true;
}

bool json_event_reader::fits(std::string_view name, std::string_view text, std::size_t most) {
  if (!is_utf8(text)) return refuse(fault_kind::malformed, name, "the text is not UTF-8");
  return text.size() <= most || refuse(fault_kind::too_large,
                                       name,
                                       std::to_string(text.size()) + " bytes; at most " +
                                           std::to_string(most) + " are accepted");
}

bool json_event_reader::text(std::string_view name,
                             std::size_t most,
                             value& from,
                             std::string_view& into) {
  if (const auto error = from.get_string().get(into)) return failed(error, name);
  return fits(name, into, most);
}

void json_event_reader::begin(const options& how, schemas::event_batch_builder& into) {
  how_ = &how;
  into_ = &into;
  ++event_;
  nulls_.clear();
  members_ = 0;
  known_members_ = 0;
  has_key_ = false;
  broken_by_ = simdjson::SUCCESS;
  into.event("", "", how.now_ms);
}

json_event_reader::outcome json_event_reader::read_columns(simdjson::ondemand::object from,
                                                           schemas::event_batch_builder& into) {
  static const options none;
  begin(none, into);
  if (members(from, true) && nulls_once()) return outcome::added;
  into.drop_event();
  return broken_by_ == simdjson::SUCCESS ? outcome::refused : outcome::broken;
}

json_event_reader::outcome json_event_reader::read(simdjson::ondemand::object from,
                                                   const options& how,
                                                   schemas::event_batch_builder& into) {
  const std::uint32_t version = into.batch().schema_version;
  begin(how, into);
  if (members(from, false) && nulls_once() && (has_key_ || message_key())) return outcome::added;
  into.drop_event();
  into.schema_version(version);
  return broken_by_ == simdjson::SUCCESS ? outcome::refused : outcome::broken;
}

bool json_event_reader::message_key() {
  if (how_->key.empty()) return true;
  if (!fits("key", how_->key, schemas::event_key_bytes_max)) return false;
  into_->key(how_->key);
  return true;
}

bool json_event_reader::members(simdjson::ondemand::object from, bool in_features) {
  for (auto field : from) {
    std::string_view name;
    value member_value;
    if (const auto error = field.error()) return failed(error, "");
    if (const auto error = field.unescaped_key().get(name)) return failed(error, "name");
    if (const auto error = field.value().get(member_value)) return failed(error, name);
    if (++members_ > members_max) {
      return refuse(fault_kind::too_large,
                    name,
                    "at most " + std::to_string(members_max) + " members are accepted");
    }
    if (!(in_features ? column(name, member_value) : member(name, member_value))) return false;
  }
  return true;
}

bool json_event_reader::member(std::string_view name, value& from) {
  std::string_view text;
  if (name == "id") {
    if (!once(name, id_bit)) return false;
    if (is_null(from)) return true;
    if (!id_or_key(name, schemas::event_id_bytes_max, from, text)) return false;
    into_->id(text);
    return true;
  }
  if (name == "key") {
    if (!once(name, key_bit)) return false;
    if (is_null(from)) return true;
    if (!id_or_key(name, schemas::event_key_bytes_max, from, text)) return false;
    into_->key(text);
    has_key_ = true;
    return true;
  }
  if (name == "time") return once(name, time_bit) && (is_null(from) || time(from));
  if (name == "action") return once(name, action_bit) && (is_null(from) || action(from));
  if (name == "features") return once(name, features_bit) && (is_null(from) || features(from));
  if (name == "schema_version")
    return once(name, version_bit) && (is_null(from) || schema_version(from));
  return column(name, from);
}

bool json_event_reader::id_or_key(std::string_view name,
                                  std::size_t most,
                                  value& from,
                                  std::string_view& into) {
  json_type type{};
  if (const auto error = from.type().get(type)) return failed(error, name);
  if (type == json_type::string) return text(name, most, from, into);
  into = without_spaces(from.raw_json_token());
  if (type != json_type::number || !is_whole_number(into))
    return wrong_type(name, from, "a text or a whole number");
  return fits(name, into, most);
}

bool json_event_reader::time(value& from) {
  json_type type{};
  if (const auto error = from.type().get(type)) return failed(error, "time");
  std::string_view spelling = without_spaces(from.raw_json_token());
  std::optional<std::uint64_t> ms;
  if (type == json_type::string) {
    if (!text("time", schemas::event_text_bytes_max, from, spelling)) return false;
    ms = ms_of_rfc3339(spelling);
  } else if (type == json_type::number) {
    ms = ms_of_number(spelling);
  } else {
    return wrong_type("time", from, "a number of milliseconds or a text of RFC 3339");
  }
  if (!ms) {
    return refuse(fault_kind::bad_time,
                  "time",
                  "'" + spelled(spelling) +
                      "' is neither milliseconds since 1970 nor RFC 3339 with an offset, such as "
                      "2026-11-27T10:00:00Z");
  }
  into_->time(*ms);
  return true;
}

bool json_event_reader::action(value& from) {
  json_type type{};
  if (const auto error = from.type().get(type)) return failed(error, "action");
  if (type != json_type::string) return wrong_type("action", from, "a text");
  std::string_view name;
  if (!text("action", schemas::event_name_bytes_max, from, name)) return false;
  if (name.empty()) return refuse(fault_kind::malformed, "action", "the text is empty");
  const auto place = into_->try_name(name);
  if (!place) {
    return refuse(fault_kind::too_large,
                  "action",
                  "at most " + std::to_string(schemas::batch_names_max) +
                      " names of columns and actions are accepted in a batch");
  }
  into_->action(*place);
  return true;
}

bool json_event_reader::schema_version(value& from) {
  const auto version = parse_number<std::uint32_t>(without_spaces(from.raw_json_token()));
  if (!version) return wrong_type("schema_version", from, "a whole number below 2^32");
  if (*version == into_->batch().schema_version) return true;
  if (into_->events() > 1) {
    return refuse(fault_kind::wrong_schema,
                  "schema_version",
                  std::to_string(*version) + " in a batch of " +
                      std::to_string(into_->batch().schema_version));
  }
  into_->schema_version(*version);
  return true;
}

bool json_event_reader::features(value& from) {
  simdjson::ondemand::object object;
  json_type type{};
  if (const auto error = from.type().get(type)) return failed(error, "features");
  if (type != json_type::object) return wrong_type("features", from, "an object");
  if (const auto error = from.get_object().get(object)) return failed(error, "features");
  return members(object, true);
}

// Columns without a value get no place among the names, so they are looked at when all are there:
// in order, since an event may have thousands.
bool json_event_reader::nulls_once() {
  std::ranges::sort(nulls_);
  auto twice = std::ranges::adjacent_find(nulls_);
  if (twice == nulls_.end()) {
    twice = std::ranges::find_if(nulls_, [this](std::string_view name) {
      const auto place = into_->find_name(name);
      return place && seen_[*place] == event_;
    });
  }
  return twice == nulls_.end() ||
         refuse(fault_kind::malformed, *twice, "the member is there twice");
}

std::optional<std::uint16_t> json_event_reader::place_of(std::string_view name) {
  const auto place = into_->try_name(name);
  if (!place) {
    refuse(fault_kind::too_large,
           name,
           "at most " + std::to_string(schemas::batch_names_max) +
               " names of columns and actions are accepted in a batch");
    return std::nullopt;
  }
  if (seen_[*place] == event_) {
    refuse(fault_kind::malformed, name, "the member is there twice");
    return std::nullopt;
  }
  seen_[*place] = event_;
  return place;
}

bool json_event_reader::column(std::string_view name, value& from) {
  if (name.empty()) return refuse(fault_kind::malformed, "''", "a column needs a name");
  if (!fits(name, name, schemas::event_name_bytes_max)) return false;
  if (is_null(from)) {
    nulls_.push_back(name);
    return true;
  }
  const auto place = place_of(name);
  if (!place) return false;
  if (into_->batch().events.back().fields_count == schemas::event_fields_max) {
    return refuse(fault_kind::too_large,
                  name,
                  "at most " + std::to_string(schemas::event_fields_max) + " columns are accepted");
  }
  return column_value(name, *place, from);
}

bool json_event_reader::column_value(std::string_view name, std::uint16_t place, value& from) {
  json_type type{};
  if (const auto error = from.type().get(type)) return failed(error, name);
  if (type == json_type::number) return number(name, place, from);
  if (type == json_type::array) return list(name, place, from);
  if (type == json_type::string) {
    std::string_view content;
    if (!text(name, schemas::event_text_bytes_max, from, content)) return false;
    into_->text(place, content);
    return true;
  }
  if (type == json_type::boolean) {
    bool truth = false;
    if (const auto error = from.get_bool().get(truth)) return failed(error, name);
    into_->integer(place, truth ? 1 : 0);
    return true;
  }
  return wrong_type(name, from, "a text, a number, true, false or a list of texts and numbers");
}

bool json_event_reader::number(std::string_view name, std::uint16_t place, value& from) {
  const std::string_view token = without_spaces(from.raw_json_token());
  if (is_whole_number(token)) {
    if (const auto whole = parse_number<std::int64_t>(token)) {
      into_->integer(place, *whole);
      return true;
    }
    if (!fits(name, token, schemas::event_text_bytes_max)) return false;
    into_->text(place, token);
    return true;
  }
  double number = 0.0;
  if (const auto error = from.get_double().get(number)) {
    if (is_of_value(error) && looks_like_number(token) && !parse_number<double>(token))
      return refuse(fault_kind::not_finite, name, "'" + spelled(token) + "' fits no 64-bit float");
    return failed(error, name);
  }
  into_->number(place, number);
  return true;
}

bool json_event_reader::list(std::string_view name, std::uint16_t place, value& from) {
  simdjson::ondemand::array array;
  if (const auto error = from.get_array().get(array)) return failed(error, name);
  items_.clear();
  for (auto element : array) {
    value item;
    if (const auto error = element.get(item)) return failed(error, name);
    if (!list_item(name, item)) return false;
    if (items_.size() > schemas::event_texts_max) {
      return refuse(
          fault_kind::too_large,
          name,
          "at most " + std::to_string(schemas::event_texts_max) + " texts are accepted in a list");
    }
  }
  into_->texts(place, items_);
  return true;
}

bool json_event_reader::list_item(std::string_view name, value& from) {
  json_type type{};
  if (const auto error = from.type().get(type)) return failed(error, name);
  if (type == json_type::null && is_null(from)) return true;
  std::string_view content;
  if (type == json_type::string) {
    if (!text(name, schemas::event_text_bytes_max, from, content)) return false;
  } else if (type == json_type::number) {
    content = without_spaces(from.raw_json_token());
    double number = 0.0;
    if (!is_whole_number(content)) {
      if (const auto error = from.get_double().get(number)) return failed(error, name);
    }
    if (!fits(name, content, schemas::event_text_bytes_max)) return false;
  } else {
    return wrong_type(name, from, "a list of texts and numbers");
  }
  items_.push_back(content);
  return true;
}

}  // namespace headrace::worker
