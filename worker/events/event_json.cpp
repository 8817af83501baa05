#include "worker/events/event_json.hpp"

#include "base/parse_number.hpp"
#include "base/utf8.hpp"
#include "schemas/wire.hpp"
#include "worker/events/json_event_reader.hpp"

#include <algorithm>
#include <cstring>

namespace headrace::worker {

namespace {

using outcome = json_event_reader::outcome;
using simdjson::ondemand::json_type;

constexpr std::string_view space = " \t\r\n";
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr std::size_t line_bytes = 4'096;
constexpr std::size_t kept_bytes_max = std::size_t{4} << 20;
constexpr std::size_t frame_margin = 4'096;  // of the message that a batch may travel in

error malformed(const std::string& why) { return {errc::malformed, why}; }

std::string not_json(simdjson::error_code error) {
  if (error == simdjson::UTF8_ERROR) return "the text is not UTF-8";
  return "not JSON: " + std::string(simdjson::error_message(error));
}

/// What lies before the first line's end, without space at its end.
std::string_view first_line(std::string_view text) {
  return without_spaces(text.substr(0, text.find('\n')));
}

/// Whether the brackets of `text`, which begins with one, are closed where it ends.
bool is_whole(std::string_view text) {
  std::int64_t depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i) {
        if (text[i] == '\\') ++i;
      }
    }
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && --depth == 0) return i + 1 == text.size();
  }
  return false;
}

std::string_view from_content(std::string_view text) {
  const auto begin = text.find_first_not_of(space);
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin);
}

/// One object a line, rather than one text of JSON over several: the first line is whole, or it is
/// broken and the next one begins anew.
bool is_of_lines(std::string_view text) {
  if (!text.starts_with('{')) return false;
  const std::string_view first = first_line(text);
  const auto end = text.find('\n');
  if (end == std::string_view::npos) return false;
  const std::string_view rest = from_content(text.substr(end));
  if (rest.empty()) return false;
  if (is_whole(first)) return true;
  constexpr std::string_view goes_on = ":,[{";
  return rest.starts_with('{') && goes_on.find(first.back()) == std::string_view::npos;
}

}  // namespace

struct event_json_reader::state {
  using document = simdjson::ondemand::document;

  simdjson::ondemand::parser parser;
  json_event_reader event;
  std::vector<char> padded;  // the text and what the parser may read behind it

  // Of one call:
  const read_options* how = nullptr;
  schemas::event_batch_builder* into = nullptr;
  std::vector<schemas::event_refusal>* refused = nullptr;
  std::uint32_t place = 0;  // of the next event
  std::uint32_t refusals = 0;

  std::string_view pad(std::string_view text) {
    if (padded.size() < text.size() + simdjson::SIMDJSON_PADDING)
      padded.resize(text.size() + simdjson::SIMDJSON_PADDING);
    std::memcpy(padded.data(), text.data(), text.size());
    std::memset(padded.data() + text.size(), 0, simdjson::SIMDJSON_PADDING);
    return {padded.data(), text.size()};
  }

  simdjson::error_code open(std::string_view part, document& doc) {
    if (parser.capacity() < part.size()) {
      const std::size_t room = std::max(2 * part.size(), line_bytes);
      if (const auto error = parser.allocate(room, parser.max_depth())) return error;
    }
    const auto behind = static_cast<std::size_t>(padded.data() + padded.size() - part.data());
    return parser.iterate(part.data(), part.size(), behind).get(doc);
  }

  /// The parser has several bytes for each of its text: those of a long one are let go of.
  void let_go() {
    if (parser.capacity() > kept_bytes_max) parser = simdjson::ondemand::parser();
    if (padded.size() > kept_bytes_max) padded = std::vector<char>();
  }

  static bool is_at_end(document& doc) {
    return doc.current_location().error() == simdjson::OUT_OF_BOUNDS;
  }

  void refuse(schemas::event_fault fault, std::string detail) {
    if (refusals++ < how->told_max) refused->push_back({place, fault, std::move(detail)});
  }

  /// After each event.
  result<void> next() {
    if (++place > schemas::batch_events_max) {
      return error{
          errc::too_large,
          "at most " + std::to_string(schemas::batch_events_max) + " events are accepted at once"};
    }
    if (into->events() > schemas::batch_events_max ||
        into->bytes() + frame_margin > schemas::frame_bytes_max)
      return error{errc::too_large, "the events fill more than one batch: send fewer at once"};
    return {};
  }

  std::string too_long(std::size_t bytes) const {
    return "an event of " + std::to_string(bytes) + " bytes; at most " +
           std::to_string(how->event_bytes_max) + " are accepted";
  }

  result<void> read(std::string_view text) {
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF"))
      return malformed("the text is UTF-16; UTF-8 is needed");
    text = from_content(without_spaces(text));
    if (text.empty()) return malformed("there is nothing to read: an event is a JSON object");
    const std::string_view here = pad(text);
    return is_of_lines(here) ? lines(here) : whole(here);
  }

  result<void> lines(std::string_view text) {
    while (!text.empty()) {
      const auto end = std::min(text.find('\n'), text.size());
      const std::string_view one = from_content(without_spaces(text.substr(0, end)));
      text.remove_prefix(std::min(end + 1, text.size()));
      if (one.empty()) continue;
      line(one);
      if (const auto going = next(); !going) return going.error();
    }
    return {};
  }

  void line(std::string_view text) {
    using schemas::event_fault;
    if (text.size() > how->event_bytes_max)
      return refuse(event_fault::too_large, too_long(text.size()));
    document doc;
    simdjson::ondemand::object object;
    if (const auto error = open(text, doc)) return refuse(event_fault::malformed, not_json(error));
    if (const auto error = doc.get_object().get(object)) {
      return refuse(
          event_fault::malformed,
          error == simdjson::INCORRECT_TYPE ? "a line is a JSON object" : not_json(error));
    }
    const auto before = into->here();
    const outcome came = event.read(object, *how, *into);
    if (came == outcome::refused) return refuse(event.fault(), event.detail());
    if (came == outcome::broken) return refuse(event_fault::malformed, not_json(event.broken_by()));
    if (is_at_end(doc)) return;
    into->back_to(before);
    refuse(event_fault::malformed, "not JSON: something follows the object on its line");
  }

  /// `why` with the place where the parser stands.
  error stopped(document& doc, std::string_view text, const std::string& why) const {
    const char* at = nullptr;
    if (doc.current_location().get(at) != simdjson::SUCCESS) at = text.data() + text.size();
    return malformed("byte " + std::to_string(at - text.data()) + ", event " +
                     std::to_string(place) + ": " + why);
  }

  result<void> whole(std::string_view text) {
    document doc;
    json_type type{};
    if (const auto error = open(text, doc)) return malformed(not_json(error));
    if (const auto error = doc.type().get(type)) return malformed(not_json(error));
    if (type == json_type::array) {
      simdjson::ondemand::array array;
      if (const auto error = doc.get_array().get(array)) return malformed(not_json(error));
      if (auto read = list(array, doc, text); !read) return read;
      return ended(doc, text);
    }
    if (type != json_type::object)
      return malformed(
          "an event is a JSON object; also taken: a list of them, one a line, "
          "{\"events\":[…]}");
    if (text.find("\"events\"") != std::string_view::npos) {
      const auto wrapped = is_envelope(doc);
      if (!wrapped) return wrapped.error();
      doc.rewind();
      if (*wrapped) return envelope(doc, text);
    }
    return single(doc, text);
  }

  result<void> ended(document& doc, std::string_view text) const {
    if (is_at_end(doc)) return {};
    return stopped(doc, text, "not JSON: something follows the end");
  }

  result<void> single(document& doc, std::string_view text) {
    simdjson::ondemand::object object;
    if (text.size() > how->event_bytes_max) {
      refuse(schemas::event_fault::too_large, too_long(text.size()));
      return next();
    }
    if (const auto error = doc.get_object().get(object)) return malformed(not_json(error));
    const outcome came = event.read(object, *how, *into);
    if (came == outcome::broken) return stopped(doc, text, not_json(event.broken_by()));
    if (came == outcome::refused)
      refuse(event.fault(), event.detail());
    else if (auto all = ended(doc, text); !all)
      return all;
    return next();
  }

  result<void> list(simdjson::ondemand::array array, document& doc, std::string_view text) {
    for (auto element : array) {
      simdjson::ondemand::value one;
      if (const auto error = element.get(one)) return stopped(doc, text, not_json(error));
      if (auto read = element_of(one, doc, text); !read) return read;
      if (auto going = next(); !going) return going;
    }
    return {};
  }

  result<void> element_of(simdjson::ondemand::value& one, document& doc, std::string_view text) {
    using schemas::event_fault;
    json_type type{};
    if (const auto error = one.type().get(type)) return stopped(doc, text, not_json(error));
    if (type != json_type::object) {
      refuse(event_fault::malformed, "an event is a JSON object");
      return {};
    }
    const char* begin = one.raw_json_token().data();
    simdjson::ondemand::object object;
    if (const auto error = one.get_object().get(object)) return stopped(doc, text, not_json(error));
    const auto before = into->here();
    const outcome came = event.read(object, *how, *into);
    if (came == outcome::broken) return stopped(doc, text, not_json(event.broken_by()));
    if (came == outcome::refused) {
      refuse(event.fault(), event.detail());
      return {};
    }
    const char* end = text.data() + text.size();
    if (const char* at = nullptr; doc.current_location().get(at) == simdjson::SUCCESS) end = at;
    const auto bytes = static_cast<std::size_t>(end - begin);
    if (bytes <= how->event_bytes_max) return {};
    into->back_to(before);
    refuse(event_fault::too_large, too_long(bytes));
    return {};
  }

  /// Whether the document is {"events":[…]}: a list of objects, or an empty one.
  static result<bool> is_envelope(document& doc) {
    simdjson::ondemand::object object;
    if (const auto error = doc.get_object().get(object)) return malformed(not_json(error));
    for (auto field : object) {
      if (const auto error = field.error()) return malformed(not_json(error));
      if (!(field.key().value_unsafe() == "events")) continue;
      simdjson::ondemand::array array;
      if (field.value().get_array().get(array) != simdjson::SUCCESS) return false;
      for (auto element : array) {
        json_type type{};
        if (const auto error = element.type().get(type)) return malformed(not_json(error));
        return type == json_type::object;
      }
      return true;
    }
    return false;
  }

  result<void> envelope(document& doc, std::string_view text) {
    if (auto read = beside_events(doc, text); !read) return read;
    doc.rewind();
    simdjson::ondemand::object object;
    if (const auto error = doc.get_object().get(object)) return malformed(not_json(error));
    for (auto field : object) {
      if (const auto error = field.error()) return stopped(doc, text, not_json(error));
      if (!(field.key().value_unsafe() == "events")) continue;
      simdjson::ondemand::array array;
      if (const auto error = field.value().get_array().get(array))
        return stopped(doc, text, not_json(error));
      if (auto read = list(array, doc, text); !read) return read;
    }
    return ended(doc, text);
  }

  /// Members of the envelope that are said before its events.
  result<void> beside_events(document& doc, std::string_view text) {
    simdjson::ondemand::object object;
    if (const auto error = doc.get_object().get(object)) return malformed(not_json(error));
    unsigned seen = 0;
    for (auto field : object) {
      std::string_view name;
      simdjson::ondemand::value member;
      if (const auto error = field.unescaped_key().get(name))
        return stopped(doc, text, not_json(error));
      if (const auto error = field.value().get(member)) return stopped(doc, text, not_json(error));
      const unsigned bit = name == "events" ? 1U : name == "producer" ? 2U : 4U;
      if ((seen & bit) != 0) return malformed(std::string(name) + ": the member is there twice");
      seen |= bit;
      if (name == "events") continue;
      if (name == "producer" ? producer(member) : name == "schema_version" && version(member))
        continue;
      return malformed(
          name == "producer" ? "producer: a text of at most " +
                                   std::to_string(schemas::producer_bytes_max) + " bytes is needed"
          : name == "schema_version" ? "schema_version: a whole number below 2^32 is needed"
                                     : "beside events only producer and schema_version are taken");
    }
    return {};
  }

  bool producer(simdjson::ondemand::value& from) {
    std::string_view name;
    if (from.get_string().get(name) != simdjson::SUCCESS) return false;
    if (name.size() > schemas::producer_bytes_max || !is_utf8(name)) return false;
    if (into->batch().producer.empty()) into->producer(name);
    return true;
  }

  bool version(simdjson::ondemand::value& from) {
    const auto number = parse_number<std::uint32_t>(without_spaces(from.raw_json_token()));
    if (number) into->schema_version(*number);
    return number.has_value();
  }
};

event_json_reader::event_json_reader() : state_(std::make_unique<state>()) {}
event_json_reader::~event_json_reader() = default;

result<void> event_json_reader::read(std::string_view text,
                                     const read_options& how,
                                     schemas::event_batch_builder& into,
                                     std::vector<schemas::event_refusal>& refused) {
  state_->how = &how;
  state_->into = &into;
  state_->refused = &refused;
  state_->place = 0;
  state_->refusals = 0;
  const auto before = into.here();
  const std::size_t told = refused.size();
  if (into.events() == 0) into.schema_version(how.schema_version);
  result<void> done = state_->read(text);
  state_->let_go();
  if (!done) {
    into.back_to(before);
    refused.resize(told);
    state_->refusals = 0;
  }
  return done;
}

std::uint32_t event_json_reader::refused() const { return state_->refusals; }

}  // namespace headrace::worker
