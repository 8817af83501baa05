#include "kernels/sparse_update/sparse_update.hpp"

#include "kernels/runtime/bench_cases.hpp"
#include "kernels/runtime/float_mode.hpp"
#include "kernels/runtime/prefetch.hpp"
#include "kernels/runtime/value_format.hpp"

namespace headrace::kernels {
namespace {

constexpr std::size_t push_rows = 4096;
constexpr std::size_t pushes =
    512;  // different rows from call to call, 134 MB or more: nothing stays in cache
constexpr std::size_t table_bytes = std::size_t{1} << 30;

/// Limit: the same lines of the table read, changed by one float and written back, at the same
/// distance, and the same lines of the push read.
void touch_rows(std::span<float* const> rows, std::size_t row_floats, std::span<const char> push) {
  constexpr std::size_t line_floats = 16;
  constexpr std::size_t line = 64;
  std::size_t at = 0;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (r + prefetch_rows_ahead < rows.size()) {
      prefetch_row(rows[r + prefetch_rows_ahead], row_floats * sizeof(float));
    }
    float sum = 1.0F;
    for (; at < (r + 1) * push.size() / rows.size(); at += line)
      sum += static_cast<float>(push[at]);
    for (std::size_t c = 0; c < row_floats; c += line_floats) rows[r][c] += sum;
  }
}

/// A push of 4,096 random rows into a table of 1 GiB on huge pages.
void sparse_update_push(benchmark::State& state, update_rule rule, value_format format) {
  const float_mode mode;
  const std::size_t dim = static_cast<std::size_t>(state.range(0));
  const std::size_t row_floats = dim + state_words(rule, dim);
  huge_buffer<float> table(table_bytes / sizeof(float));
  std::vector<std::vector<float*>> rows(pushes);
  for (std::size_t p = 0; p < pushes; ++p) {
    for (const std::size_t place : random_places(push_rows, table.size() / row_floats, p + 1)) {
      rows[p].push_back(table.data() + place * row_floats);
    }
  }
  const std::size_t values = push_rows * dim;
  const std::vector<float> gradients = random_floats(format == value_format::fp32 ? values : 0);
  const std::vector<std::int8_t> codes(format == value_format::int8 ? values : 0, std::int8_t{3});
  const std::vector<std::uint16_t> scales(codes.empty() ? 0 : push_rows, std::uint16_t{0x2000});
  const std::vector<std::uint16_t> brains(format == value_format::bf16 ? values : 0,
                                          std::uint16_t{0x3C00});
  const std::vector<char> push(values * value_bytes(format));  // as many bytes for the limit
  compare(
      state,
      push_rows,
      2 * row_floats * sizeof(float),
      [&](std::size_t call) {
        sparse_update({.rows = rows[call % pushes],
                       .dim = dim,
                       .gradients = gradients,
                       .codes = codes,
                       .scales = scales,
                       .brains = brains,
                       .rule = rule,
                       .rate = 0.05F,
                       .momentum = 0.9F,
                       .beta1 = 0.9F,
                       .beta2 = 0.999F,
                       .weight_decay = 0.01F,
                       .ftrl_l1 = 0.001F,
                       .ftrl_l2 = 0.001F,
                       .ftrl_beta = 1.0F});
      },
      [&](std::size_t call) { touch_rows(rows[(call + pushes / 2) % pushes], row_floats, push); });
}

#define PUSH(name, rule, format) \
  BENCHMARK_CAPTURE(sparse_update_push, name, rule, format)->Arg(16)->Arg(64)->UseManualTime()
PUSH(add_fp32, update_rule::add, value_format::fp32);
PUSH(add_int8, update_rule::add, value_format::int8);
PUSH(add_bf16, update_rule::add, value_format::bf16);
PUSH(sgd_fp32, update_rule::sgd, value_format::fp32);
PUSH(sgd_int8, update_rule::sgd, value_format::int8);
PUSH(adagrad_fp32, update_rule::adagrad, value_format::fp32);
PUSH(adagrad_int8, update_rule::adagrad, value_format::int8);
PUSH(momentum_int8, update_rule::momentum, value_format::int8);
PUSH(rowwise_adagrad_int8, update_rule::rowwise_adagrad, value_format::int8);
PUSH(adam_int8, update_rule::adam, value_format::int8);
PUSH(adamw_int8, update_rule::adamw, value_format::int8);
PUSH(ftrl_int8, update_rule::ftrl, value_format::int8);
#undef PUSH

}  // namespace
}  // namespace headrace::kernels
