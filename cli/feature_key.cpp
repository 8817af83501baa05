#include "cli/feature_key.hpp"

#include "base/nearest_word.hpp"
#include "worker/ingest/row_parser.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace headrace::cli {
namespace {

error no_such_feature(const worker::source_spec& source, const std::string& name) {
  std::vector<std::string> names;
  for (const auto& feature : source.features) names.push_back(feature.name);
  for (const auto& cross : source.crosses) {
    if (cross.name == name)
      return {errc::bad_config,
              "--feature " + name + ": a cross has a row of several values: name it by --key"};
  }
  const std::string nearest = nearest_word(name, names);
  return {errc::bad_config,
          "--feature " + name + ": the job has no such feature" +
              (names.empty()     ? "; its events are generated: name rows by --key"
               : nearest.empty() ? ""
                                 : "; did you mean '" + nearest + "'?")};
}

}  // namespace

result<row_key> feature_key(const worker::source_spec& source, std::string_view name_and_value) {
  const auto equals = name_and_value.find('=');
  const std::string name(name_and_value.substr(0, equals));
  if (equals == std::string_view::npos)
    return error{errc::bad_config, "--feature " + name + ": accepted is NAME=VALUE"};
  const auto feature = std::ranges::find(source.features, name, &worker::feature_spec::name);
  if (feature == source.features.end()) return no_such_feature(source, name);
  // A source of this one feature, and one row of it.
  worker::source_spec alone;
  alone.label.column = "label";
  alone.features.push_back(*feature);
  alone.features.front().column = "value";
  alone.features.front().window.reset();
  if (feature->kind == worker::feature_kind::ids)  // one of the list
    alone.features.front().kind = worker::feature_kind::id;
  const auto parser = worker::row_parser::bind(alone, {"label", "value"}, 2, "--feature");
  if (!parser) return parser.error();
  const std::array<std::string_view, 2> row{"0", name_and_value.substr(equals + 1)};
  worker::event event;
  if (const auto problem = parser->parse(row, event))
    return error{errc::bad_config, "--feature " + name + ": " + problem->what};
  return row_key{event.keys.front()};
}

}  // namespace headrace::cli
