#include "schemas/event.hpp"

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

// 1,000 events of about 200 bytes with six columns each. Compare with `copy_events`, one copy of
// their frame.
namespace headrace::schemas {
namespace {

constexpr std::size_t events = 1'000;

void build(event_batch_builder& builder) {
  builder.begin("bench");
  for (std::size_t i = 0; i < events; ++i) {
    const std::string number = std::to_string(1'000'000 + i);
    builder.event("e" + number, "r" + number, 1'700'000'000'000 + i);
    builder.text(builder.name("user"), "u" + number);
    builder.integer(builder.name("item"), static_cast<std::int64_t>(i));
    builder.number(builder.name("price"), 0.5 * static_cast<double>(i));
    builder.text(builder.name("category"), "books");
    builder.integer(builder.name("place"), static_cast<std::int64_t>(i % 10));
    builder.integer(builder.name("rating"), static_cast<std::int64_t>(i % 5));
  }
}

void count_events(benchmark::State& state, std::size_t bytes) {
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * events));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes));
  state.counters["event_bytes"] = static_cast<double>(bytes) / events;
}

void copy_events(benchmark::State& state) {
  event_batch_builder builder;
  build(builder);
  const frame bytes = builder.finish();
  for (auto _ : state) benchmark::DoNotOptimize(frame::copy_of(bytes.bytes()));
  count_events(state, bytes.size());
}
BENCHMARK(copy_events);

void decode_events(benchmark::State& state) {
  event_batch_builder builder;
  build(builder);
  const frame bytes = builder.finish();
  event_batch into;
  for (auto _ : state) {
    const auto done = decode_event_batch(bytes, into);
    if (!done.ok()) state.SkipWithError("refused");
  }
  count_events(state, bytes.size());
}
BENCHMARK(decode_events);

void encode_events(benchmark::State& state) {
  event_batch_builder builder;
  build(builder);
  for (auto _ : state) benchmark::DoNotOptimize(builder.finish());
  count_events(state, builder.finish().size());
}
BENCHMARK(encode_events);

void build_events(benchmark::State& state) {
  event_batch_builder builder;
  for (auto _ : state) build(builder);
  count_events(state, builder.finish().size());
}
BENCHMARK(build_events);

}  // namespace
}  // namespace headrace::schemas
