#include "kernels/gather_rows/gather_rows.hpp"

#include "kernels/runtime/bench_cases.hpp"

#include <cstring>

namespace headrace::kernels {
namespace {

constexpr std::size_t pull_rows = 4096;
constexpr std::size_t pulls = 512;  // 134 MB of rows or more: nothing stays in cache
constexpr std::size_t table_bytes = std::size_t{1} << 30;

/// Pulls of random rows from a table of 1 GiB on huge pages.
struct pull_case {
  explicit pull_case(std::size_t dim)
      : table(table_bytes / sizeof(float)), rows(pulls), values(pull_rows * dim) {
    for (std::size_t p = 0; p < pulls; ++p) {
      for (const std::size_t place : random_places(pull_rows, table.size() / dim, p + 1)) {
        rows[p].push_back(table.data() + place * dim);
      }
    }
  }
  huge_buffer<float> table;
  std::vector<std::vector<const float*>> rows;
  std::vector<float> values;
};

/// Limit: memcpy of the same bytes from one place in the same table, a new place each call.
void copy_block(pull_case& one, std::size_t call) {
  const std::size_t blocks = one.table.size() / one.values.size();
  const float* from = one.table.data() + (call * 7919 % blocks) * one.values.size();
  std::memcpy(one.values.data(), from, one.values.size() * sizeof(float));
  benchmark::ClobberMemory();
}

void gather_rows_fp32(benchmark::State& state) {
  const std::size_t dim = static_cast<std::size_t>(state.range(0));
  pull_case one(dim);
  compare(
      state,
      pull_rows,
      2 * dim * sizeof(float),
      [&](std::size_t call) {
        gather_rows({.rows = one.rows[call % pulls], .dim = dim, .values = one.values});
      },
      [&](std::size_t call) { copy_block(one, call); });
}
BENCHMARK(gather_rows_fp32)->Arg(16)->Arg(64)->UseManualTime();

void gather_rows_to_int8(benchmark::State& state) {
  const std::size_t dim = static_cast<std::size_t>(state.range(0));
  pull_case one(dim);
  std::vector<std::int8_t> codes(pull_rows * dim);
  std::vector<std::uint16_t> scales(pull_rows);
  random_stream random(1);
  for (float& value : one.table.span()) value = static_cast<float>(random.next() & 0xFFFF) * 1e-3F;
  compare(
      state,
      pull_rows,
      dim * sizeof(float) + dim + 2,
      [&](std::size_t call) {
        gather_rows_int8(
            {.rows = one.rows[call % pulls], .dim = dim, .codes = codes, .scales = scales});
      },
      [&](std::size_t call) { copy_block(one, call); });
}
BENCHMARK(gather_rows_to_int8)->Arg(16)->Arg(64)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
