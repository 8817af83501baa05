#include "worker/step/pull_plan.hpp"

#include "schemas/schema.hpp"

#include <algorithm>
#include <cstring>
#include <string>

namespace headrace::worker {

void pull_plan::build(std::span<const row_set> sets, std::uint32_t shards) {
  sets_ = sets.size();
  shards_ = shards;
  parts_.resize(sets_ * shards_);
  for (auto& each : parts_) {
    each.rows.clear();
    each.keys.clear();
  }
  for (std::size_t s = 0; s < sets_; ++s) {
    for (std::uint32_t row = 0; row < sets[s].rows(); ++row) {
      const std::uint64_t key = sets[s].keys[row];
      part& home = parts_[schemas::shard_of(row_key{key}, shards_).value * sets_ + s];
      home.rows.push_back(row);
      home.keys.push_back(key);
    }
  }
  versions_.assign(shards_, 0);
  epochs_.assign(shards_, headrace::epoch{1});
  answered_.assign(shards_, false);
  missing_ = shards_touched();
}

bool pull_plan::touches(shard_id shard) const {
  const auto first = parts_.begin() + static_cast<std::ptrdiff_t>(shard.value * sets_);
  return std::any_of(first, first + static_cast<std::ptrdiff_t>(sets_), [](const part& p) {
    return !p.keys.empty();
  });
}

bool pull_plan::touches(shard_id shard, std::span<const row_set> sets, schemas::lane lane) const {
  for (std::size_t s = 0; s < sets_; ++s) {
    if (sets[s].lane == lane && !at(shard, s).keys.empty()) return true;
  }
  return false;
}

std::uint32_t pull_plan::shards_touched() const {
  std::uint32_t touched = 0;
  for (std::uint32_t s = 0; s < shards_; ++s) touched += touches(shard_id{s}) ? 1 : 0;
  return touched;
}

frame pull_plan::section(shard_id shard,
                         std::span<const row_set> sets,
                         std::uint32_t schema_version) const {
  if (!touches(shard)) return {};
  schemas::pull_section section;
  section.schema_version = schema_version;
  section.shard = shard;
  for (std::size_t s = 0; s < sets_; ++s) {
    const part& wanted = at(shard, s);
    if (wanted.keys.empty()) continue;
    section.blocks.push_back({sets[s].table, schemas::value_codec::fp32, wanted.keys});
  }
  return schemas::encode(section);
}

result<void> pull_plan::scatter(const schemas::pull_reply& reply, std::span<row_set> sets) {
  const std::uint32_t shard = reply.shard.value;
  if (shard >= shards_) return error{errc::malformed, "pull reply names a shard that is not there"};
  if (answered_[shard]) return {};  // a duplicate of an answer to a request sent twice
  std::size_t next = 0;
  for (std::size_t s = 0; s < sets_; ++s) {
    const part& wanted = at(reply.shard, s);
    if (wanted.keys.empty()) continue;
    if (next >= reply.blocks.size()) return error{errc::malformed, "pull reply has too few blocks"};
    const schemas::pulled_block& block = reply.blocks[next++];
    if (block.table != sets[s].table || block.dim != sets[s].dim ||
        block.rows != wanted.rows.size() || block.codec != schemas::value_codec::fp32 ||
        block.fp32_values().size() != wanted.rows.size() * sets[s].dim) {
      return error{errc::malformed,
                   "pull reply of shard " + std::to_string(shard) + " has another shape"};
    }
    const auto values = block.fp32_values();
    for (std::size_t i = 0; i < wanted.rows.size(); ++i) {
      std::memcpy(&sets[s].values[wanted.rows[i] * sets[s].dim],
                  &values[i * sets[s].dim],
                  sets[s].dim * sizeof(float));
      sets[s].absent[wanted.rows[i]] = block.is_absent(i) ? 1 : 0;
    }
  }
  if (next != reply.blocks.size()) return error{errc::malformed, "pull reply has too many blocks"};
  versions_[shard] = reply.version;
  epochs_[shard] = reply.epoch;
  answered_[shard] = true;
  --missing_;
  return {};
}

}  // namespace headrace::worker
