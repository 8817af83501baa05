#pragma once

#include "base/ids.hpp"
#include "base/random.hpp"
#include "schemas/value_codec.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What every shard and worker of a job agree on: its tables. Plain data, part of the job file.
namespace headrace::schemas {

enum class optimizer_kind : std::uint8_t {
  add = 0,              // w += g: counters, tests and the rows64 bench
  sgd = 1,              // w -= rate * g
  adagrad = 2,          // a += g²; w -= rate * g / (sqrt(a) + 1e-8)
  momentum = 3,         // m = momentum * m + g; w -= rate * m
  rowwise_adagrad = 4,  // a += mean(g²) over the row; w -= rate * g / (sqrt(a) + 1e-8)
  adam = 5,             // lazy: moments and step count of a row move when it is pushed
  adamw = 6,            // adam with decoupled weight decay
  ftrl = 7,             // FTRL-proximal, per coordinate
};
/// As job files spell it.
std::string_view name(optimizer_kind kind);

/// How a table's rates go with the batches of a source (kernels/rate_schedule). Numbers equal
/// kernels::rate_kind.
enum class schedule_kind : std::uint8_t { constant = 0, warmup = 1, cosine = 2, inverse_root = 3 };

/// What each push's rates are multiplied by follows from its batch number alone, so a replay needs
/// no state.
struct schedule_spec {
  schedule_kind kind = schedule_kind::constant;
  std::uint64_t warmup_batches = 0;  // not of constant: rates climb to their full height
  std::uint64_t total_batches = 0;   // of cosine: warm-up included, then the floor
  float floor = 0.0F;                // of cosine: share of the full height, 0 … 1
  friend bool operator==(const schedule_spec&, const schedule_spec&) = default;
};

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
  float momentum = 0.9F;
  float beta1 = 0.9F;  // adam, adamw
  float beta2 = 0.999F;
  float weight_decay = 0.0F;  // adamw: w -= rate * weight_decay * w
  float ftrl_l1 = 0.0F;
  float ftrl_l2 = 0.0F;
  float ftrl_beta = 1.0F;
  schedule_spec schedule = {};  // not of add and ftrl
  friend bool operator==(const optimizer_spec&, const optimizer_spec&) = default;
};

/// Values a new row starts with: columns below `first_order_columns` are 0, the others
/// `scale` * uniform(-1, 1) from counter_draw(seed, key, column) (base/random.hpp).
struct init_spec {
  std::uint64_t seed = 1;
  float scale = 0.0F;
  friend bool operator==(const init_spec&, const init_spec&) = default;
};

/// Which keys get a row. Decided once by the owner, before append, and written in the record:
/// replay obeys (design §4). A key that is not admitted is answered with its initial value.
struct admission_spec {
  std::uint32_t count = 1;            // occurrences within `window_ms` before a row is made
  std::uint64_t window_ms = 0;        // 0 = for ever
  float probability = 1.0F;           // of a key that has the count, at each push
  std::uint64_t rows_per_second = 0;  // new rows of this table on one shard; 0 = no limit
  friend bool operator==(const admission_spec&, const admission_spec&) = default;
};

/// When rows go. Pure idle expiry (`min_rows` 0, `rows_per_second` 0): a row with
/// stamp − last_seen > ttl is absent, whenever its bytes go. Otherwise the owner lists expired keys
/// in a record of their own.
struct expiry_spec {
  std::uint64_t ttl_ms = 0;           // 0 = never
  std::uint64_t min_rows = 0;         // of this table on one shard: fewer never expire
  std::uint64_t rows_per_second = 0;  // at most; 0 = no limit
  /// The ttl where a row's absence follows from the row and the stamp alone; else 0.
  std::uint64_t idle_ms() const { return min_rows == 0 && rows_per_second == 0 ? ttl_ms : 0; }
  friend bool operator==(const expiry_spec&, const expiry_spec&) = default;
};

/// One named table: rows of one width under one optimizer.
struct table_spec {
  table_id id;
  std::string name;
  std::uint32_t dim = 1;  // floats in a row, 1 … 1024
  optimizer_spec optimizer;
  init_spec init;
  value_codec stored = value_codec::fp32;  // weights at rest; optimizer state is always f32
  admission_spec admission;
  expiry_spec expiry;
  /// DRAM of this table on one shard, index included; colder rows lie in the row store. 0 = all
  /// rows stay. No part of the fingerprint: it changes no value.
  std::uint64_t memory_bytes = 0;
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
