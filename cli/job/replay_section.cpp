#include "cli/job/replay_section.hpp"

#include "base/check.hpp"
#include "worker/step/next_item_ranking.hpp"

#include <algorithm>
#include <string>

namespace headrace::cli {
namespace {

constexpr std::uint32_t held_out_min = 2;  // the last id is the test's, the one before is validated

}  // namespace

const worker::feature_spec& list_feature(const worker::source_spec& source, std::uint32_t list) {
  auto at = source.features.begin();
  const auto is_list = [](const auto& each) { return each.kind == worker::feature_kind::ids; };
  for (std::uint32_t l = 0;; ++l, ++at) {
    at = std::find_if(at, source.features.end(), is_list);
    CHECK(at != source.features.end());
    if (l == list) return *at;
  }
}

replay_spec read_replay(config_reader& config,
                        const worker::model_graph& model,
                        const worker::source_spec& source) {
  replay_spec replay;
  const auto count = [&](const char* key, std::uint32_t fallback, std::int64_t least) {
    return static_cast<std::uint32_t>(config.whole(key, fallback, {least, 100}));
  };
  replay.passes = count("replay.passes", replay.passes, 1);
  replay.shuffle = config.flag("replay.shuffle", replay.shuffle);
  replay.seed = static_cast<std::uint64_t>(
      config.whole("replay.seed", static_cast<std::int64_t>(replay.seed), {0}));
  replay.validate_every = count("replay.validate_every", replay.validate_every, 0);
  replay.patience = count("replay.patience", replay.patience, 0);
  if (replay.needed() && worker::is_live(source.arrives))
    config.refuse(replay.passes > 1 ? "replay.passes" : "replay.shuffle",
                  "needs a file: live events come once");
  if (replay.patience > 0 && replay.validate_every == 0)
    config.refuse("replay.patience", "needs replay.validate_every, the passes between validations");
  if (replay.validate_every == 0) return replay;
  const auto parts = worker::find_next_item(model);
  if (!parts) {
    config.refuse("replay.validate_every",
                  "needs a model that predicts the next id of a list (op \"next_item\"), such as "
                  "arch = \"sasrec\"");
  } else if (list_feature(source, parts->list).list_held_out < held_out_min) {
    const std::string key = "features." + list_feature(source, parts->list).name + ".held_out";
    config.refuse("replay.validate_every",
                  "needs " + key + " = 2 or more: an id that is validated must not be learned");
  }
  return replay;
}

}  // namespace headrace::cli
