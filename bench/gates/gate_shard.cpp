#include "bench/gates/gate_shard.hpp"

#include "base/check.hpp"
#include "schemas/pull.hpp"
#include "schemas/value_codec.hpp"

#include <algorithm>
#include <cstring>
#include <latch>
#include <thread>
#include <unordered_set>
#include <utility>

namespace headrace::bench {
namespace {

constexpr float delta = 0x1p-10F;
constexpr std::uint16_t delta_half_bits = 0x1400;  // the same number as fp16

}  // namespace

schemas::job_schema schema_of(const gate_job& job) {
  schemas::table_spec table;
  table.id = table_id{0};
  table.name = "gate";
  table.dim = job.dim;
  table.optimizer.kind = job.optimizer;
  table.init.scale = 0.01F;
  table.stored = job.stored;
  table.memory_bytes = job.memory_bytes;
  schemas::job_schema schema;
  schema.shards = job.shards;
  schema.tables.push_back(std::move(table));
  return schema;
}

std::vector<std::uint64_t> keys_on(shard_id id, std::uint32_t shards, std::uint64_t rows) {
  std::vector<std::uint64_t> keys;
  keys.reserve(rows / shards + rows / 64);
  for (std::uint64_t rank = 1; rank <= rows; ++rank) {
    const std::uint64_t key = mix64(rank) >> 1;
    if (schemas::shard_of(row_key{key}, shards) == id) keys.push_back(key);
  }
  return keys;
}

std::vector<std::uint64_t> draw_keys(std::span<const std::uint64_t> keys,
                                     std::size_t count,
                                     random_stream& random) {
  CHECK(count <= keys.size() / 2);
  std::unordered_set<std::uint64_t> drawn;
  while (drawn.size() < count) drawn.insert(keys[random.next_below(keys.size())]);
  std::vector<std::uint64_t> sorted(drawn.begin(), drawn.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

push_source::push_source(const gate_job& job, shard_id to, schemas::value_codec codec) {
  using schemas::value_codec;
  CHECK(codec == value_codec::fp32 || codec == value_codec::int8);
  section_.shard = to;
  section_.source = {"gates-" + std::to_string(to.value), 1};
  schemas::row_block block;
  block.table = table_id{0};
  block.dim = job.dim;
  block.codec = codec;
  section_.blocks.push_back(block);
  row_bytes_ = job.dim * schemas::value_bytes(codec);
  values_.resize(gate_batch_rows * row_bytes_);
  if (codec == value_codec::int8) {
    scales_.assign(gate_batch_rows, delta_half_bits);
    std::fill(values_.begin(), values_.end(), std::byte{3});
    return;
  }
  for (std::size_t at = 0; at < values_.size(); at += sizeof delta)
    std::memcpy(values_.data() + at, &delta, sizeof delta);
}

frame push_source::next(std::span<const std::uint64_t> keys) {
  CHECK(keys.size() <= gate_batch_rows);
  section_.prev = section_.batch;
  section_.batch = batch_number{section_.batch.value + 1};
  schemas::row_block& block = section_.blocks.front();
  block.keys = keys;
  block.values = std::span(values_).first(keys.size() * row_bytes_);
  if (!scales_.empty()) block.scales = std::span(scales_).first(keys.size());
  return schemas::encode(section_);
}

frame pull_of(shard_id to, std::span<const std::uint64_t> keys, schemas::value_codec codec) {
  schemas::pull_section section;
  section.shard = to;
  section.blocks.push_back({table_id{0}, codec, keys});
  return schemas::encode(section);
}

result<void> push_without_log(ps::shard& to, const frame& section) {
  const auto decoded = schemas::decode_push(section);
  if (!decoded) return decoded.error();
  const auto decision = to.decide(*decoded, 1);
  if (!decision.record) return error{decision.ack.status, decision.ack.detail};
  const auto ack = to.commit(decision.record->lsn);
  if (!ack.applied) return error{ack.status, ack.detail};
  static_cast<void>(schemas::encode(ack));
  return {};
}

result<void> fill(ps::shard& to, push_source& from, std::span<const std::uint64_t> keys) {
  std::vector<std::uint64_t> batch;
  while (!keys.empty()) {
    const auto some = keys.first(std::min(keys.size(), gate_batch_rows));
    batch.assign(some.begin(), some.end());
    std::sort(batch.begin(), batch.end());
    if (auto done = push_without_log(to, from.next(batch)); !done) return done;
    keys = keys.subspan(some.size());
  }
  return {};
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

result<double> rate_of_threads(unsigned threads,
                               double seconds,
                               const std::function<result<std::size_t>(unsigned)>& step) {
  std::latch begin(threads);
  std::vector<double> rates(threads, 0);
  std::vector<result<void>> ends(threads);
  const auto run = [&](unsigned thread) {
    begin.arrive_and_wait();
    const auto from = std::chrono::steady_clock::now();
    std::size_t rows = 0;
    while (seconds_since(from) < seconds) {
      const auto handled = step(thread);
      if (!handled) {
        ends[thread] = handled.error();
        return;
      }
      rows += *handled;
    }
    rates[thread] = static_cast<double>(rows) / seconds_since(from);
  };
  std::vector<std::thread> running;
  for (unsigned thread = 0; thread < threads; ++thread) running.emplace_back(run, thread);
  for (std::thread& each : running) each.join();
  double sum = 0;
  for (unsigned thread = 0; thread < threads; ++thread) {
    if (!ends[thread]) return ends[thread].error();
    sum += rates[thread];
  }
  return sum;
}

}  // namespace headrace::bench
