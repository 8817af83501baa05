#include "ps/table/row_step.hpp"

#include "kernels/runtime/bench_cases.hpp"
#include "kernels/runtime/float_mode.hpp"
#include "kernels/runtime/prefetch.hpp"
#include "ps/shard/test_push.hpp"

namespace headrace::ps {
namespace {

constexpr std::size_t push_rows = 4'096;
constexpr std::size_t pushes = 512;  // different rows from call to call: nothing stays in cache
constexpr std::size_t table_bytes = std::size_t{1} << 30;

/// Limit: the same lines of the table read, changed by one word and written back, at the same
/// distance.
void touch_rows(std::span<row_header* const> rows, std::size_t bytes) {
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const std::size_t ahead = r + kernels::prefetch_rows_ahead;
    if (ahead < rows.size()) kernels::prefetch_row(rows[ahead], bytes);
    auto* words = reinterpret_cast<std::uint32_t*>(rows[r]);
    for (std::size_t at = 0; at < bytes / 4; at += 16) words[at] += 2;
  }
}

/// An int8 push of 4,096 random rows of 64 weights into a table of 1 GiB on huge pages.
void row_step(benchmark::State& state, schemas::optimizer_kind kind, schemas::value_codec stored) {
  const kernels::float_mode mode;
  auto spec = one_table(kind, 64).tables[0];
  spec.stored = stored;
  const row_shape shape(spec);
  const std::size_t row_bytes = (sizeof(row_header) + shape.payload_bytes + 7) / 8 * 8;
  kernels::huge_buffer<std::byte> table(table_bytes);
  std::vector<std::vector<row_header*>> rows(pushes);
  for (std::size_t p = 0; p < pushes; ++p) {
    for (const std::size_t place :
         kernels::random_places(push_rows, table_bytes / row_bytes, p + 1)) {
      rows[p].push_back(reinterpret_cast<row_header*>(table.data() + place * row_bytes));
    }
  }
  block_data block;
  block.dim = 64;
  block.keys.resize(push_rows);
  block.codes.assign(push_rows * 64, 3);
  block.scales.assign(push_rows, 0x2000);
  const schemas::row_block push = block.view();
  kernels::compare(
      state,
      push_rows,
      2 * row_bytes,
      [&](std::size_t call) { step_rows(spec, shape, rows[call % pushes], push, 0); },
      [&](std::size_t call) { touch_rows(rows[(call + pushes / 2) % pushes], row_bytes); });
}

using schemas::optimizer_kind;
using schemas::value_codec;
#define STEP(name, kind, stored) BENCHMARK_CAPTURE(row_step, name, kind, stored)->UseManualTime()
STEP(adagrad_fp32, optimizer_kind::adagrad, value_codec::fp32);
STEP(adagrad_bf16, optimizer_kind::adagrad, value_codec::bf16);
STEP(adagrad_fp16, optimizer_kind::adagrad, value_codec::fp16);
STEP(adagrad_int8, optimizer_kind::adagrad, value_codec::int8);
STEP(rowwise_adagrad_fp32, optimizer_kind::rowwise_adagrad, value_codec::fp32);
STEP(rowwise_adagrad_bf16, optimizer_kind::rowwise_adagrad, value_codec::bf16);
STEP(rowwise_adagrad_int8, optimizer_kind::rowwise_adagrad, value_codec::int8);
STEP(adam_fp32, optimizer_kind::adam, value_codec::fp32);
STEP(adam_bf16, optimizer_kind::adam, value_codec::bf16);
#undef STEP

}  // namespace
}  // namespace headrace::ps
