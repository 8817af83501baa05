#pragma once

#include <CLI/CLI.hpp>

#include <map>
#include <string>
#include <vector>

namespace headrace::cli {

/// Words a flag takes, and what each means.
template <class Value>
void add_choice(CLI::App& verb,
                const std::string& flag,
                Value& into,
                const std::map<std::string, Value>& words,
                const std::string& help) {
  std::vector<std::string> known;
  std::string text;
  for (const auto& [word, value] : words) {
    known.push_back(word);
    text += (text.empty() ? "" : "|") + word;
  }
  verb.add_option_function<std::string>(
          flag, [&into, words](const std::string& word) { into = words.at(word); }, help)
      ->check(CLI::IsMember(known))
      ->option_text(text);
}

}  // namespace headrace::cli
