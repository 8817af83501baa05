#include "cli/job/model_section.hpp"

#include "cli/job/read_text.hpp"
#include "worker/ingest/planted_source.hpp"
#include "worker/model/presets.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace headrace::cli {
namespace {

constexpr const char* custom = "custom";  // the layers stand in the job file

std::string preset_names() {
  std::string names;
  for (const auto& preset : worker::model_presets())
    names += (names.empty() ? "\"" : " | \"") + std::string(preset.name) + '"';
  return names + " | \"custom\"";
}

}  // namespace

std::vector<worker::model_feature> features_of(const worker::source_spec& source) {
  std::vector<worker::model_feature> features;
  if (source.generate != worker::generator::none) {
    for (std::size_t f = 1; f <= worker::planted_source::id_fields; ++f)
      features.push_back({"id" + std::to_string(f), false});
    for (std::size_t f = 1; f <= worker::planted_source::dense_fields; ++f)
      features.push_back({"number" + std::to_string(f), true});
  }
  for (const auto& feature : source.features) {
    const bool bucketed =
        !feature.transforms.empty() && feature.transforms.back() == worker::transform::bucket;
    features.push_back({feature.name,
                        feature.kind == worker::feature_kind::float_value && !bucketed,
                        feature.kind == worker::feature_kind::ids ? feature.list_max : 0});
  }
  for (const auto& cross : source.crosses) features.push_back({cross.name, false});
  return features;
}

std::vector<worker::model_feature> keyed_features_of(const worker::source_spec& source) {
  auto features = features_of(source);
  std::erase_if(features, [](const worker::model_feature& feature) { return feature.list(); });
  return features;
}

std::vector<std::string> labels_of(const worker::source_spec& source) {
  if (source.generate == worker::generator::planted_conversion) return {"click", "conversion"};
  if (source.generate != worker::generator::none) return {"click"};
  std::vector<std::string> names = {source.label.name};
  for (const auto& more : source.more_labels) names.push_back(more.name);
  return names;
}

std::vector<std::string> label_notes(const job& made) {
  std::vector<std::string> notes;
  const auto names = labels_of(made.source);
  for (std::size_t l = 0; l < names.size(); ++l) {
    if (std::ranges::count(made.model->heads(), l, &worker::model_head::label) == 0)
      notes.push_back("label '" + names[l] +
                      "' is not learned: no loss of the model names it (layers.NAME.label)");
  }
  if (made.join && made.join->how.negative_share < 1.0F)
    notes.emplace_back(
        "join.negative_share: predictions and figures are those of all impressions; each that was "
        "kept without an action stands for the others (docs/join.md, fewer negatives)");
  return notes;
}

std::size_t widest_lookup(const worker::model_graph& model) {
  std::size_t widest = 1;
  for (const auto& table : model.tables()) {
    if (table.rows == 0) widest = std::max(widest, table.dim);
  }
  return widest;
}

result<void> read_model(config_reader& config, const std::string& job_file, job& made) {
  made.model_name = config.text("model.arch", config.has("model.file") ? custom : "fm");
  if (config.has("model.file")) {
    if (made.model_name != custom)
      config.refuse("model.file", "arch names a model too: give one of them");
    const auto path =
        std::filesystem::path(job_file).parent_path() / config.unresolved_text("model.file");
    const auto text = read_text(path, "model file");
    if (!text) return text.error();
    if (auto good = config.include(*text, path.string()); !good) return good;
  } else if (const auto* preset = worker::find_preset(made.model_name)) {
    // lr and count have no vectors.
    const bool has_vectors = made.model_name != "lr" && made.model_name != "count";
    const auto dim = config.optional_whole("model.dim", {has_vectors ? 1 : 0, 1023});
    if (dim && has_vectors) {
      const std::string wanted = "[layers.embedding]\ndim = " + std::to_string(*dim) + "\n";
      if (auto good = config.include(wanted, "[model] dim"); !good) return good;
    }
    const std::string origin = "model " + made.model_name;
    if (auto good = config.include(std::string(preset->text), origin); !good) return good;
  } else if (made.model_name != custom) {
    config.refuse("model.arch", "accepted is " + preset_names());
    return {};
  }
  auto model = worker::model_graph::read(config, features_of(made.source), labels_of(made.source));
  if (!model) return model.error();
  made.model = std::make_shared<const worker::model_graph>(std::move(*model));
  return {};
}

}  // namespace headrace::cli
