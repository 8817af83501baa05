#include "worker/events/event_json.hpp"

#include <benchmark/benchmark.h>

#include <simdjson.h>
#include <string>
#include <vector>

// 1,000 events of about 170 bytes as JSON: read into a builder, beside what the library needs to
// parse the same bytes and do nothing with them.
namespace headrace::worker {
namespace {

constexpr std::size_t events = 1'000;

std::string event_text(std::size_t i) {
  const std::string number = std::to_string(1'000'000 + i);
  return R"({"id":"e)" + number + R"(","key":"r)" + number + R"(","time":)" +
         std::to_string(1'764'237'600'000 + i) + R"(,"features":{"user":"u)" + number +
         R"(","item":)" + std::to_string(i) +
         R"(,"price":12.75,"category":"books","place":3},"rating":5,"seen":["i1","i2"]})";
}

std::string texts(std::string_view open, std::string_view between, std::string_view close) {
  std::string all(open);
  for (std::size_t i = 0; i < events; ++i) {
    if (i > 0) all += between;
    all += event_text(i);
  }
  return all += close;
}

void count_events(benchmark::State& state, std::size_t bytes) {
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * events));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes));
  state.counters["event_bytes"] = static_cast<double>(bytes) / events;
}

void read_text(benchmark::State& state, const std::string& text) {
  event_json_reader reader;
  schemas::event_batch_builder builder;
  std::vector<schemas::event_refusal> refused;
  for (auto _ : state) {
    builder.begin("bench");
    const auto done = reader.read(text, {}, builder, refused);
    if (!done.ok() || builder.events() != events) state.SkipWithError("refused");
  }
  count_events(state, text.size());
}

void parse_and_do_nothing(benchmark::State& state) {
  const simdjson::padded_string text(texts("[", ",", "]"));
  simdjson::dom::parser parser;
  for (auto _ : state) {
    simdjson::dom::element all;
    if (parser.parse(text).get(all) != simdjson::SUCCESS) state.SkipWithError("no JSON");
    benchmark::DoNotOptimize(all);
  }
  count_events(state, text.size());
}
BENCHMARK(parse_and_do_nothing);

void read_json_list(benchmark::State& state) { read_text(state, texts("[", ",", "]")); }
BENCHMARK(read_json_list);

void read_json_lines(benchmark::State& state) { read_text(state, texts("", "\n", "")); }
BENCHMARK(read_json_lines);

}  // namespace
}  // namespace headrace::worker
