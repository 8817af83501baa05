#include "serve/request_json.hpp"

#include "base/check.hpp"
#include "serve/json_members.hpp"
#include "serve/tensor_columns.hpp"
#include "worker/events/json_event_reader.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace headrace::serve {
namespace {

using worker::json_event_reader;

constexpr std::size_t kept_bytes_max = std::size_t{4} << 20;
constexpr std::size_t room_bytes = 4'096;

}  // namespace

struct request_json::state {
  state(const served_model& model, std::size_t most) : samples_max(most), tensors(model, most) {}

  std::size_t samples_max;
  ondemand::parser parser;
  json_event_reader columns_of;
  schemas::event_batch_builder builder;
  std::vector<char> padded;
  ondemand::document document;
  tensor_columns tensors;

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
  state_->tensors.begin();
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
  const auto input = [&](std::size_t, ondemand::value& item) { return state_->tensors.read(item); };
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
  auto shared = state_->tensors.write(state_->builder);
  if (!shared) return shared.error();
  made.shared = *shared;
  return made;
}

}  // namespace headrace::serve
