#include "kernels/ranking/ranking.hpp"

#include "kernels/gemm/gemm.hpp"
#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

/// 256 users against 8,192 items, 50 of them excluded for each; an item is one score. Peer: the
/// bare product, which stores its scores and ranks nothing.
void ranking_batch(benchmark::State& state) {
  constexpr std::size_t users = 256;
  constexpr std::size_t items = 8192;
  const std::size_t dim = static_cast<std::size_t>(state.range(0));
  const std::vector<float> x = random_floats(users * dim);
  const std::vector<float> table = random_floats(items * dim, 2);
  std::vector<std::uint32_t> positives(users, 77);
  std::vector<std::uint32_t> excluded;
  std::vector<std::uint32_t> offsets = {0};
  for (std::size_t u = 0; u < users; ++u) {
    for (std::size_t i = 0; i < 50; ++i)
      excluded.push_back(static_cast<std::uint32_t>(160 * i + u));
    offsets.push_back(static_cast<std::uint32_t>(excluded.size()));
  }
  std::vector<double> ranks(users);
  std::vector<float> scores(users * items);
  std::vector<float> workspace(std::max(ranking_workspace(dim), gemm_workspace(users, items, dim)));
  const ranking_args args = {.x = x,
                             .items = table,
                             .dim = dim,
                             .positives = positives,
                             .excluded = excluded,
                             .excluded_offsets = offsets,
                             .ranks = ranks,
                             .workspace = workspace};
  const gemm_args product = {.a = x.data(),
                             .a_stride = dim,
                             .b = table.data(),
                             .b_stride = dim,
                             .b_transposed = true,
                             .c = scores.data(),
                             .c_stride = items,
                             .m = users,
                             .n = items,
                             .k = dim,
                             .workspace = workspace};
  compare(
      state,
      users * items,
      0,
      [&args](std::size_t) { ranking(args); },
      [&product](std::size_t) { gemm(product); });
}
BENCHMARK(ranking_batch)->Arg(32)->Arg(64)->Arg(256)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
