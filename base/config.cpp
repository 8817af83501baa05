#include "base/config.hpp"

#include "base/check.hpp"
#include "base/nearest_word.hpp"
#include "base/units.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

namespace headrace {
namespace {

constexpr double whole_max = 9.0e18;  // below 2^63: what a TOML integer holds

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> parts;
  for (std::size_t from = 0; from <= path.size();) {
    const std::size_t dot = std::min(path.find('.', from), path.size());
    parts.emplace_back(path.substr(from, dot - from));
    from = dot + 1;
  }
  return parts;
}

std::string_view last_part(std::string_view path) {
  const auto dot = path.rfind('.');
  return dot == std::string_view::npos ? path : path.substr(dot + 1);
}

std::string join(std::string_view prefix, std::string_view part) {
  return prefix.empty() ? std::string(part) : std::string(prefix) + "." + std::string(part);
}

// The value as TOML writes it, on one line.
std::string shown(const toml::node& node) {
  std::ostringstream out;
  out << toml::toml_formatter{node, toml::format_flags::none};
  std::string line = out.str();
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

std::string quoted(std::string_view text) {
  return shown(toml::value<std::string>(std::string(text)));
}

std::string shown_number(double value) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  std::string text(digits.data(), end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string list_of(const std::vector<std::string_view>& words) {
  std::string text;
  for (const auto word : words) text.append(text.empty() ? "" : " | ").append(quoted(word));
  return text;
}

std::string describe_range(whole_range accepted) {
  if (accepted.max == INT64_MAX) return "a whole number from " + std::to_string(accepted.min);
  return "a whole number, " + std::to_string(accepted.min) + " … " + std::to_string(accepted.max);
}
std::string describe_range(number_range accepted) {
  return (accepted.above_min ? "a number above " : "a number, ") + shown_number(accepted.min) +
         (accepted.above_min ? ", at most " : " … ") + shown_number(accepted.max);
}

// A value given by `--set`: TOML where it is TOML (but for dates), else text.
void insert_override(toml::table& into, const std::string& key, const std::string& value) {
  if (value.find('\n') == std::string::npos) {
    try {
      toml::table parsed = toml::parse("v = " + value);
      if (parsed.size() == 1 && parsed.contains("v") && !parsed.get("v")->is_date() &&
          !parsed.get("v")->is_date_time() && !parsed.get("v")->is_time()) {
        into.insert_or_assign(key, std::move(*parsed.get("v")));
        return;
      }
    } catch (const toml::parse_error&) {  // not TOML: a bare word
    }
  }
  into.insert_or_assign(key, value);
}

result<toml::table> parse_toml(const std::string& text, const std::string& origin) {
  try {
    return toml::parse(text, origin);
  } catch (const toml::parse_error& failure) {
    return error{errc::bad_config,
                 origin + ":" + std::to_string(failure.source().begin.line) +
                     ": not TOML: " + std::string(failure.description())};
  }
}

void merge(toml::table& into, toml::table&& from) {
  for (auto&& [key, node] : from) {
    toml::node* there = into.get(key.str());
    if (there == nullptr) {
      into.insert(key.str(), std::move(node));
    } else if (there->is_table() && node.is_table()) {
      merge(*there->as_table(), std::move(*node.as_table()));
    }
  }
}

}  // namespace

struct config_reader::state {
  toml::table root;
  std::string origin;
  std::set<std::string> overridden;  // key paths given by --set
  std::vector<std::pair<std::string, std::string>>
      resolved;  // key path, value as TOML, in order of reading
  std::set<std::string> known;
  std::optional<std::string> failure;  // the first
  std::size_t failures = 0;

  const toml::node* find(std::string_view key) const {
    const toml::node* at = &root;
    for (const auto& part : split_path(key)) {
      const auto* table = at->as_table();
      at = table == nullptr ? nullptr : table->get(part);
      if (at == nullptr) return nullptr;
    }
    return at;
  }

  // "file:line" of a key, or "--set key" where the command line gave it.
  std::string place(std::string_view key) const {
    for (const auto& given : overridden) {
      if (key == given || key.starts_with(given + ".")) return "--set " + given;
    }
    const auto* node = find(key);
    if (node == nullptr) return origin;
    const auto& file = node->source().path;
    return (file == nullptr ? origin : *file) + ":" + std::to_string(node->source().begin.line);
  }

  void fail(std::string message) {
    ++failures;
    if (!failure) failure = std::move(message);
  }
  void refuse(std::string_view key, const toml::node& node, const std::string& accepted) {
    fail(place(key) + ": " + std::string(key) + " = " + shown(node) + ": accepted is " + accepted);
  }
  void resolve(std::string_view key, std::string value) {
    if (std::none_of(
            resolved.begin(), resolved.end(), [&](const auto& one) { return one.first == key; })) {
      resolved.emplace_back(key, std::move(value));
    }
  }
  const toml::node* read(std::string_view key) {
    known.emplace(key);
    return find(key);
  }

  std::optional<std::string> unknown_key(const toml::table& table, const std::string& prefix) const;
  result<void> apply(const std::string& given);
};

// The first key in file order that nobody read, as a message.
std::optional<std::string> config_reader::state::unknown_key(const toml::table& table,
                                                             const std::string& prefix) const {
  std::vector<std::pair<std::size_t, std::string>> order;
  for (const auto& [key, node] : table) {
    order.emplace_back(node.source().begin.line, std::string(key.str()));
  }
  std::sort(order.begin(), order.end());
  for (const auto& entry : order) {
    const std::string path = join(prefix, entry.second);
    if (known.contains(path)) continue;
    const auto* inner = table.get(entry.second)->as_table();
    const auto below = known.lower_bound(path + ".");
    const bool is_section = below != known.end() && below->starts_with(path + ".");
    if (is_section && inner == nullptr)
      return place(path) + ": " + path + " is a section: write [" + path + "]";
    if (inner != nullptr) {
      if (auto found = unknown_key(*inner, path)) return found;
      if (is_section) continue;
    }
    const std::vector<std::string> words(known.begin(), known.end());
    const std::string near = nearest_word(path, words);
    return place(path) + ": unknown key " + path +
           (near.empty() ? "; see docs/job-file.md for the keys" : "; did you mean " + near + "?");
  }
  return std::nullopt;
}

result<void> config_reader::state::apply(const std::string& given) {
  const auto equals = given.find('=');
  const std::string path = given.substr(0, equals);
  const auto parts = split_path(path);
  if (equals == std::string::npos ||
      std::any_of(parts.begin(), parts.end(), [](const auto& part) { return part.empty(); })) {
    return error{errc::bad_config, "--set '" + given + "': write it as section.key=value"};
  }
  toml::table* at = &root;
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    auto* inner = at->insert(parts[i], toml::table{}).first->second.as_table();
    if (inner == nullptr) {
      return error{errc::bad_config,
                   "--set '" + given + "': " + parts[i] + " is a value, not a section"};
    }
    at = inner;
  }
  insert_override(*at, parts.back(), given.substr(equals + 1));
  overridden.insert(path);
  return {};
}

config_reader::config_reader(std::unique_ptr<state> made) : state_(std::move(made)) {}
config_reader::config_reader(config_reader&&) noexcept = default;
config_reader& config_reader::operator=(config_reader&&) noexcept = default;
config_reader::~config_reader() = default;

result<config_reader> config_reader::parse(const std::string& text,
                                           const std::string& origin,
                                           std::span<const std::string> overrides) {
  auto made = std::make_unique<state>();
  made->origin = origin;
  auto root = parse_toml(text, origin);
  if (!root) return root.error();
  made->root = std::move(*root);
  for (const auto& given : overrides) {
    if (const auto applied = made->apply(given); !applied) return applied.error();
  }
  return config_reader(std::move(made));
}

result<void> config_reader::include(const std::string& text, const std::string& origin) {
  auto other = parse_toml(text, origin);
  if (!other) return other.error();
  merge(state_->root, std::move(*other));
  return {};
}

bool config_reader::has(std::string_view key) const { return state_->find(key) != nullptr; }

std::vector<std::string> config_reader::sections(std::string_view key) const {
  const auto* node = state_->find(key);
  if (node == nullptr || !node->is_table()) return {};
  std::vector<std::pair<std::size_t, std::string>> order;
  for (const auto& [name, inner] : *node->as_table()) {
    // Tables made by --set have line 0; they come last.
    const std::size_t line = inner.source().begin.line;
    if (inner.is_table()) order.emplace_back(line == 0 ? SIZE_MAX : line, std::string(name.str()));
  }
  std::sort(order.begin(), order.end());
  std::vector<std::string> names;
  names.reserve(order.size());
  for (auto& entry : order) names.push_back(std::move(entry.second));
  return names;
}

std::string config_reader::text(std::string_view key, std::string_view fallback) {
  const auto* node = state_->read(key);
  std::string value(fallback);
  if (node != nullptr && node->is_string()) value = node->as_string()->get();
  if (node != nullptr && !node->is_string()) state_->refuse(key, *node, "text in quotes");
  state_->resolve(key, quoted(value));
  return value;
}

std::string config_reader::unresolved_text(std::string_view key) {
  const auto* node = state_->read(key);
  if (node == nullptr) return {};
  if (!node->is_string()) state_->refuse(key, *node, "text in quotes");
  return node->is_string() ? node->as_string()->get() : std::string();
}

std::string config_reader::required_text(std::string_view key, std::string_view what) {
  if (state_->read(key) == nullptr) {
    state_->fail(state_->origin + ": " + std::string(key) + " is missing: " + std::string(what));
    return {};
  }
  return text(key, "");
}

std::string config_reader::text_or_whole(std::string_view key, std::string_view fallback) {
  const auto* node = state_->read(key);
  if (node == nullptr || !node->is_integer()) return text(key, fallback);
  state_->resolve(key, std::to_string(node->as_integer()->get()));
  return std::to_string(node->as_integer()->get());
}

name_or_number config_reader::name_or_place(std::string_view key,
                                            std::int64_t fallback,
                                            std::int64_t last) {
  const auto* node = state_->read(key);
  name_or_number value{{}, fallback};
  if (node != nullptr && node->is_integer()) value.number = node->as_integer()->get();
  if (node != nullptr && node->is_string()) value.name = node->as_string()->get();
  const bool typed = node == nullptr || node->is_integer() || !value.name.empty();
  if (node != nullptr && (!typed || value.number < 1 || value.number > last)) {
    state_->refuse(key, *node, "a name in quotes, or " + describe_range(whole_range{1, last}));
    value = {{}, fallback};
  }
  state_->resolve(key, value.name.empty() ? std::to_string(value.number) : quoted(value.name));
  return value;
}

bool config_reader::flag(std::string_view key, bool fallback) {
  const auto* node = state_->read(key);
  bool value = fallback;
  if (node != nullptr && node->is_boolean()) value = node->as_boolean()->get();
  if (node != nullptr && !node->is_boolean()) state_->refuse(key, *node, "true | false");
  state_->resolve(key, value ? "true" : "false");
  return value;
}

std::int64_t config_reader::whole(std::string_view key,
                                  std::int64_t fallback,
                                  whole_range accepted) {
  const auto given = optional_whole(key, accepted);
  const std::int64_t value = given.value_or(fallback);
  state_->resolve(key, std::to_string(value));
  return value;
}

std::optional<std::int64_t> config_reader::optional_whole(std::string_view key,
                                                          whole_range accepted) {
  const auto* node = state_->read(key);
  if (node == nullptr) return std::nullopt;
  std::optional<std::int64_t> value;
  if (const auto* held = node->as_integer()) value = held->get();
  if (const auto* held = node->as_floating_point()) {  // 1e6 is a whole number too
    const double real = held->get();
    if (std::abs(real) < whole_max && real == std::floor(real))
      value = static_cast<std::int64_t>(real);
  }
  if (!value || *value < accepted.min || *value > accepted.max) {
    state_->refuse(key, *node, describe_range(accepted));
    return std::nullopt;
  }
  state_->resolve(key, std::to_string(*value));
  return value;
}

double config_reader::number(std::string_view key, double fallback, number_range accepted) {
  const auto* node = state_->read(key);
  double value = fallback;
  if (node != nullptr) {
    const auto given = node->is_number() ? node->value<double>() : std::nullopt;
    const bool fits = given && std::isfinite(*given) && *given <= accepted.max &&
                      (accepted.above_min ? *given > accepted.min : *given >= accepted.min);
    if (fits) value = *given;
    if (!fits) state_->refuse(key, *node, describe_range(accepted));
  }
  state_->resolve(key, shown_number(value));
  return value;
}

std::uint64_t config_reader::duration_ns(std::string_view key,
                                         std::uint64_t fallback_ns,
                                         duration_range accepted) {
  const auto* node = state_->read(key);
  std::uint64_t value = fallback_ns;
  if (node != nullptr) {
    const auto given =
        node->is_string() ? parse_duration_ns(node->as_string()->get()) : std::nullopt;
    const bool fits = given && *given >= static_cast<double>(accepted.min_ns) &&
                      *given <= static_cast<double>(accepted.max_ns);
    if (fits) value = static_cast<std::uint64_t>(*given);
    if (!fits) {
      state_->refuse(key,
                     *node,
                     "a duration with its unit (ns us ms s m h d), \"" +
                         format_duration(accepted.min_ns) + "\" … \"" +
                         format_duration(accepted.max_ns) + "\"");
    }
  }
  state_->resolve(key, quoted(format_duration(value)));
  return value;
}

std::uint64_t config_reader::bytes(std::string_view key,
                                   std::uint64_t fallback,
                                   whole_range accepted) {
  const auto* node = state_->read(key);
  std::uint64_t value = fallback;
  if (node != nullptr) {
    std::optional<double> given;
    if (node->is_string()) given = parse_bytes(node->as_string()->get());
    if (const auto* held = node->as_integer()) given = static_cast<double>(held->get());
    const bool fits = given && *given >= static_cast<double>(accepted.min) &&
                      *given <= static_cast<double>(accepted.max);
    if (fits) value = static_cast<std::uint64_t>(*given);
    if (!fits) {
      state_->refuse(key,
                     *node,
                     "bytes, as a whole number or with a unit (kB MB GB KiB MiB GiB), " +
                         std::to_string(accepted.min) + " … " + std::to_string(accepted.max));
    }
  }
  state_->resolve(key, std::to_string(value));
  return value;
}

std::vector<std::string> config_reader::list(std::string_view key,
                                             std::vector<std::string> fallback) {
  const auto* node = state_->read(key);
  std::vector<std::string> items;
  const auto take = [&](const toml::node& item) {
    if (item.is_string()) items.push_back(item.as_string()->get());
    if (item.is_integer()) items.push_back(std::to_string(item.as_integer()->get()));
    if (!item.is_string() && !item.is_integer())
      state_->refuse(key, *node, "a list of texts or whole numbers");
  };
  if (node == nullptr) items = std::move(fallback);
  if (node != nullptr && !node->is_array()) take(*node);
  if (node != nullptr && node->is_array()) {
    for (const auto& item : *node->as_array()) take(item);
  }
  std::string line;
  for (const auto& item : items) line.append(line.empty() ? "" : ", ").append(quoted(item));
  state_->resolve(key, "[" + line + "]");
  return items;
}

std::vector<std::string> config_reader::text_or_list(std::string_view key) {
  const auto* node = state_->find(key);
  if (node != nullptr && !node->is_string()) return list(key);
  std::string one = text(key, "");
  return one.empty() ? std::vector<std::string>{} : std::vector<std::string>{std::move(one)};
}

std::ptrdiff_t config_reader::word_index(std::string_view key,
                                         std::string_view fallback,
                                         const std::vector<std::string_view>& words) {
  const auto index_of = [&](std::string_view word) {
    return std::find(words.begin(), words.end(), word) - words.begin();
  };
  const auto* node = state_->read(key);
  std::ptrdiff_t index = index_of(fallback);
  CHECK(index < std::ssize(words));
  if (node != nullptr) {
    const auto given = node->is_string() ? index_of(node->as_string()->get()) : std::ssize(words);
    if (given < std::ssize(words)) index = given;
    if (given == std::ssize(words)) state_->refuse(key, *node, list_of(words));
  }
  state_->resolve(key, quoted(words[static_cast<std::size_t>(index)]));
  return index;
}

void config_reader::refuse(std::string_view key, std::string_view why) {
  const auto* node = state_->find(key);
  const bool has_value = node != nullptr && !node->is_table();
  state_->fail(state_->place(key) + ": " + std::string(key) +
               (has_value ? " = " + shown(*node) : "") + ": " + std::string(why));
}

std::size_t config_reader::failures() const { return state_->failures; }

result<void> config_reader::check(std::string_view section, std::size_t before) const {
  const auto* node = state_->find(section);
  if (node != nullptr && node->is_table()) {
    if (auto unknown = state_->unknown_key(*node->as_table(), std::string(section)))
      return error{errc::bad_config, std::move(*unknown)};
  }
  if (state_->failures > before) return error{errc::bad_config, *state_->failure};
  return {};
}

result<std::string> config_reader::finish() const {
  if (auto unknown = state_->unknown_key(state_->root, ""))
    return error{errc::bad_config, std::move(*unknown)};
  if (state_->failure) return error{errc::bad_config, *state_->failure};
  // Grouped by table, tables in the order of their first key.
  std::vector<std::pair<std::string, std::string>> tables;
  for (const auto& [key, value] : state_->resolved) {
    const auto name = last_part(key);
    const std::string prefix =
        name.size() == key.size() ? "" : key.substr(0, key.size() - name.size() - 1);
    auto at = std::find_if(
        tables.begin(), tables.end(), [&](const auto& one) { return one.first == prefix; });
    if (at == tables.end() && prefix.empty()) at = tables.insert(tables.begin(), {prefix, ""});
    if (at == tables.end()) at = tables.insert(tables.end(), {prefix, "[" + prefix + "]\n"});
    at->second.append(name).append(" = ").append(value).append("\n");
  }
  std::string text;
  for (const auto& table : tables) text.append(text.empty() ? "" : "\n").append(table.second);
  return text;
}

}  // namespace headrace
