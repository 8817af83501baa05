#pragma once

#include "base/ids.hpp"
#include "base/random.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What every shard and worker of a job agree on: its tables. Plain data, part of the job file.
namespace headrace::schemas {

enum class optimizer_kind : std::uint8_t {
  add = 0,      // w += g: counters, tests and the rows64 bench
  sgd = 1,      // w -= rate * g
  adagrad = 2,  // a += g²; w -= rate * g / (sqrt(a) + 1e-8)
};
/// As job files spell it.
std::string_view name(optimizer_kind kind);

/// Optimizer of one table. The first `first_order_columns` columns of a row (0 or 1 in this slice)
/// use the `first_*` values: a factorization machine keeps its first-order weight in column 0 and
/// the latent vector behind it, and the two want different rates.
struct optimizer_spec {
  optimizer_kind kind = optimizer_kind::adagrad;
  float rate = 0.05F;
  float initial_accumulator = 0.1F;
  float first_rate = 0.05F;
  float first_initial_accumulator = 0.1F;
  std::uint32_t first_order_columns = 0;
  float l2 = 0.0F;             // g += l2 * w before the step
  float gradient_clip = 0.0F;  // per-element clip of the dequantized gradient; 0 = none
  friend bool operator==(const optimizer_spec&, const optimizer_spec&) = default;
};

/// Values a new row starts with: columns below `first_order_columns` are 0, the others
/// `scale` * uniform(-1, 1) from counter_draw(seed, key, column) (base/random.hpp).
struct init_spec {
  std::uint64_t seed = 1;
  float scale = 0.0F;
  friend bool operator==(const init_spec&, const init_spec&) = default;
};

/// One named table: rows of one width under one optimizer.
struct table_spec {
  table_id id;
  std::string name;
  std::uint32_t dim = 1;  // floats in a row, 1 … 1024
  optimizer_spec optimizer;
  init_spec init;
  friend bool operator==(const table_spec&, const table_spec&) = default;
};

/// All tables of a job under one version number; version 0 is never used.
struct job_schema {
  std::uint32_t version = 1;
  std::uint32_t shards = 4;
  std::vector<table_spec> tables;  // tables[i].id.value == i
  friend bool operator==(const job_schema&, const job_schema&) = default;
};

/// The shard that owns `key`: the low 32 bits of mix64(key), modulo the number of shards (≥ 1).
/// Frozen.
inline shard_id shard_of(row_key key, std::uint32_t shards) {
  const auto low = static_cast<std::uint32_t>(mix64(key.value));
  const bool power_of_two = (shards & (shards - 1)) == 0;  // the usual case: a mask, not a division
  return shard_id{power_of_two ? low & (shards - 1) : low % shards};
}

/// A number that two processes compare to know that they were given the same job: xxh3-64 over a
/// canonical text form of the schema and the job's name.
std::uint64_t fingerprint(const std::string& job_name, const job_schema& schema);

}  // namespace headrace::schemas
