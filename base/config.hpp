#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace headrace {

/// Accepted values of a whole number, both ends included.
struct whole_range {
  std::int64_t min = 0;
  std::int64_t max = INT64_MAX;
};
/// Accepted values of a real number; both ends included unless `above_min`.
struct number_range {
  double min = 0.0;
  double max = 0.0;
  bool above_min = false;  // min itself is refused
};
/// Something by its name, or by its number, counted from 1; then `name` is empty.
struct name_or_number {
  std::string name;
  std::int64_t number = 0;
};
/// Accepted values of a duration, both ends included.
struct duration_range {
  std::uint64_t min_ns = 0;
  std::uint64_t max_ns = 0;
};

/// Typed, checked reads from a TOML text by key path, such as `train.batch_max`.
///
/// A read names its default and what is accepted, and always returns something usable: the first
/// wrong value is remembered and comes out of `finish`, so callers read everything and check once.
/// `finish` also refuses keys that nobody asked for, with the nearest key that somebody did.
/// Messages are one line: file, line, key, value, what is accepted. Overrides (`--set a.b=value`)
/// replace values before anything is read; value is TOML, and what is not (a bare word, a path) is
/// text. Not thread safe.
class config_reader {
 public:
  /// `origin` stands for the file in messages. Fails: bad_config (not TOML; an override without `=`
  /// or below a value).
  static result<config_reader> parse(const std::string& text,
                                     const std::string& origin,
                                     std::span<const std::string> overrides);
  config_reader(config_reader&&) noexcept;
  config_reader& operator=(config_reader&&) noexcept;
  ~config_reader();

  /// Adds what another TOML text says and this one doesn't: a preset under what the user wrote. In
  /// messages `origin` stands for it. Fails: bad_config (not TOML).
  result<void> include(const std::string& text, const std::string& origin);

  bool has(std::string_view key) const;
  /// Names of the tables right below `key`, in file order.
  std::vector<std::string> sections(std::string_view key) const;

  std::string text(std::string_view key, std::string_view fallback);
  /// Text that the resolved configuration leaves out: what it led to stands there instead.
  std::string unresolved_text(std::string_view key);
  /// Text that must be there; `what` says what it is, for the message when it is not.
  std::string required_text(std::string_view key, std::string_view what);
  /// Text or a whole number, as text.
  std::string text_or_whole(std::string_view key, std::string_view fallback);
  /// A name, text, or a number of 1 … `last`; without the key the number `fallback`.
  name_or_number name_or_place(std::string_view key, std::int64_t fallback, std::int64_t last);
  bool flag(std::string_view key, bool fallback);
  std::int64_t whole(std::string_view key, std::int64_t fallback, whole_range accepted);
  std::optional<std::int64_t> optional_whole(std::string_view key, whole_range accepted);
  double number(std::string_view key, double fallback, number_range accepted);
  /// Nanoseconds from "15m", "20s", "1.5ms": a number and one of ns us ms s m h d.
  std::uint64_t duration_ns(std::string_view key,
                            std::uint64_t fallback_ns,
                            duration_range accepted);
  /// Bytes from "64MiB", "10kB" or a whole number: a number and one of B kB MB GB KiB MiB GiB.
  std::uint64_t bytes(std::string_view key, std::uint64_t fallback, whole_range accepted);
  /// A list of texts and whole numbers, as texts; one alone is a list of one.
  std::vector<std::string> list(std::string_view key, std::vector<std::string> fallback = {});
  /// A list, or one text, which stays one where it is resolved; "" is an empty list.
  std::vector<std::string> text_or_list(std::string_view key);

  /// One of the given words, as what it stands for.
  template <class Choice>
  Choice choice(std::string_view key,
                std::string_view fallback,
                std::initializer_list<std::pair<std::string_view, Choice>> words) {
    return choice(key, fallback, std::span(words.begin(), words.size()));
  }
  template <class Choice>
  Choice choice(std::string_view key,
                std::string_view fallback,
                std::span<const std::pair<std::string_view, Choice>> words) {
    std::vector<std::string_view> names;
    for (const auto& word : words) names.push_back(word.first);
    return words[static_cast<std::size_t>(word_index(key, fallback, names))].second;
  }

  /// Remembers a failure about `key` that the caller found: "file:line: key = value: `why`".
  void refuse(std::string_view key, std::string_view why);

  /// How many reads were refused so far.
  std::size_t failures() const;
  /// For a part that can't go on with a wrong value: an unknown key below `section` once all of its
  /// keys were read, or, with more than `before` failures, the first of all. Fails: bad_config.
  result<void> check(std::string_view section, std::size_t before) const;

  /// The resolved configuration as TOML, defaults included, or the first failure: an unknown key,
  /// then the first refused value. Fails: bad_config.
  result<std::string> finish() const;

 private:
  struct state;
  explicit config_reader(std::unique_ptr<state> made);
  std::ptrdiff_t word_index(std::string_view key,
                            std::string_view fallback,
                            const std::vector<std::string_view>& words);
  std::unique_ptr<state> state_;
};

}  // namespace headrace
