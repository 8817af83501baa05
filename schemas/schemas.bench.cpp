#include "schemas/hash.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"
#include "schemas/schema.hpp"

#include <benchmark/benchmark.h>

#include <cstring>
#include <numeric>
#include <vector>

// The rows64 shape: 4,096 rows of 64 fp32, 1 MiB of values. Compare with `copy_values`, one copy of
// them.
namespace headrace::schemas {
namespace {

constexpr std::size_t rows = 4'096;
constexpr std::size_t dim = 64;

struct block_data {
  std::vector<std::uint64_t> keys = std::vector<std::uint64_t>(rows);
  std::vector<float> values = std::vector<float>(rows * dim, 0.25F);
  block_data() { std::iota(keys.begin(), keys.end(), 0); }
};

push_section push_of(const block_data& data) {
  push_section section;
  section.source = {"bench", 1};
  section.batch = batch_number{2};
  section.prev = batch_number{1};
  row_block block;
  block.dim = dim;
  block.keys = data.keys;
  block.values = std::as_bytes(std::span(data.values));
  section.blocks.push_back(block);
  return section;
}

void count_values(benchmark::State& state) {
  state.SetBytesProcessed(
      static_cast<std::int64_t>(state.iterations() * rows * dim * sizeof(float)));
}

void copy_values(benchmark::State& state) {
  const block_data data;
  std::vector<float> to(rows * dim);
  for (auto _ : state) {
    std::memcpy(to.data(), data.values.data(), to.size() * sizeof(float));
    benchmark::ClobberMemory();
  }
  count_values(state);
}
BENCHMARK(copy_values);

void encode_push(benchmark::State& state) {
  const block_data data;
  const push_section section = push_of(data);
  for (auto _ : state) benchmark::DoNotOptimize(encode(section));
  count_values(state);
}
BENCHMARK(encode_push);

/// As in a pipeline: eight frames in flight, the oldest freed when the next is made.
void encode_push_in_flight(benchmark::State& state) {
  const block_data data;
  const push_section section = push_of(data);
  std::vector<frame> window(8);
  std::size_t at = 0;
  for (auto _ : state) window[at++ % window.size()] = encode(section);
  count_values(state);
}
BENCHMARK(encode_push_in_flight)->ThreadRange(1, 2);

void decode_push_frame(benchmark::State& state) {
  const block_data data;
  const frame bytes = encode(push_of(data));
  for (auto _ : state) benchmark::DoNotOptimize(decode_push(bytes));
  count_values(state);
}
BENCHMARK(decode_push_frame);

void encode_advance(benchmark::State& state) {
  push_section section;
  section.source = {"bench", 1};
  for (auto _ : state) benchmark::DoNotOptimize(encode(section));
}
BENCHMARK(encode_advance);

void encode_and_decode_ack(benchmark::State& state) {
  const push_ack ack;
  for (auto _ : state) benchmark::DoNotOptimize(decode_push_ack(encode(ack)));
}
BENCHMARK(encode_and_decode_ack);

/// The shard's side: rows are written straight into the message.
void build_pull_reply(benchmark::State& state) {
  const block_data data;
  const pulled_block_layout layout{table_id{0}, dim, value_codec::fp32, rows};
  for (auto _ : state) {
    pull_reply_builder builder({}, std::span(&layout, 1));
    std::memcpy(builder.block(0).values.data(), data.values.data(), rows * dim * sizeof(float));
    benchmark::DoNotOptimize(builder.finish());
  }
  count_values(state);
}
BENCHMARK(build_pull_reply);

void decode_pull_reply_frame(benchmark::State& state) {
  const pulled_block_layout layout{table_id{0}, dim, value_codec::fp32, rows};
  pull_reply_builder builder({}, std::span(&layout, 1));
  std::memset(builder.block(0).values.data(), 0, builder.block(0).values.size());
  const frame bytes = builder.finish();
  for (auto _ : state) benchmark::DoNotOptimize(decode_pull_reply(bytes));
  count_values(state);
}
BENCHMARK(decode_pull_reply_frame);

void shard_of_keys(benchmark::State& state) {
  const block_data data;
  const auto shards = static_cast<std::uint32_t>(state.range(0));
  for (auto _ : state) {
    std::uint32_t sum = 0;
    for (const std::uint64_t key : data.keys) sum += shard_of(row_key{key}, shards).value;
    benchmark::DoNotOptimize(sum);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * rows));
}
BENCHMARK(shard_of_keys)->Arg(4)->Arg(6);

void hash_a_string_key(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(hash_string_key("user_id", "196"));
}
BENCHMARK(hash_a_string_key);

}  // namespace
}  // namespace headrace::schemas
