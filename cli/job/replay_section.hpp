#pragma once

#include "base/config.hpp"
#include "worker/ingest/source_spec.hpp"
#include "worker/model/model_graph.hpp"

#include <cstdint>

namespace headrace::cli {

/// `[replay]`: how often the source is learned, and when that is enough.
struct replay_spec {
  std::uint32_t passes = 1;
  bool shuffle = false;  // each pass in an order of its own
  std::uint64_t seed = 1;
  std::uint32_t validate_every = 0;  // passes; 0 = never
  std::uint32_t patience = 0;        // validations in a row that are not the best; 0 = any number

  bool needed() const { return passes > 1 || shuffle; }
};

/// Reads the section. What is wrong is remembered by the reader: validation of a model that
/// predicts no next id, or of ids that it learns.
replay_spec read_replay(config_reader& config,
                        const worker::model_graph& model,
                        const worker::source_spec& source);

/// The feature that is list `list` of the source's events.
const worker::feature_spec& list_feature(const worker::source_spec& source, std::uint32_t list);

}  // namespace headrace::cli
