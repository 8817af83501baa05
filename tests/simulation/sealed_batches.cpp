#include "tests/simulation/sealed_batches.hpp"

#include "ps/table/row_shape.hpp"
#include "ps/table/row_slab.hpp"

#include <algorithm>
#include <limits>

namespace headrace::simulation {
namespace {

/// The budget that holds so many rows of the table (ps/table/table.cpp).
std::uint64_t memory_of(std::uint64_t rows, const schemas::table_spec& spec) {
  constexpr std::uint64_t index_bytes_per_row = 25;
  return rows * (ps::row_slab(ps::row_shape(spec).payload_bytes).stride() + index_bytes_per_row);
}

}  // namespace

schemas::job_schema simulated_schema(const profile& p) {
  schemas::table_spec sum;
  sum.id = sums;
  sum.name = "sums";
  sum.dim = sums_dim;
  sum.optimizer.kind = schemas::optimizer_kind::add;
  schemas::table_spec order;
  order.id = ordered;
  order.name = "ordered";
  order.dim = sums_dim;
  order.optimizer.kind = schemas::optimizer_kind::adagrad;
  order.init.scale = 0.1F;
  schemas::table_spec judge = order;
  judge.id = judged;
  judge.name = "judged";
  judge.stored = schemas::value_codec::int8;
  judge.admission.count = p.admit_count;
  judge.admission.window_ms = p.admit_window_ms;
  judge.admission.probability = p.admit_probability;
  judge.expiry.ttl_ms = p.ttl_ms;
  judge.expiry.min_rows = p.min_rows;
  schemas::job_schema schema{1, p.shards, {sum, order, judge}};
  for (auto& table : schema.tables)
    table.memory_bytes = memory_of(p.memory_rows[table.id.value], table);
  return schema;
}

sealed_batches::sealed_batches(const profile& p, dice& chance)
    : batches_(p.batches), shards_(p.shards) {
  for (std::uint32_t i = 1; i < p.keys; ++i) keys_.push_back(mix64(i));
  keys_.push_back(UINT64_MAX);  // the last place in the order of rows
  std::sort(keys_.begin(), keys_.end());
  of_source_.resize(p.sources);
  for (std::uint32_t source = 0; source < p.sources; ++source) {
    for (std::uint64_t batch = 1; batch <= batches_; ++batch) {
      for (std::uint32_t shard = 0; shard < shards_; ++shard) {
        of_source_[source].push_back(make(source, batch_number{batch}, shard_id{shard}, p, chance));
      }
    }
  }
}

schemas::source_id sealed_batches::source(std::uint32_t index) const {
  return {std::string("source-") + static_cast<char>('a' + index), 1};
}

std::uint32_t sealed_batches::index_of(const schemas::source_id& source_of) const {
  std::uint32_t index = 0;
  while (index < sources() && source(index) != source_of) ++index;
  return index;
}

const sealed_section& sealed_batches::at(std::uint32_t source,
                                         batch_number batch,
                                         shard_id shard) const {
  return of_source_[source][(batch.value - 1) * shards_ + shard.value];
}

sealed_section sealed_batches::make(std::uint32_t source,
                                    batch_number batch,
                                    shard_id shard,
                                    const profile& p,
                                    dice& chance) const {
  sealed_section made;
  if (!chance.chance(p.keys_per_shard_batch)) return made;
  for (const std::uint64_t key : keys_) {
    if (schemas::shard_of(row_key{key}, shards_) != shard || !chance.chance(0.3)) continue;
    made.keys.push_back(key);
    made.counts.push_back(static_cast<std::uint32_t>(chance.between(1, 3)));
    for (std::uint32_t i = 0; i < sums_dim; ++i) {
      made.gradients.push_back(static_cast<float>(chance.between(1, 15)) - 8.0F);
    }
  }
  if (made.keys.empty()) return made;
  made.poisoned = chance.chance(p.poison);
  auto values = made.gradients;
  if (made.poisoned) values.back() = std::numeric_limits<float>::quiet_NaN();
  schemas::push_section section;
  section.shard = shard;
  section.source = this->source(source);
  section.batch = batch;
  section.prev = batch_number{batch.value - 1};
  for (const table_id table : simulated_tables) {
    section.blocks.push_back({table,
                              sums_dim,
                              schemas::value_codec::fp32,
                              made.keys,
                              made.counts,
                              {},
                              std::as_bytes(std::span(values))});
  }
  made.frame = schemas::encode(section);
  return made;
}

}  // namespace headrace::simulation
