#include "cli/table_section.hpp"

#include "base/parse_number.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>

namespace headrace::cli {
namespace {

constexpr std::uint64_t ms = 1'000'000;  // nanoseconds
constexpr std::uint64_t year = 365ULL * 86'400'000 * ms;
constexpr number_range rate_range{0.0, 1000.0};
constexpr number_range accumulator_range{0.0, 1e6};
constexpr number_range share_range{0.0, 1.0};

using schemas::optimizer_kind;
using schemas::value_codec;
using worker::model_arch;

float read_float(config_reader& config,
                 const std::string& key,
                 float fallback,
                 number_range accepted) {
  // The shortest digits of the float, so that 0.05F is resolved as 0.05.
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), fallback).ptr;
  const auto shortest =
      parse_number<double>({digits.data(), static_cast<std::size_t>(end - digits.data())});
  return static_cast<float>(config.number(key, shortest.value_or(0.0), accepted));
}

optimizer_kind read_optimizer_kind(config_reader& config, const std::string& key, model_arch arch) {
  if (arch == model_arch::count)
    return config.choice<optimizer_kind>(key, "add", {{"add", optimizer_kind::add}});
  return config.choice<optimizer_kind>(key,
                                       "adagrad",
                                       {{"adagrad", optimizer_kind::adagrad},
                                        {"sgd", optimizer_kind::sgd},
                                        {"momentum", optimizer_kind::momentum},
                                        {"rowwise_adagrad", optimizer_kind::rowwise_adagrad},
                                        {"adam", optimizer_kind::adam},
                                        {"adamw", optimizer_kind::adamw},
                                        {"ftrl", optimizer_kind::ftrl}});
}

/// Settings that only some optimizers have: elsewhere an unknown key.
void read_own_settings(config_reader& config,
                       const std::string& section,
                       schemas::optimizer_spec& optimizer) {
  switch (optimizer.kind) {
    case optimizer_kind::momentum:
      optimizer.momentum =
          read_float(config, section + "momentum", optimizer.momentum, share_range);
      return;
    case optimizer_kind::adamw:
      optimizer.weight_decay = read_float(config, section + "weight_decay", 0.01F, {0.0, 10.0});
      [[fallthrough]];
    case optimizer_kind::adam:
      optimizer.beta1 = read_float(config, section + "beta1", optimizer.beta1, {0.0, 0.9999});
      optimizer.beta2 = read_float(config, section + "beta2", optimizer.beta2, {0.0, 0.999999});
      return;
    case optimizer_kind::ftrl:
      optimizer.ftrl_l1 = read_float(config, section + "l1", optimizer.ftrl_l1, {0.0, 1e6});
      optimizer.ftrl_l2 = read_float(config, section + "ridge", optimizer.ftrl_l2, {0.0, 1e6});
      optimizer.ftrl_beta = read_float(config, section + "beta", optimizer.ftrl_beta, {0.0, 1e6});
      return;
    case optimizer_kind::add:
    case optimizer_kind::sgd:
    case optimizer_kind::adagrad:
    case optimizer_kind::rowwise_adagrad:
      return;
  }
}

void read_optimizer(config_reader& config,
                    const std::string& section,
                    model_arch arch,
                    schemas::optimizer_spec& optimizer) {
  optimizer.kind = read_optimizer_kind(config, section + "kind", arch);
  optimizer.rate = read_float(config, section + "lr", optimizer.rate, rate_range);
  optimizer.initial_accumulator = read_float(
      config, section + "initial_accumulator", optimizer.initial_accumulator, accumulator_range);
  optimizer.first_rate = optimizer.rate;
  optimizer.first_initial_accumulator = optimizer.initial_accumulator;
  optimizer.l2 = read_float(config, section + "l2", 0.0F, {0.0, 10.0});
  optimizer.gradient_clip = read_float(config, section + "clip", 0.0F, {0.0, 1e6});
  read_own_settings(config, section, optimizer);
}

schemas::table_spec read_table(config_reader& config, const std::string& name, model_arch arch) {
  schemas::table_spec table;
  table.name = name;
  read_optimizer(config, "tables." + name + ".optimizer.", arch, table.optimizer);
  return table;
}

/// A number for the whole table, as each shard's part, rounded up.
std::uint64_t per_shard(config_reader& config, const std::string& key, std::uint32_t shards) {
  const auto whole = static_cast<std::uint64_t>(config.whole(key, 0, {0, 1'000'000'000'000}));
  return (whole + shards - 1) / shards;
}

/// Where rows lie, which keys get one, and when one goes.
void read_life(config_reader& config, std::uint32_t shards, schemas::table_spec& table) {
  const std::string section = "tables." + table.name + ".";
  const bool counts = table.optimizer.kind == optimizer_kind::add;
  table.stored =
      counts ? config.choice<value_codec>(section + "stored", "fp32", {{"fp32", value_codec::fp32}})
             : config.choice<value_codec>(section + "stored",
                                          "fp32",
                                          {{"fp32", value_codec::fp32},
                                           {"bf16", value_codec::bf16},
                                           {"fp16", value_codec::fp16},
                                           {"int8", value_codec::int8}});
  table.memory_bytes = config.bytes(section + "memory", 0, {0, INT64_MAX}) / shards;
  auto& admission = table.admission;
  admission.count =
      static_cast<std::uint32_t>(config.whole(section + "admit.count", admission.count, {1, 255}));
  admission.window_ms = config.duration_ns(section + "admit.window", 0, {0, year}) / ms;
  admission.probability =
      read_float(config, section + "admit.probability", admission.probability, {0.0, 1.0, true});
  admission.rows_per_second = per_shard(config, section + "admit.rows_per_second", shards);
  auto& expiry = table.expiry;
  expiry.ttl_ms = config.duration_ns(section + "expire.ttl", 0, {0, 10 * year}) / ms;
  expiry.min_rows = per_shard(config, section + "expire.min_rows", shards);
  expiry.rows_per_second = per_shard(config, section + "expire.rows_per_second", shards);
}

schemas::table_spec read_embedding(config_reader& config,
                                   const worker::model_spec& model,
                                   std::uint32_t shards) {
  constexpr float latent_scale = 0.01F;  // latent vectors of 0 would never learn
  schemas::table_spec table = read_table(config, "embedding", model.arch);
  table.id = model.embedding;
  table.dim = 1 + model.dim;
  auto& optimizer = table.optimizer;
  const std::string section = "tables.embedding.optimizer.";
  optimizer.first_rate = read_float(config, section + "first_lr", optimizer.rate, rate_range);
  optimizer.first_initial_accumulator = read_float(config,
                                                   section + "first_initial_accumulator",
                                                   optimizer.initial_accumulator,
                                                   accumulator_range);
  optimizer.first_order_columns = model.arch == model_arch::count ? 0 : 1;
  const float scale = model.arch == model_arch::fm ? latent_scale : 0.0F;
  table.init.scale = read_float(config, "tables.embedding.init.scale", scale, {0.0, 100.0});
  table.init.seed =
      static_cast<std::uint64_t>(config.whole("tables.embedding.init.seed", 1, {0, INT64_MAX}));
  if (model.arch == model_arch::count) table.init.scale = 0.0F;  // a count starts at 0
  read_life(config, shards, table);
  return table;
}

}  // namespace

void read_tables(config_reader& config,
                 const worker::model_spec& model,
                 schemas::job_schema& schema) {
  schema.shards = static_cast<std::uint32_t>(config.whole("shards.count", 4, {1, 1024}));
  schemas::table_spec embedding = read_embedding(config, model, schema.shards);
  schemas::table_spec bias = read_table(config, "bias", model.arch);
  bias.id = model.bias;
  schema.tables = {std::move(embedding), std::move(bias)};
}

}  // namespace headrace::cli
