#include "worker/model/ops/inputs.hpp"

#include "base/nearest_word.hpp"
#include "schemas/sample.hpp"

#include <algorithm>

namespace headrace::worker {

namespace {

result<void> expect_number(const layer_section& section, std::size_t least, std::size_t most) {
  const std::size_t given = section.inputs.size();
  if (given < least || given > most) {
    const std::string wanted =
        least == most ? std::to_string(least)
                      : (most == SIZE_MAX ? "at least " + std::to_string(least)
                                          : std::to_string(least) + " … " + std::to_string(most));
    return error{errc::bad_config,
                 "takes " + wanted + " inputs, has " + std::to_string(given) + ": set inputs"};
  }
  return {};
}

}  // namespace

result<void> expect_dense(const layer_section& section, std::size_t least, std::size_t most) {
  if (auto fits = expect_number(section, least, most); !fits) return fits;
  for (const value_shape& input : section.inputs) {
    if (input.rows)
      return error{
          errc::bad_config,
          "an input is rows; put a layer with op = \"fields\" or \"factorization\" between"};
    if (input.list)
      return error{errc::bad_config,
                   "an input has a value for each id of a list; put a layer with op = \"last\", "
                   "\"pool\" or \"target_attention\" between, which gives one for a sample"};
  }
  return {};
}

result<void> expect_alike(const layer_section& section, std::size_t least, std::size_t most) {
  const auto& inputs = section.inputs;
  if (inputs.empty() || !inputs[0].list) return expect_dense(section, least, most);
  if (auto fits = expect_number(section, least, most); !fits) return fits;
  for (const value_shape& input : inputs) {
    if (!input.rows && input.list == inputs[0].list) continue;
    return error{errc::bad_config,
                 input.list ? "its inputs belong to two lists, whose lengths differ"
                            : "an input has a value for each id of a list, another one for each "
                              "sample; op = \"last\" or \"pool\" makes the former the latter"};
  }
  return {};
}

result<void> expect_list(const layer_section& section, std::size_t inputs) {
  if (auto fits = expect_number(section, inputs, inputs); !fits) return fits;
  if (inputs > 0 && section.inputs[0].list) return {};
  return error{errc::bad_config,
               "its first input has no value for each id of a list: a layer with op = \"tokens\" "
               "gives one"};
}

std::size_t longest_list(const layer_section& section, std::uint32_t list) {
  for (const model_feature& feature : section.features)
    if (feature.list() && list-- == 0) return feature.list_max;
  return 1;
}

result<void> expect_rows(const layer_section& section) {
  if (section.inputs.size() == 1 && section.inputs[0].rows) {
    if (section.inputs[0].fields > 0 || section.inputs[0].lists.empty()) return {};
    return error{errc::bad_config, "its rows are those of lists; op = \"tokens\" reads them"};
  }
  return error{errc::bad_config, "takes one input, a layer with op = \"rows\": set inputs"};
}

namespace {

bool is_chosen_by(const std::string& word, const model_feature& feature) {
  if (word == "lists") return feature.list();
  if (feature.list()) return false;
  return word == "all" || (word == "numbers" ? feature.number : word == "ids" && !feature.number);
}

bool is_class(const std::string& word) {
  return word == "all" || word == "ids" || word == "numbers" || word == "lists";
}

error no_feature(const std::string& word, std::span<const std::string> names) {
  const std::string near = nearest_word(word, names);
  return {errc::bad_config,
          "the job has no feature '" + word + "'" +
              (near.empty() ? "" : "; did you mean '" + near + "'?")};
}

}  // namespace

std::size_t single_features(std::span<const model_feature> features) {
  return static_cast<std::size_t>(std::ranges::count(features, false, &model_feature::list));
}

result<chosen_features> choose_features(const layer_section& section, const std::string& fallback) {
  std::vector<std::string> names;
  for (const model_feature& feature : section.features) names.push_back(feature.name);
  std::vector<bool> taken(names.size(), false);
  for (const std::string& word : section.config.list(section.key("features"), {fallback})) {
    if (is_class(word)) {
      for (std::size_t f = 0; f < names.size(); ++f)
        if (is_chosen_by(word, section.features[f])) taken[f] = true;
      continue;
    }
    const bool out = word.starts_with('-') && std::ranges::find(names, word) == names.end();
    const std::string name = out ? word.substr(1) : word;
    const auto at = std::ranges::find(names, name);
    if (at == names.end()) return no_feature(name, names);
    taken[static_cast<std::size_t>(at - names.begin())] = !out;
  }
  chosen_features chosen;
  std::uint32_t single = 0;
  std::uint32_t lists = 0;
  for (std::size_t f = 0; f < names.size(); ++f) {
    const bool list = section.features[f].list();
    if (taken[f]) (list ? chosen.lists : chosen.single).push_back(list ? lists : single);
    ++(list ? lists : single);
  }
  if (chosen.single.empty() && chosen.lists.empty() && !names.empty())
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
