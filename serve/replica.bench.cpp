#include "serve/replica.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <unordered_set>
#include <vector>

// 1 M int8 rows of 64 columns. Applying decoded deltas of 4,096 random rows, decoding included and
// not, and reading 100 random rows on 1 and 2 threads. rows/s is the counter `rows`.
//   ninja -C build/release serve_bench && build/release/bin/serve_bench
namespace headrace::serve {
namespace {

constexpr std::uint64_t table_rows = 1'000'000;
constexpr std::size_t batch_rows = 4'096;
constexpr std::uint32_t dim = 64;

std::uint64_t key_of(std::uint64_t rank) { return mix64(rank) >> 1; }

frame delta_of(const std::vector<std::uint64_t>& keys) {
  static const std::vector<std::uint16_t> scales(batch_rows, 0x1400);
  static const std::vector<std::byte> values(batch_rows * dim, std::byte{3});
  schemas::delta message;
  message.whole = true;
  message.session = 1;
  message.blocks = {{table_id{0},
                     dim,
                     schemas::value_codec::int8,
                     keys,
                     std::span(scales).first(keys.size()),
                     std::span(values).first(keys.size() * dim),
                     {}}};
  return schemas::encode(message);
}

struct filled {
  filled() {
    schemas::job_schema schema;
    schema.shards = 1;
    schemas::table_spec spec;
    spec.name = "items";
    spec.dim = dim;
    schema.tables.push_back(spec);
    const schemas::value_codec held[] = {schemas::value_codec::int8};
    state = std::make_unique<replica>(schema, held, 5);
    std::vector<std::uint64_t> keys;
    for (std::uint64_t rank = 1; rank <= table_rows; ++rank) {
      keys.push_back(key_of(rank));
      if (keys.size() < batch_rows && rank != table_rows) continue;
      std::ranges::sort(keys);
      apply(*schemas::decode_delta(delta_of(keys)));
      keys.clear();
    }
    random_stream random(42);
    for (int i = 0; i < 64; ++i) {
      std::unordered_set<std::uint64_t> drawn;
      while (drawn.size() < batch_rows) drawn.insert(key_of(1 + random.next_below(table_rows)));
      keys.assign(drawn.begin(), drawn.end());
      std::ranges::sort(keys);
      frames.push_back(delta_of(keys));
      deltas.push_back(*schemas::decode_delta(frames.back()));
    }
  }
  void apply(schemas::delta message) {
    message.follows = number++;
    message.number = message.version = message.head_version = number;
    CHECK(state->apply(message).ok());
  }

  std::unique_ptr<replica> state;
  std::vector<frame> frames;
  std::vector<schemas::delta> deltas;
  std::uint64_t number = 0;
};

filled& one_replica() {
  static filled made;
  return made;
}

void report(benchmark::State& state, std::size_t rows) {
  state.counters["rows"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(rows),
                         benchmark::Counter::kIsRate);
}

void decode(benchmark::State& state) {
  filled& to = one_replica();
  std::size_t next = 0;
  for (auto _ : state) benchmark::DoNotOptimize(schemas::decode_delta(to.frames[next++ % 64]));
  report(state, batch_rows);
  state.counters["bytes_per_row"] =
      static_cast<double>(to.frames[0].size()) / static_cast<double>(batch_rows);
}
BENCHMARK(decode);

void apply(benchmark::State& state) {
  filled& to = one_replica();
  std::size_t next = 0;
  for (auto _ : state) to.apply(to.deltas[next++ % 64]);
  report(state, batch_rows);
  state.counters["bytes_held_per_row"] =
      static_cast<double>(to.state->bytes()) / static_cast<double>(to.state->rows());
}
BENCHMARK(apply);

void read_100(benchmark::State& state) {
  const filled& from = one_replica();
  random_stream random(7 + static_cast<std::uint64_t>(state.thread_index()));
  constexpr std::size_t keys_read = 100;
  std::vector<std::uint64_t> keys(keys_read * 1'024);
  for (std::uint64_t& key : keys) key = key_of(1 + random.next_below(table_rows));
  std::vector<float> values(keys_read * dim);
  std::size_t next = 0;
  for (auto _ : state) {
    const auto some = std::span(keys).subspan(next++ % 1'024 * keys_read, keys_read);
    CHECK(from.state->read(table_id{0}, some, values).ok());
    benchmark::DoNotOptimize(values.data());
  }
  report(state, keys_read);
}
BENCHMARK(read_100);
BENCHMARK(read_100)->Threads(2);

}  // namespace
}  // namespace headrace::serve
