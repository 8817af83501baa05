#include "bench/ops/ops.hpp"

#include "bench/ops/texts.hpp"
#include "bench/torch/beside_torch.hpp"
#include "bench/torch/texts.hpp"
#include "kernels/runtime/float_mode.hpp"

#include <cstdio>
#include <string>
#include <vector>

namespace headrace::bench {
namespace {

/// torch_ops.py knows the operator by its name.
std::string script_of(const op_bench& which) {
  return std::string(torch_layer_script) + "op = \"" + std::string(which.name) + "\"\n" +
         std::string(ops_script);
}

}  // namespace

std::span<const op_bench> op_benches() {
  static const std::vector<op_bench> all = [] {
    std::vector<op_bench> found;
    for (const auto& family : {row_op_benches(), product_op_benches(), dense_op_benches()})
      found.insert(found.end(), family.begin(), family.end());
    return found;
  }();
  return all;
}

int run_bench_op(const op_bench& which,
                 const op_options& options,
                 const std::function<bool(std::chrono::milliseconds)>& stop) {
  const auto measure = [&](const run_facts& facts) -> result<void> {
    const kernels::float_mode mode;
    op_case made = which.make(options.batch);
    made.what.bench = which.name;
    made.what.point = "b" + std::to_string(options.batch);
    made.what.item = which.item;
    made.what.items = static_cast<double>(options.batch);
    made.what.script = script_of(which);
    const auto point = measure_beside_torch(*made.body, made.what, options.run);
    if (!point) return point.error();
    std::puts((options.run.json ? to_json(*point, facts) : to_table(*point)).c_str());
    return {};
  };
  return run_layer_bench(std::string(which.name),
                         {"--batch", std::to_string(options.batch)},
                         options.run,
                         measure,
                         stop);
}

}  // namespace headrace::bench
