#include "cli/job/table_section.hpp"

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
using schemas::schedule_kind;
using schemas::value_codec;

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

// What a section that doesn't say otherwise begins with.
struct table_defaults {
  bool counts = false;
  schemas::optimizer_spec optimizer;
};

std::string_view word(optimizer_kind kind) { return schemas::name(kind); }

optimizer_kind read_optimizer_kind(config_reader& config,
                                   const std::string& key,
                                   const table_defaults& defaults) {
  if (defaults.counts)
    return config.choice<optimizer_kind>(key, "add", {{"add", optimizer_kind::add}});
  return config.choice<optimizer_kind>(key,
                                       word(defaults.optimizer.kind),
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
      optimizer.weight_decay =
          read_float(config, section + "weight_decay", optimizer.weight_decay, {0.0, 10.0});
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

std::string_view word(schedule_kind kind) {
  switch (kind) {
    case schedule_kind::constant:
      return "constant";
    case schedule_kind::warmup:
      return "warmup";
    case schedule_kind::cosine:
      return "cosine";
    case schedule_kind::inverse_root:
      return "inverse_root";
  }
  return "constant";
}

/// How the rates go with the batches; its numbers are unknown keys where the kind has no use for
/// them. FTRL's rows hold their rate in their state, so there it can't change.
void read_schedule(config_reader& config,
                   const std::string& section,
                   schemas::optimizer_spec& optimizer) {
  if (optimizer.kind == optimizer_kind::add || optimizer.kind == optimizer_kind::ftrl) {
    optimizer.schedule = {};
    return;
  }
  schemas::schedule_spec& schedule = optimizer.schedule;
  schedule.kind = config.choice<schedule_kind>(section + "schedule",
                                               word(schedule.kind),
                                               {{"constant", schedule_kind::constant},
                                                {"warmup", schedule_kind::warmup},
                                                {"cosine", schedule_kind::cosine},
                                                {"inverse_root", schedule_kind::inverse_root}});
  const auto batches = [&](const char* key, std::uint64_t& into, std::int64_t least) {
    const auto fallback = static_cast<std::int64_t>(into);
    into = static_cast<std::uint64_t>(
        config.whole(section + key, fallback, {least, 1'000'000'000'000}));
  };
  if (schedule.kind == schedule_kind::constant) {
    schedule = {};
    return;
  }
  const bool cosine = schedule.kind == schedule_kind::cosine;
  if (!cosine && schedule.warmup_batches == 0) schedule.warmup_batches = 1'000;
  batches("warmup_batches", schedule.warmup_batches, cosine ? 0 : 1);
  if (!cosine) {
    schedule.total_batches = 0;
    schedule.floor = 0.0F;
    return;
  }
  batches("total_batches", schedule.total_batches, 1);
  schedule.floor = read_float(config, section + "floor", schedule.floor, share_range);
  if (schedule.total_batches <= schedule.warmup_batches)
    config.refuse(section + "total_batches",
                  "accepted is more than warmup_batches, which it holds");
}

void read_optimizer(config_reader& config,
                    const std::string& section,
                    const table_defaults& defaults,
                    schemas::optimizer_spec& optimizer) {
  optimizer = defaults.optimizer;
  optimizer.kind = read_optimizer_kind(config, section + "kind", defaults);
  if (optimizer.kind != defaults.optimizer.kind)
    optimizer.weight_decay = optimizer.kind == optimizer_kind::adamw ? 0.01F : 0.0F;
  optimizer.rate = read_float(config, section + "lr", optimizer.rate, rate_range);
  optimizer.initial_accumulator = read_float(
      config, section + "initial_accumulator", optimizer.initial_accumulator, accumulator_range);
  optimizer.first_rate = optimizer.rate;
  optimizer.first_initial_accumulator = optimizer.initial_accumulator;
  optimizer.l2 = read_float(config, section + "l2", optimizer.l2, {0.0, 10.0});
  optimizer.gradient_clip =
      read_float(config, section + "clip", optimizer.gradient_clip, {0.0, 1e6});
  read_own_settings(config, section, optimizer);
  read_schedule(config, section, optimizer);
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

schemas::table_spec read_table(config_reader& config,
                               const worker::model_table& wanted,
                               const table_defaults& defaults,
                               std::uint32_t shards) {
  schemas::table_spec table;
  table.name = wanted.name;
  table.dim = static_cast<std::uint32_t>(wanted.dim);
  auto& optimizer = table.optimizer;
  const std::string section = "tables." + wanted.name + ".";
  read_optimizer(config, section + "optimizer.", defaults, optimizer);
  const bool looked_up = wanted.rows == 0;
  if (!looked_up && !wanted.network) return table;
  if (wanted.first_order_columns > 0) {
    optimizer.first_rate =
        read_float(config, section + "optimizer.first_lr", optimizer.rate, rate_range);
    optimizer.first_initial_accumulator =
        read_float(config,
                   section + "optimizer.first_initial_accumulator",
                   optimizer.initial_accumulator,
                   accumulator_range);
  }
  optimizer.first_order_columns = wanted.first_order_columns;
  table.init.scale = read_float(config, section + "init.scale", wanted.init_scale, {0.0, 100.0});
  table.init.seed =
      static_cast<std::uint64_t>(config.whole(section + "init.seed", 1, {0, INT64_MAX}));
  if (defaults.counts) table.init.scale = 0.0F;  // a count starts at 0
  if (looked_up) read_life(config, shards, table);
  return table;
}

// A network learns by Adam at its usual rate (Kingma and Ba, ICLR'15), rows by Adagrad.
table_defaults network_defaults(config_reader& config, const worker::model_graph& model) {
  table_defaults defaults;
  defaults.optimizer.kind = optimizer_kind::adam;
  defaults.optimizer.rate = 0.001F;
  if (!std::ranges::any_of(model.tables(), &worker::model_table::network)) return defaults;
  schemas::optimizer_spec common;
  read_optimizer(config, "tables.dense.optimizer.", defaults, common);
  defaults.optimizer = common;
  return defaults;
}

}  // namespace

void read_tables(config_reader& config,
                 const worker::model_graph& model,
                 schemas::job_schema& schema) {
  schema.shards = static_cast<std::uint32_t>(config.whole("shards.count", 4, {1, 1024}));
  table_defaults rows;
  rows.counts = model.counts();
  const table_defaults network = network_defaults(config, model);
  for (const worker::model_table& wanted : model.tables()) {
    schemas::table_spec table =
        read_table(config, wanted, wanted.network ? network : rows, schema.shards);
    table.id = table_id{static_cast<std::uint32_t>(schema.tables.size())};
    schema.tables.push_back(std::move(table));
  }
}

}  // namespace headrace::cli
