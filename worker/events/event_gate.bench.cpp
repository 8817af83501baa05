#include "worker/events/event_gate.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

// Events a second of one thread's CPU time: decoding alone, decoding and judging, making samples,
// and ids alone. Batches of 1,000 events of about 200 bytes with six columns.
namespace headrace::worker {
namespace {

constexpr std::size_t batch_events = 1'000;
constexpr std::uint64_t now = 1'764'237'600'000;

source_spec six_columns() {
  source_spec source;
  source.label = {"rating", label_spec::comparison::greater_equal, 4.0};
  for (const char* name : {"user", "item", "page", "price", "age"}) {
    feature_spec feature;
    feature.name = name;
    const bool is_number = feature.name == "price" || feature.name == "age";
    feature.kind = is_number ? feature_kind::float_value : feature_kind::id;
    source.features.push_back(feature);
  }
  source.features.back().transforms = {transform::log1p, transform::bucket};
  source.features.back().bucket_width = 0.5;
  return source;
}

event_gate made_gate(std::uint64_t duplicate_ids) {
  auto schema = event_schema::bind(six_columns());
  CHECK(schema.ok());
  event_gate::settings how;
  how.duplicate_ids = duplicate_ids;
  return event_gate(how, std::move(*schema));
}

frame made_batch(std::uint64_t number) {
  schemas::event_batch_builder builder;
  builder.begin("bench");
  random_stream random(number);
  const auto user = builder.name("user");
  const auto item = builder.name("item");
  const auto page = builder.name("page");
  const auto price = builder.name("price");
  const auto age = builder.name("age");
  const auto rating = builder.name("rating");
  for (std::size_t i = 0; i < batch_events; ++i) {
    const std::string id = std::to_string(mix64(number * batch_events + i));
    builder.event(id, id, now);
    builder.text(user, "u" + std::to_string(random.next_below(1'000'000)));
    builder.integer(item, static_cast<std::int64_t>(random.next_below(1'000'000)));
    builder.text(page, "/shop/" + std::to_string(random.next_below(100)));
    builder.number(price, static_cast<double>(random.next_below(10'000)) / 100.0);
    builder.integer(age, static_cast<std::int64_t>(random.next_below(100)));
    builder.integer(rating, static_cast<std::int64_t>(random.next_below(6)));
  }
  return builder.finish();
}

// More ids than the gate remembers, so that none is a duplicate.
std::vector<frame> made_batches(std::uint64_t count) {
  std::vector<frame> batches;
  for (std::uint64_t b = 0; b < count; ++b) batches.push_back(made_batch(b));
  return batches;
}

void decode_alone(benchmark::State& state) {
  const auto batches = made_batches(100);
  schemas::event_batch batch;
  std::size_t at = 0;
  for (auto each : state) {
    CHECK(schemas::decode_event_batch(batches[at++ % batches.size()], batch).ok());
    benchmark::DoNotOptimize(batch);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * batch_events));
}
BENCHMARK(decode_alone)->Unit(benchmark::kMicrosecond);

void decode_and_judge(benchmark::State& state) {
  const auto batches = made_batches(100);
  event_gate gate = made_gate(static_cast<std::uint64_t>(state.range(0)));
  schemas::event_batch batch;
  std::size_t at = 0;
  for (auto each : state) {
    CHECK(schemas::decode_event_batch(batches[at++ % batches.size()], batch).ok());
    CHECK(gate.judge(batch, now).ack.accepted == batch_events);
    gate.commit();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * batch_events));
}
BENCHMARK(decode_and_judge)->Arg(0)->Arg(65'536)->Unit(benchmark::kMicrosecond);

void judge(benchmark::State& state) {
  const auto batches = made_batches(100);
  std::vector<schemas::event_batch> decoded;
  for (const frame& each : batches) decoded.push_back(*schemas::decode_event_batch(each));
  event_gate gate = made_gate(static_cast<std::uint64_t>(state.range(0)));
  std::size_t at = 0;
  for (auto each : state) {
    CHECK(gate.judge(decoded[at++ % decoded.size()], now).ack.accepted == batch_events);
    gate.commit();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * batch_events));
}
BENCHMARK(judge)->Arg(0)->Arg(65'536)->Unit(benchmark::kMicrosecond);

void parse(benchmark::State& state) {
  const auto decoded = *schemas::decode_event_batch(made_batch(1));
  const auto schema = *event_schema::bind(six_columns());
  const auto known = schema.look_up(decoded);
  event into;
  for (auto each : state) {
    for (std::size_t i = 0; i < batch_events; ++i) schema.parse(decoded, known, i, into);
    benchmark::DoNotOptimize(into);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * batch_events));
}
BENCHMARK(parse)->Unit(benchmark::kMicrosecond);

// New ids of 20 bytes into a full window: one falls out for each.
void add_ids(benchmark::State& state) {
  const auto ids_max = static_cast<std::uint64_t>(state.range(0));
  duplicate_window window(ids_max);
  std::vector<std::string> ids;
  for (std::uint64_t i = 0; i < 2 * ids_max; ++i) ids.push_back(std::to_string(mix64(i)));
  for (std::uint64_t i = 0; i < ids_max; ++i) window.add(ids[i]);
  window.settle(window.open());
  std::uint64_t at = ids_max;
  for (auto each : state) {
    CHECK(window.add(ids[at]));
    window.settle(1);
    at = at + 1 == ids.size() ? 0 : at + 1;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
  state.counters["bytes_an_id"] =
      static_cast<double>(window.bytes()) / static_cast<double>(ids_max);
}
BENCHMARK(add_ids)->Arg(1 << 12)->Arg(1 << 20);

}  // namespace
}  // namespace headrace::worker
