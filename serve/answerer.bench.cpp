// What one request costs a scoring thread, from text to text: predict_bench. Rows are held in int8
// where a replica holds them so, and are learned by nobody. Times are of the processor: compare
// them with the period of requests.
#include "serve/answerer.hpp"

#include "base/random.hpp"
#include "serve/test_serving.hpp"

#include <benchmark/benchmark.h>

#include <string>

namespace headrace::serve {
namespace {

using worker::planted_source;

constexpr std::uint64_t ids = 2'000;  // of each field

std::string column(std::size_t f, random_stream& draw) {
  if (f < planted_source::id_fields)
    return "\"id" + std::to_string(f + 1) + "\":" + std::to_string(draw.next_below(ids));
  return "\"number" + std::to_string(f + 1 - planted_source::id_fields) +
         "\":" + std::to_string(draw.next_unit());
}

// The user has every even column, a candidate every odd one.
std::string planted_request(std::size_t candidates) {
  random_stream draw(7);
  const auto columns = [&](std::size_t first) {
    std::string text = "{";
    for (std::size_t f = first; f < planted_source::id_fields + planted_source::dense_fields;
         f += 2)
      text += (f > first ? "," : "") + column(f, draw);
    return text + "}";
  };
  std::string text = "{\"user\":" + columns(0) + ",\"candidates\":[";
  for (std::size_t i = 0; i < candidates; ++i) text += (i > 0 ? "," : "") + columns(1);
  return text + "]}";
}

struct planted {
  planted() : job("planted", source(), "deepfm"), rows(job.empty_replica(true)) {
    std::vector<std::uint64_t> keys;
    for (std::size_t f = 0; f < planted_source::id_fields + planted_source::dense_fields; ++f) {
      for (std::uint64_t id = 0; id < (f < planted_source::id_fields ? ids : 1); ++id)
        keys.push_back(planted_source::key_of(f, id));
    }
    job.teach(*rows, keys, 1, true);
  }
  static worker::source_spec source() {
    worker::source_spec made;
    made.generate = worker::generator::planted;
    return made;
  }
  test_job job;
  std::shared_ptr<replica> rows;
};

/// DeepFM, dim 16, 26 ids and 13 numbers: one user, so many candidates.
void predict_deepfm(benchmark::State& state) {
  const planted of;
  answerer answers(of.job.model(), of.rows, 4'096);
  const std::string text = planted_request(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    CHECK(answers.add(text, answerer::form::friendly).ok());
    benchmark::DoNotOptimize(answers.predict(1));
  }
}
BENCHMARK(predict_deepfm)->Arg(1)->Arg(100)->Arg(500)->Unit(benchmark::kMicrosecond);

/// The same, but for the model: the request becomes a batch.
void read_request(benchmark::State& state) {
  const planted of;
  request_json requests(*of.job.model(), 4'096);
  const std::string text = planted_request(100);
  worker::event shared;
  worker::event sample;
  for (auto _ : state) {
    CHECK(requests.predict(text).ok());
    const auto& columns = requests.columns();
    const auto known = of.job.model()->look_up(columns);
    CHECK(of.job.model()->parse(columns, *known, 0, nullptr, shared).ok());
    for (std::size_t i = 1; i < columns.events.size(); ++i)
      CHECK(of.job.model()->parse(columns, *known, i, &shared, sample).ok());
  }
}
BENCHMARK(read_request)->Unit(benchmark::kMicrosecond);

/// DIN over 50 behaviours, one user and 100 candidates.
void predict_din(benchmark::State& state) {
  worker::source_spec source = shop();
  source.features[3].list_max = 50;
  const test_job job("shop", source, "din");
  const auto rows = job.empty_replica(true);
  const worker::feature_writer item(source.features[1]);
  std::vector<std::uint64_t> keys;
  std::string text = R"({"user":{"user":"u1","history":[)";
  for (int i = 0; i < 50; ++i) text += (i > 0 ? ",\"i" : "\"i") + std::to_string(i) + "\"";
  text += R"(]},"candidates":[)";
  for (int i = 0; i < 100; ++i) {
    text += (i > 0 ? ",{\"item\":\"i" : "{\"item\":\"i") + std::to_string(i) + "\",\"cents\":25}";
    keys.push_back(item.key_of("i" + std::to_string(i)));
  }
  text += "]}";
  job.teach(*rows, keys, 1, true);
  answerer answers(job.model(), rows, 4'096);
  for (auto _ : state) {
    CHECK(answers.add(text, answerer::form::friendly).ok());
    benchmark::DoNotOptimize(answers.predict(1));
  }
}
BENCHMARK(predict_din)->Unit(benchmark::kMicrosecond);

void look_up_100_rows(benchmark::State& state) {
  const planted of;
  answerer answers(of.job.model(), of.rows, 4'096);
  std::string text = R"({"feature":"id1","ids":[)";
  for (int i = 0; i < 100; ++i) text += (i > 0 ? "," : "") + std::to_string(i * 17);
  text += "]}";
  for (auto _ : state) {
    auto made = answers.lookup("embedding", text, 1);
    CHECK(made.ok());
    benchmark::DoNotOptimize(made);
  }
}
BENCHMARK(look_up_100_rows)->Unit(benchmark::kMicrosecond);

void explain_with_64_permutations(benchmark::State& state) {
  const planted of;
  answerer answers(of.job.model(), of.rows, 4'096);
  std::string text = planted_request(1);
  text.replace(text.find("\"candidates\":["), 14, "\"candidate\":");
  text.replace(text.size() - 2, 2, "}");
  for (auto _ : state) {
    auto made = answers.explain(text, 1);
    CHECK(made.ok());
    benchmark::DoNotOptimize(made);
  }
}
BENCHMARK(explain_with_64_permutations)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace headrace::serve
