#include "bench/attention/attention.hpp"

#include "bench/attention/own_points.hpp"
#include "bench/attention/texts.hpp"
#include "bench/torch/beside_torch.hpp"
#include "bench/torch/texts.hpp"

#include <cstdio>
#include <string>
#include <vector>

namespace headrace::bench {
namespace {

constexpr std::size_t window_tokens = 16'384;
constexpr double active_share = 0.35;

/// The workloads of notes/baselines.md, §3d.
const std::vector<attention_shape> workloads = {{.batch = 32, .seq = 200, .dim = 64, .heads = 4},
                                                {.batch = 4, .seq = 2'048, .dim = 256, .heads = 8}};

std::vector<std::string> flags_of(const attention_options& options) {
  if (!options.one_shape) return {};
  return {"--batch",
          std::to_string(options.shape.batch),
          "--seq",
          std::to_string(options.shape.seq),
          "--dim",
          std::to_string(options.shape.dim),
          "--heads",
          std::to_string(options.shape.heads)};
}

layer_case case_of(const attention_shape& shape) {
  const auto& [batch, seq, dim, heads] = shape;
  const auto text = [](std::size_t n) { return std::to_string(n); };
  return {.bench = "attention",
          .point = "b" + text(batch) + "_s" + text(seq) + "_d" + text(dim) + "_h" + text(heads),
          .words = "batch " + text(batch) + ", " + text(seq) + " tokens, dim " + text(dim) + ", " +
                   text(heads) + " heads; forward and backward",
          .item = "sequence",
          .items = static_cast<double>(batch),
          .flop = attention_flop(shape),
          .script = std::string(torch_layer_script) + std::string(attention_script),
          .sizes = {text(batch), text(seq), text(dim), text(heads)}};
}

result<void> measure_layers(const attention_options& options, const run_facts& facts) {
  const auto shapes = options.one_shape ? std::vector{options.shape} : workloads;
  for (const attention_shape& shape : shapes) {
    attention_layer layer(shape, options.run.threads);
    const auto point = measure_beside_torch(layer, case_of(shape), options.run);
    if (!point) return point.error();
    std::puts((options.run.json ? to_json(*point, facts) : to_table(*point)).c_str());
    std::fflush(stdout);
  }
  return {};
}

void measure_own(const attention_options& options, const run_facts& facts) {
  const auto print = [&](const own_point& point) {
    std::puts((options.run.json ? to_json(point, facts) : to_table(point)).c_str());
    std::fflush(stdout);
  };
  print(measure_window(window_tokens, options.run));
  for (const attention_shape& shape : workloads)
    print(measure_gate(shape, active_share, options.run));
}

}  // namespace

int run_bench_attention(const attention_options& options,
                        const std::function<bool(std::chrono::milliseconds)>& stop) {
  const auto measure = [&options](const run_facts& facts) -> result<void> {
    if (auto measured = measure_layers(options, facts); !measured) return measured;
    if (!options.one_shape) measure_own(options, facts);
    return {};
  };
  return run_layer_bench("attention", flags_of(options), options.run, measure, stop);
}

}  // namespace headrace::bench
