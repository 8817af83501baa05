#include "kernels/gather_rows/gather_rows.hpp"

#include "kernels/runtime/bench_cases.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

#include <algorithm>
#include <cstring>

namespace headrace::kernels {
namespace {

constexpr std::size_t pull_rows = 4096;
constexpr std::size_t pulls = 512;  // 134 MB of rows or more: nothing stays in cache
constexpr std::size_t table_bytes = std::size_t{1} << 30;

/// Pulls of random rows from a table of 1 GiB on huge pages.
struct pull_case {
  pull_case(value_format format, value_format asked, std::size_t dim)
      : stored(format),
        to(asked),
        row_bytes(stored_bytes(stored, dim)),
        value_row_bytes(dim * value_bytes(to)),
        table(table_bytes),
        rows(pulls),
        values(pull_rows * value_row_bytes),
        scales(to == value_format::int8 ? pull_rows : 0) {
    for (std::size_t p = 0; p < pulls; ++p) {
      for (const std::size_t place : random_places(pull_rows, table_bytes / row_bytes, p + 1)) {
        rows[p].push_back(table.data() + place * row_bytes);
      }
    }
    random_stream random(1);
    for (std::size_t i = 0; i < table_bytes; i += 2) {  // halves of moderate size in any format
      table.data()[i] = static_cast<std::byte>(random.next());
      table.data()[i + 1] = std::byte{0x38};
    }
  }
  value_format stored;
  value_format to;
  std::size_t row_bytes;
  std::size_t value_row_bytes;
  huge_buffer<std::byte> table;
  std::vector<std::vector<const std::byte*>> rows;
  std::vector<std::byte> values;
  std::vector<std::uint16_t> scales;
};

/// Limit: memcpy of the larger side's bytes from one place in the same table, a new place each
/// call.
void copy_block(pull_case& one, std::vector<std::byte>& to, std::size_t call) {
  const std::size_t blocks = table_bytes / to.size();
  std::memcpy(to.data(), one.table.data() + (call * 7919 % blocks) * to.size(), to.size());
  benchmark::ClobberMemory();
}

void gather_rows_from(benchmark::State& state, value_format stored, value_format to) {
  const std::size_t dim = static_cast<std::size_t>(state.range(0));
  pull_case one(stored, to, dim);
  std::vector<std::byte> copy(pull_rows * std::max(one.row_bytes, one.value_row_bytes));
  compare(
      state,
      pull_rows,
      one.row_bytes + one.value_row_bytes,
      [&](std::size_t call) {
        gather_rows({.stored = stored,
                     .rows = one.rows[call % pulls],
                     .dim = dim,
                     .to = to,
                     .values = one.values,
                     .scales = one.scales});
      },
      [&](std::size_t call) { copy_block(one, copy, call); });
}

#define PULL(name, stored, to) \
  BENCHMARK_CAPTURE(gather_rows_from, name, stored, to)->Arg(16)->Arg(64)->UseManualTime()
PULL(fp32_to_fp32, value_format::fp32, value_format::fp32);
PULL(fp32_to_int8, value_format::fp32, value_format::int8);
PULL(fp32_to_bf16, value_format::fp32, value_format::bf16);
PULL(fp32_to_fp16, value_format::fp32, value_format::fp16);
PULL(bf16_to_bf16, value_format::bf16, value_format::bf16);
PULL(bf16_to_fp32, value_format::bf16, value_format::fp32);
PULL(fp16_to_int8, value_format::fp16, value_format::int8);
PULL(int8_to_fp32, value_format::int8, value_format::fp32);
#undef PULL

}  // namespace
}  // namespace headrace::kernels
