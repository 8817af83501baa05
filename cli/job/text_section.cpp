#include "cli/job/text_section.hpp"

#include "base/nearest_word.hpp"
#include "worker/text/letter_table.hpp"
#include "worker/text/near_window.hpp"
#include "worker/text/simhash.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace headrace::cli {
namespace {

std::uint32_t read_scripts(config_reader& config, const std::string& key) {
  std::uint32_t wanted = 0;
  std::vector<std::string> known;
  for (std::size_t s = 0; s + 1 < worker::letter_scripts; ++s)
    known.emplace_back(name(static_cast<worker::script>(s)));
  for (const std::string& each : config.list(key)) {
    if (const auto is = worker::script_named(each)) {
      wanted |= std::uint32_t{1} << static_cast<unsigned>(*is);
      continue;
    }
    const std::string near = nearest_word(each, known);
    config.refuse(key,
                  "'" + each + "' is no script that is known here" +
                      (near.empty() ? std::string() : "; did you mean '" + near + "'?"));
  }
  return wanted;
}

worker::text_spec read_text_spec(config_reader& config,
                                 const std::string& name,
                                 const column_use& check) {
  const std::string section = "texts." + name;
  worker::text_spec text;
  const auto count =
      [&](const char* key, std::uint64_t unset, std::int64_t least, std::int64_t most) {
        return static_cast<std::uint64_t>(
            config.whole(section + key, static_cast<std::int64_t>(unset), {least, most}));
      };
  constexpr std::int64_t any = 1'000'000'000;
  text.column = config.text_or_whole(section + ".column", name);
  check(section + ".column", text.column);
  text.chars_min = count(".chars_min", 0, 0, any);
  text.chars_max = count(".chars_max", any, 1, any);
  if (text.chars_min > text.chars_max)
    config.refuse(section + ".chars_max", "is less than chars_min");
  text.symbols_max = config.number(section + ".symbols_max", text.symbols_max, {0.0, 1.0});
  text.scripts = read_scripts(config, section + ".scripts");
  text.script_share = config.number(section + ".script_share", text.script_share, {0.0, 1.0});
  if (const auto near =
          config.optional_whole(section + ".near", {0, worker::near_window::distance_most}))
    text.near = static_cast<unsigned>(*near);
  text.near_window = count(".near_window", text.near_window, 1, worker::near_window::texts_most);
  text.shingle_words = count(".shingle_words", text.shingle_words, 1, worker::shingle_words_max);
  return text;
}

}  // namespace

void read_texts(config_reader& config, worker::source_spec& source, const column_use& check) {
  for (const auto& name : config.sections("texts")) {
    source.texts.push_back(read_text_spec(config, name, check));
    if (source.arrives == worker::arrival::generated)
      config.refuse("texts." + name + ".column", "a generated stream has no texts");
  }
}

}  // namespace headrace::cli
