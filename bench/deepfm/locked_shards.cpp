#include "bench/deepfm/locked_shards.hpp"

#include "schemas/pull.hpp"
#include "schemas/push.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

namespace headrace::bench {
namespace {

constexpr std::size_t fill_rows = 4'096;  // of one push
constexpr std::uint64_t now_ms = 1;       // nothing here depends on time

}  // namespace

locked_shards::locked_shards(const schemas::job_schema& schema) : schema_(schema) {
  for (std::uint32_t i = 0; i < schema.shards; ++i) {
    shards_.push_back(std::make_unique<locked>());
    shards_.back()->rows =
        std::make_unique<ps::shard>(shard_id{i}, schema, ps::shard_limits{}, epoch{1});
  }
}

result<void> locked_shards::fill(std::uint32_t rows) {
  const std::uint32_t dim = schema_.tables.front().dim;
  const std::vector<std::uint16_t> scales(fill_rows, 0);
  const std::vector<std::byte> codes(fill_rows * dim, std::byte{0});
  step_clock unused;
  for (std::uint32_t i = 0; i < count(); ++i) {
    std::vector<std::uint64_t> keys;
    for (std::uint64_t key = 0; key < rows; ++key) {
      if (schemas::shard_of(row_key{key}, count()) == shard_id{i}) keys.push_back(key);
    }
    schemas::push_section section;
    section.shard = shard_id{i};
    section.source = {"fill", 1};
    for (std::size_t from = 0; from < keys.size(); from += fill_rows) {
      const auto some = std::span<const std::uint64_t>(keys).subspan(
          from, std::min(fill_rows, keys.size() - from));
      schemas::row_block block;
      block.table = schema_.tables.front().id;
      block.dim = dim;
      block.codec = schemas::value_codec::int8;
      block.keys = some;
      block.scales = std::span(scales).first(some.size());
      block.values = std::span(codes).first(some.size() * dim);
      section.blocks = {block};
      section.prev = section.batch;
      section.batch = batch_number{section.batch.value + 1};
      if (const auto ack = push(shard_id{i}, schemas::encode(section), unused); !ack)
        return ack.error();
    }
  }
  return {};
}

result<frame> locked_shards::pull(shard_id to, const frame& section, step_clock& clock) {
  const auto wanted = schemas::decode_pull(section);
  if (!wanted) return wanted.error();
  clock.end(step_part::pull_messages);
  locked& at = *shards_[to.value];
  const std::scoped_lock lock(at.mutex);
  clock.end(step_part::locks);
  frame reply = at.rows->pull(*wanted);
  clock.end(step_part::pull);
  return reply;
}

result<frame> locked_shards::push(shard_id to, const frame& section, step_clock& clock) {
  const auto wanted = schemas::decode_push(section);
  if (!wanted) return wanted.error();
  clock.end(step_part::push_messages);
  schemas::push_ack ack;
  {
    locked& at = *shards_[to.value];
    const std::scoped_lock lock(at.mutex);
    clock.end(step_part::locks);
    const auto decision = at.rows->decide(*wanted, now_ms);
    clock.end(step_part::decide);
    if (!decision.record) return error{decision.ack.status, decision.ack.detail};
    ack = at.rows->commit(decision.record->lsn);
    clock.end(step_part::commit);
  }
  if (!ack.applied) return error{ack.status, ack.detail};
  frame encoded = schemas::encode(ack);
  clock.end(step_part::push_messages);
  return encoded;
}

}  // namespace headrace::bench
