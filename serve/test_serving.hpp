#pragma once

#include "base/check.hpp"
#include "base/random.hpp"
#include "kernels/init_rows/init_rows.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"
#include "schemas/delta.hpp"
#include "serve/predictor.hpp"
#include "serve/replica.hpp"
#include "serve/served_model.hpp"
#include "worker/ingest/planted_source.hpp"
#include "worker/model/presets.hpp"
#include "worker/step/row_set.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace headrace::serve {

inline std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'261'128;
}

/// A shop: user and item by id, a price, an age in buckets, what the user saw; and a cross.
inline worker::source_spec shop() {
  worker::source_spec source;
  source.label = {"rating", worker::label_spec::comparison::greater_equal, 4.0, "click"};
  worker::feature_spec user;
  user.name = "user";
  worker::feature_spec item;
  item.name = "item";
  worker::feature_spec price;
  price.name = "price";
  price.column = "cents";
  price.kind = worker::feature_kind::float_value;
  price.transforms = {worker::transform::log1p};
  worker::feature_spec age;
  age.name = "age";
  age.kind = worker::feature_kind::float_value;
  age.transforms = {worker::transform::bucket};
  age.bucket_width = 10.0;
  worker::feature_spec history;
  history.name = "history";
  history.kind = worker::feature_kind::ids;
  history.salt = "item";
  history.list_max = 5;
  source.features = {user, item, price, history, age};
  source.crosses = {{"user_item", "", {0, 1}}};
  return source;
}

inline std::vector<worker::model_feature> features_of(const worker::source_spec& source) {
  std::vector<worker::model_feature> features;
  if (source.generate != worker::generator::none) {
    for (std::size_t f = 1; f <= worker::planted_source::id_fields; ++f)
      features.push_back({"id" + std::to_string(f), false});
    for (std::size_t f = 1; f <= worker::planted_source::dense_fields; ++f)
      features.push_back({"number" + std::to_string(f), true});
  }
  for (const auto& feature : source.features) {
    const worker::feature_writer writer(feature);
    features.push_back({feature.name,
                        writer.has_value(),
                        feature.kind == worker::feature_kind::ids ? feature.list_max : 0});
  }
  for (const auto& cross : source.crosses) features.push_back({cross.name, false});
  return features;
}

/// A job with learned rows, known to the last bit: those of two thirds of all keys, values drawn
/// from key and column, and the whole network.
class test_job {
 public:
  /// `preset`: a name, or the text of a model file.
  test_job(std::string name, worker::source_spec source, const std::string& preset) {
    const worker::model_preset* known = worker::find_preset(preset);
    const std::string text = known != nullptr ? std::string(known->text) : preset;
    std::vector<std::string> labels = {"click"};
    if (preset == "mmoe_esmm") labels.emplace_back("conversion");
    auto graph = worker::model_graph::load(text, "model", {}, serve::features_of(source), labels);
    CHECK(graph.ok());
    served_model::parts parts;
    parts.name = std::move(name);
    parts.graph = std::make_shared<const worker::model_graph>(std::move(*graph));
    parts.source = std::move(source);
    for (const auto& table : parts.graph->tables()) {
      schemas::table_spec spec;
      spec.id = table_id{static_cast<std::uint32_t>(parts.schema.tables.size())};
      spec.name = table.name;
      spec.dim = static_cast<std::uint32_t>(table.dim);
      spec.init = {.seed = 7 + spec.id.value, .scale = 0.05F};
      spec.optimizer.first_order_columns = table.first_order_columns;
      parts.schema.tables.push_back(spec);
    }
    parts.schema.shards = 1;
    auto made = served_model::make(std::move(parts));
    CHECK(made.ok());
    model_ = *made;
  }

  const std::shared_ptr<const served_model>& model() const { return model_; }
  const schemas::job_schema& schema() const { return model_->schema(); }

  static bool is_learned(std::uint64_t key) { return mix64(key ^ 0x5EED) % 3 != 0; }
  /// A row in the `version`-th state of the job.
  std::vector<float> row(std::size_t table, std::uint64_t key, std::uint64_t version = 1) const {
    const auto& spec = schema().tables[table];
    const bool dense = model_->graph()->tables()[table].rows > 0;
    std::vector<float> values(spec.dim);
    if (!dense && !is_learned(key)) {
      kernels::init_rows({.keys = {&key, 1},
                          .seed = spec.init.seed,
                          .scale = spec.init.scale,
                          .first_order_columns = spec.optimizer.first_order_columns,
                          .dim = spec.dim,
                          .values = values});
      return values;
    }
    for (std::size_t c = 0; c < values.size(); ++c) {
      const auto draw = counter_draw(table + (version << 32), key, c);
      values[c] = (2.0F * unit_float(draw) - 1.0F) * (dense ? 0.1F : 0.4F);
    }
    return values;
  }
  /// The same for a scorer.
  result<void> fill(std::span<worker::row_set> sets) const {
    for (auto& set : sets) {
      for (std::size_t i = 0; i < set.keys.size(); ++i) {
        const auto values = row(set.table.value, set.keys[i]);
        std::ranges::copy(values, set.values.begin() + static_cast<std::ptrdiff_t>(i * set.dim));
      }
    }
    return {};
  }

  /// Empty, of one codec: int8 for tables of 8 columns and more where `quantized`.
  std::shared_ptr<replica> empty_replica(bool quantized = false) const {
    std::vector<schemas::value_codec> codecs;
    for (const auto& table : schema().tables) codecs.push_back(codec(table.dim, quantized));
    return std::make_shared<replica>(schema(), codecs, 3);
  }
  static schemas::value_codec codec(std::uint32_t dim, bool quantized) {
    return quantized && dim >= 8 ? schemas::value_codec::int8 : schemas::value_codec::fp32;
  }

  /// One delta with `keys` of each table that is looked up, as far as they are learned, and all of
  /// the network; the `version`-th.
  void teach(replica& to,
             std::vector<std::uint64_t> keys,
             std::uint64_t version = 1,
             bool quantized = false) const {
    std::ranges::sort(keys);
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    std::erase_if(keys, [](std::uint64_t key) { return !is_learned(key); });
    struct block {
      std::vector<std::uint64_t> keys;
      std::vector<float> values;
      std::vector<std::int8_t> codes;
      std::vector<std::uint16_t> scales;
    };
    std::vector<block> blocks(schema().tables.size());
    schemas::delta message;
    message.session = 1;
    message.number = version;
    message.follows = version - 1;
    message.version = message.head_version = version;
    message.lsn = lsn{version};
    message.accepted_ms = 1'000 * version;
    message.whole = true;
    for (std::size_t t = 0; t < blocks.size(); ++t) {
      block& made = blocks[t];
      const auto& table = model_->graph()->tables()[t];
      made.keys = keys;
      if (table.rows > 0) {
        made.keys.resize(table.rows);
        for (std::size_t i = 0; i < table.rows; ++i) made.keys[i] = i;
      }
      if (made.keys.empty()) continue;
      for (const std::uint64_t key : made.keys) {
        const auto values = row(t, key, version);
        made.values.insert(made.values.end(), values.begin(), values.end());
      }
      const auto dim = schema().tables[t].dim;
      const auto held = codec(dim, quantized);
      schemas::delta_block wire;
      wire.table = table_id{static_cast<std::uint32_t>(t)};
      wire.dim = dim;
      wire.codec = held;
      wire.keys = made.keys;
      wire.values = std::as_bytes(std::span(made.values));
      if (held == schemas::value_codec::int8) {
        made.codes.resize(made.values.size());
        made.scales.resize(made.keys.size());
        kernels::quantize_rows(
            {.values = made.values, .codes = made.codes, .scales = made.scales, .dim = dim});
        wire.scales = made.scales;
        wire.values = std::as_bytes(std::span(made.codes));
      }
      message.blocks.push_back(wire);
    }
    const auto applied = to.apply(message);
    CHECK(applied.ok());
  }

 private:
  std::shared_ptr<const served_model> model_;
};

/// Keys of everything a batch names.
inline std::vector<std::uint64_t> keys_of(const schemas::sample_batch& batch) {
  std::vector<std::uint64_t> keys = batch.keys;
  keys.insert(keys.end(), batch.sequence_keys.begin(), batch.sequence_keys.end());
  return keys;
}

}  // namespace headrace::serve
