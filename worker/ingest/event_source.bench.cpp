#include "worker/ingest/event_source.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <benchmark/benchmark.h>

#include <filesystem>
#include <fstream>

// Rows a second from a source to events. The Criteo layout is 40 columns, about 400 bytes a row.
namespace headrace::worker {
namespace {

source_spec criteo_like(std::uint64_t rows) {
  const auto path = std::filesystem::temp_directory_path() / "headrace_event_source.bench.tsv";
  source_spec spec;
  spec.uri = path.string();
  spec.separator = "\t";
  spec.header = false;
  spec.columns = {"label"};
  spec.label = {"label", label_spec::comparison::greater, 0.5};
  std::ofstream out(path);
  random_stream random(1);
  for (int c = 0; c < 39; ++c) {
    feature_spec feature;
    feature.name = (c < 13 ? "i" : "c") + std::to_string(c);
    spec.columns.push_back(feature.name);
    if (c < 13) {
      feature.kind = feature_kind::float_value;
      feature.transforms = {transform::log1p, transform::bucket};
      feature.bucket_width = 0.5;
    }
    spec.features.push_back(feature);
  }
  for (std::uint64_t row = 0; row < rows; ++row) {
    out << random.next() % 2;
    for (int c = 0; c < 39; ++c) {
      out << '\t';
      if (random.next() % 8 == 0) continue;
      out << (c < 13 ? random.next() % 1000 : random.next() >> 24);
    }
    out << '\n';
  }
  return spec;
}

void drain(benchmark::State& state, const source_spec& spec) {
  std::int64_t rows = 0;
  for (auto each : state) {
    auto source = make_source(spec);
    CHECK(source.ok());
    event next;
    while (*(*source)->next(next)) ++rows;
    benchmark::DoNotOptimize(next);
  }
  state.SetItemsProcessed(rows);
}

void read_criteo_like(benchmark::State& state) {
  const source_spec spec = criteo_like(100'000);
  drain(state, spec);
  std::filesystem::remove(spec.uri);
}
BENCHMARK(read_criteo_like)->Unit(benchmark::kMillisecond);

void generate_planted(benchmark::State& state) {
  source_spec spec;
  spec.generate = generator::planted;
  spec.rows = 100'000;
  drain(state, spec);
}
BENCHMARK(generate_planted)->Unit(benchmark::kMillisecond);

void skip_planted(benchmark::State& state) {
  source_spec spec;
  spec.generate = generator::planted;
  for (auto each : state) {
    auto source = make_source(spec);
    CHECK((*source)->skip(24'000).ok());
  }
}
BENCHMARK(skip_planted)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace headrace::worker
