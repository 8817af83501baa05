#include "tests/simulation/sealed_batches.hpp"

#include <algorithm>
#include <limits>

namespace headrace::simulation {

schemas::job_schema simulated_schema(std::uint32_t shards) {
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
  return {1, shards, {sum, order}};
}

sealed_batches::sealed_batches(const profile& p, dice& chance)
    : batches_(p.batches), shards_(p.shards) {
  for (std::uint32_t i = 0; i < p.keys; ++i) keys_.push_back(mix64(i));
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
  for (const table_id table : {sums, ordered}) {
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
