#include "bench/moe/moe.hpp"

#include "bench/moe/texts.hpp"
#include "bench/torch/beside_torch.hpp"
#include "bench/torch/texts.hpp"

#include <cstdio>
#include <string>

namespace headrace::bench {
namespace {

layer_case case_of(const moe_shape& shape) {
  const auto& [tokens, dim, hidden, experts, per_token] = shape;
  const auto text = [](std::size_t n) { return std::to_string(n); };
  return {.bench = "moe",
          .point = "t" + text(tokens) + "_d" + text(dim) + "_h" + text(hidden) + "_e" +
                   text(experts) + "_k" + text(per_token),
          .words = text(tokens) + " tokens, dim " + text(dim) + ", hidden " + text(hidden) + ", " +
                   text(experts) + " experts, top " + text(per_token) +
                   ", relu; forward and backward",
          .item = "token",
          .items = static_cast<double>(tokens),
          .flop = moe_flop(shape),
          .script = std::string(torch_layer_script) + std::string(moe_script),
          .sizes = {text(tokens), text(dim), text(hidden), text(experts), text(per_token)}};
}

}  // namespace

int run_bench_moe(const moe_options& options,
                  const std::function<bool(std::chrono::milliseconds)>& stop) {
  const auto measure = [&options](const run_facts& facts) -> result<void> {
    moe_layer layer(options.shape, options.run.threads);
    const auto point = measure_beside_torch(layer, case_of(options.shape), options.run);
    if (!point) return point.error();
    std::puts((options.run.json ? to_json(*point, facts) : to_table(*point)).c_str());
    return {};
  };
  return run_layer_bench(
      "moe", {"--batch", std::to_string(options.shape.tokens)}, options.run, measure, stop);
}

}  // namespace headrace::bench
