#include "worker/model/ops/inputs.hpp"

#include "base/nearest_word.hpp"
#include "schemas/sample.hpp"

#include <algorithm>

namespace headrace::worker {

result<void> expect_dense(const layer_section& section, std::size_t least, std::size_t most) {
  const std::size_t given = section.inputs.size();
  if (given < least || given > most) {
    const std::string wanted =
        least == most ? std::to_string(least)
                      : (most == SIZE_MAX ? "at least " + std::to_string(least)
                                          : std::to_string(least) + " … " + std::to_string(most));
    return error{errc::bad_config,
                 "takes " + wanted + " inputs, has " + std::to_string(given) + ": set inputs"};
  }
  for (const value_shape& input : section.inputs) {
    if (input.rows)
      return error{
          errc::bad_config,
          "an input is rows; put a layer with op = \"fields\" or \"factorization\" between"};
  }
  return {};
}

result<void> expect_rows(const layer_section& section) {
  if (section.inputs.size() == 1 && section.inputs[0].rows) return {};
  return error{errc::bad_config, "takes one input, a layer with op = \"rows\": set inputs"};
}

result<std::vector<std::uint32_t>> choose_features(const layer_section& section,
                                                   const std::string& fallback) {
  const auto wanted = section.config.list(section.key("features"), {fallback});
  std::vector<std::string> names;
  for (const model_feature& feature : section.features) names.push_back(feature.name);
  std::vector<std::uint32_t> chosen;
  const auto choose_if = [&](const auto& takes) {
    for (std::uint32_t f = 0; f < names.size(); ++f)
      if (takes(section.features[f])) chosen.push_back(f);
  };
  for (const std::string& word : wanted) {
    if (word == "all") {
      choose_if([](const model_feature&) { return true; });
    } else if (word == "ids" || word == "numbers") {
      choose_if(
          [&](const model_feature& feature) { return feature.number == (word == "numbers"); });
    } else {
      const auto at = std::ranges::find(names, word);
      if (at == names.end()) {
        const std::string near = nearest_word(word, names);
        return error{errc::bad_config,
                     "the job has no feature '" + word + "'" +
                         (near.empty() ? "" : "; did you mean '" + near + "'?")};
      }
      chosen.push_back(static_cast<std::uint32_t>(at - names.begin()));
    }
  }
  std::ranges::sort(chosen);
  chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
  if (chosen.empty() && !names.empty())
    return error{errc::bad_config, "no feature of the job is chosen: set features"};
  return chosen;
}

std::size_t choose_label(const layer_section& section,
                         std::string_view attribute,
                         std::size_t fallback) {
  const std::string key = section.key(attribute);
  const auto wanted = section.config.name_or_place(
      key, static_cast<std::int64_t>(fallback) + 1, schemas::labels_max);
  const std::vector<std::string> known(section.labels.begin(), section.labels.end());
  std::string names;
  for (const std::string& name : known) names += (names.empty() ? "'" : ", '") + name + "'";
  if (wanted.name.empty()) {
    const auto place = static_cast<std::size_t>(wanted.number) - 1;
    if (known.empty() || place < known.size()) return place;
    section.config.refuse(key,
                          "there is no label " + std::to_string(wanted.number) + "; the job has " +
                              names + ", and source.label takes a list");
    return fallback;
  }
  const auto at = std::ranges::find(known, wanted.name);
  if (at != known.end()) return static_cast<std::size_t>(at - known.begin());
  const std::string near = nearest_word(wanted.name, known);
  section.config.refuse(key,
                        known.empty()
                            ? "the labels are not known without a job: give a number from 1"
                            : "the job has no label '" + wanted.name + "'" +
                                  (near.empty() ? "" : "; did you mean '" + near + "'?") +
                                  "; there is " + names);
  return fallback;
}

float loss_weight(const layer_section& section, std::string_view attribute) {
  return static_cast<float>(section.config.number(section.key(attribute), 1.0, {0.0, 1e6, true}));
}

}  // namespace headrace::worker
