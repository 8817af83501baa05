#include "kernels/gather_pool/gather_pool.hpp"

#include "kernels/runtime/bench_cases.hpp"
#include "kernels/runtime/prefetch.hpp"

namespace headrace::kernels {
namespace {

constexpr std::size_t bags = 1024;
constexpr std::size_t bag_length = 20;
constexpr std::size_t batches = 128;  // 168 MB of rows or more: nothing stays in cache
constexpr std::size_t table_bytes = std::size_t{1} << 30;

/// 1,024 bags of 20 rows each, rows at random in 1 GiB on huge pages.
struct pool_case {
  explicit pool_case(std::size_t row_dim)
      : dim(row_dim), table(table_bytes / sizeof(float)), out(bags * row_dim, 0.5F) {
    random_stream random(1);
    for (std::size_t b = 0; b <= bags; ++b)
      offsets.push_back(static_cast<std::uint32_t>(b * bag_length));
    for (std::size_t i = 0; i < batches * bags * bag_length; ++i) {
      occurrences.push_back(static_cast<std::uint32_t>(random.next_below(table.size() / dim)));
    }
  }
  std::span<const std::uint32_t> inverse(std::size_t call) const {
    return std::span(occurrences).subspan((call % batches) * bags * bag_length, bags * bag_length);
  }
  std::size_t dim;
  huge_buffer<float> table;
  std::vector<std::uint32_t> offsets;
  std::vector<std::uint32_t> occurrences;
  std::vector<float> out;
};

/// Limit: one float read of each line of the same number of random rows.
void read_rows(pool_case& one, std::size_t call) {
  const auto inverse = one.inverse(call + batches / 2);
  float sum = 0.0F;
  for (std::size_t i = 0; i < inverse.size(); ++i) {
    if (i + prefetch_rows_ahead < inverse.size()) {
      prefetch_row(one.table.data() + inverse[i + prefetch_rows_ahead] * one.dim,
                   one.dim * sizeof(float));
    }
    for (std::size_t c = 0; c < one.dim; c += 16) sum += one.table.data()[inverse[i] * one.dim + c];
  }
  benchmark::DoNotOptimize(sum);
}

void gather_pool_forward(benchmark::State& state) {
  pool_case one(static_cast<std::size_t>(state.range(0)));
  compare(
      state,
      bags * bag_length,
      one.dim * sizeof(float),
      [&one](std::size_t call) {
        gather_pool({.rows = one.table.span(),
                     .inverse = one.inverse(call),
                     .offsets = one.offsets,
                     .dim = one.dim,
                     .out = one.out});
      },
      [&one](std::size_t call) { read_rows(one, call); });
}
BENCHMARK(gather_pool_forward)->Arg(16)->Arg(64)->UseManualTime();

void gather_pool_gradient(benchmark::State& state) {
  pool_case one(static_cast<std::size_t>(state.range(0)));
  compare(
      state,
      bags * bag_length,
      2 * one.dim * sizeof(float),
      [&one](std::size_t call) {
        gather_pool_backward({.inverse = one.inverse(call),
                              .offsets = one.offsets,
                              .dim = one.dim,
                              .out_gradients = one.out,
                              .row_gradients = one.table.span()});
      },
      [&one](std::size_t call) { read_rows(one, call); });
}
BENCHMARK(gather_pool_gradient)->Arg(16)->Arg(64)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
