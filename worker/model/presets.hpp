#pragma once

#include "worker/model/model_graph.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace headrace::worker {

/// A model file that comes with Headrace: worker/model/presets/NAME.toml.
struct model_preset {
  std::string_view name;
  std::string_view text;
};
std::span<const model_preset> model_presets();
/// Null when there is none of that name.
const model_preset* find_preset(std::string_view name);

/// A preset as a graph; `dim` in place of the one in its layer `embedding`. Fails: bad_config, as
/// model_graph::load does, and where there is no preset of that name.
result<model_graph> load_preset(std::string_view name,
                                std::span<const model_feature> features = {},
                                std::optional<std::uint32_t> dim = std::nullopt);

}  // namespace headrace::worker
