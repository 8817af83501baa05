#include "serve/replica.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

namespace headrace::serve {
namespace {

bool is_finite_half(std::uint16_t bits) { return (bits & 0x7C00U) != 0x7C00U; }
bool is_finite_brain(std::uint16_t bits) { return (bits & 0x7F80U) != 0x7F80U; }

/// Whether all values of a block are numbers.
bool is_finite(const schemas::delta_block& block) {
  const auto words = [&] {
    return std::span(reinterpret_cast<const std::uint16_t*>(block.values.data()),
                     block.values.size() / 2);
  };
  switch (block.codec) {
    case schemas::value_codec::int8:
      return std::ranges::all_of(block.scales, is_finite_half);
    case schemas::value_codec::fp16:
      return std::ranges::all_of(words(), is_finite_half);
    case schemas::value_codec::bf16:
      return std::ranges::all_of(words(), is_finite_brain);
    default:
      return std::ranges::all_of(std::span(reinterpret_cast<const float*>(block.values.data()),
                                           block.values.size() / sizeof(float)),
                                 [](float value) { return std::isfinite(value); });
  }
}

std::string name_of(const schemas::delta& message) {
  return "delta " + std::to_string(message.number) + " of session " +
         std::to_string(message.session) + " of shard " + std::to_string(message.shard.value);
}

/// Sessions are numbered by each owner of a shard.
bool is_newer_session(const schemas::delta& message, const replica::shard_state& than) {
  return message.epoch > than.epoch ||
         (message.epoch == than.epoch && message.session > than.session);
}

}  // namespace

replica::replica(schemas::job_schema schema,
                 std::span<const schemas::value_codec> held,
                 std::uint64_t secret)
    : schema_(std::move(schema)), marks_(schema_.shards, 0), shards_(schema_.shards) {
  CHECK(held.size() == schema_.tables.size());
  for (std::size_t i = 0; i < held.size(); ++i)
    tables_.emplace_back(schema_.tables[i], held[i], secret);
}

result<void> replica::check_block(const schemas::delta_block& block) const {
  if (block.table.value >= tables_.size()) {
    return error{errc::unknown_table,
                 "table " + std::to_string(block.table.value) + " of a delta, the job has " +
                     std::to_string(tables_.size())};
  }
  const schemas::table_spec& spec = schema_.tables[block.table.value];
  const schemas::value_codec held = tables_[block.table.value].held();
  if (block.dim != spec.dim || block.codec != held) {
    return error{errc::bad_dims,
                 "table " + spec.name + " comes in " + std::to_string(block.dim) + " columns of " +
                     std::string(name(block.codec)) + ", this replica holds " +
                     std::to_string(spec.dim) + " of " + std::string(name(held)) +
                     "; start it again with the server's job file"};
  }
  if (!is_finite(block)) {
    return error{errc::not_finite,
                 "a row of table " + spec.name + " is not finite; find the shard's fault first"};
  }
  return {};
}

result<void> replica::check(const schemas::delta& message, const shard_state& at) const {
  if (message.schema_version != schema_.version) {
    return error{errc::stale_schema,
                 name_of(message) + " is of schema version " +
                     std::to_string(message.schema_version) + ", this replica is at " +
                     std::to_string(schema_.version) + "; start it again with the new job file"};
  }
  if (message.epoch < at.epoch) {
    return error{errc::stale_epoch,
                 name_of(message) + " is of epoch " + std::to_string(message.epoch.value) +
                     ", the shard's owner is at " + std::to_string(at.epoch.value)};
  }
  const bool anew = is_newer_session(message, at);
  const bool begins = anew && message.follows == 0;
  if (begins && message.head_version < at.version) {
    return error{errc::stale_epoch,
                 name_of(message) + " begins at version " + std::to_string(message.head_version) +
                     ", but " + std::to_string(at.version) +
                     " was served: the shard lost what it had said; start this replica anew to "
                     "serve the older one"};
  }
  if (!begins && (anew || message.follows > at.number)) {
    return error{errc::gap,
                 name_of(message) + " follows " + std::to_string(message.follows) +
                     ", here is delta " + std::to_string(at.number) + " of session " +
                     std::to_string(at.session) + "; ask for those between"};
  }
  for (const schemas::delta_block& block : message.blocks) {
    if (auto good = check_block(block); !good) return good;
  }
  return {};
}

result<replica::outcome> replica::apply(const schemas::delta& message) {
  if (message.shard.value >= schema_.shards) {
    return error{errc::wrong_job,
                 name_of(message) + ": the job has " + std::to_string(schema_.shards) + " shards"};
  }
  shard_state now = state(message.shard);  // written by this thread only
  const bool is_old = message.epoch == now.epoch &&
                      (message.session < now.session ||
                       (message.session == now.session && message.number <= now.number));
  if (is_old) return outcome::old;
  if (auto good = check(message, now); !good) return good.error();
  std::uint32_t& mark = marks_[message.shard.value];
  if (is_newer_session(message, now)) {
    now.session = message.session;
    now.installing = true;
    mark = ++marks_given_;
  }
  for (const schemas::delta_block& block : message.blocks) {
    replica_rows& rows = tables_[block.table.value];
    rows.put(block, mark);
    rows.remove(block.gone);
  }
  if (now.installing && message.whole) {
    for (replica_rows& rows : tables_) rows.remove_unmarked(mark, message.shard, schema_.shards);
    now.installing = false;
    now.whole = true;
  }
  now.epoch = message.epoch;
  now.number = message.number;
  now.head_version = std::max(now.head_version, message.head_version);
  if (message.whole) {
    now.lsn = std::max(now.lsn, message.lsn);
    now.version = std::max(now.version, message.version);
    now.accepted_ms = std::max(now.accepted_ms, message.accepted_ms);
  }
  const std::lock_guard lock(mutex_);
  shards_[message.shard.value] = now;
  replica_stamp all{.version = 0, .accepted_ms = UINT64_MAX, .whole = true};
  for (const shard_state& each : shards_) {
    all.version += each.version;
    all.accepted_ms = std::min(all.accepted_ms, each.accepted_ms);
    all.whole = all.whole && each.whole;
  }
  stamp_ = all;
  return outcome::applied;
}

replica::shard_state replica::state(shard_id shard) const {
  CHECK(shard.value < schema_.shards);
  const std::lock_guard lock(mutex_);
  return shards_[shard.value];
}

replica_stamp replica::stamp() const {
  const std::lock_guard lock(mutex_);
  return stamp_;
}

result<replica::answer> replica::read(table_id table,
                                      std::span<const std::uint64_t> keys,
                                      std::span<float> values,
                                      std::span<std::uint8_t> absent) const {
  if (table.value >= tables_.size()) {
    return error{
        errc::unknown_table,
        "table " + std::to_string(table.value) + ", the job has " + std::to_string(tables_.size())};
  }
  answer made{.stamp = stamp(), .absent = 0};  // before the rows, so that it is never too new
  made.absent = tables_[table.value].read(keys, values, absent);
  return made;
}

std::size_t replica::rows() const {
  std::size_t sum = 0;
  for (const replica_rows& each : tables_) sum += each.rows();
  return sum;
}

std::size_t replica::bytes() const {
  std::size_t sum = 0;
  for (const replica_rows& each : tables_) sum += each.bytes();
  return sum;
}

}  // namespace headrace::serve
