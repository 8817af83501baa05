#include "kernels/decode_attention/decode_attention.hpp"

#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

using sixteen_bytes = float __attribute__((vector_size(16)));

/// Sum of all values, 64 bytes at a time: as fast as one core reads.
float read_all(std::span<const float> values) {
  sixteen_bytes sums[4] = {};
  const auto* from = reinterpret_cast<const sixteen_bytes*>(values.data());
  for (std::size_t i = 0; i + 16 <= values.size(); i += 16, from += 4) {
    sums[0] += from[0];
    sums[1] += from[1];
    sums[2] += from[2];
    sums[3] += from[3];
  }
  const sixteen_bytes sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  return sum[0] + sum[1] + sum[2] + sum[3];
}

/// A step of decoding. Arguments: slots of a sequence, head_dim, heads of each of 4 key heads,
/// sequences. Peer: a plain read of the same keys and values. An item is a token of a sequence.
void decode_step(benchmark::State& state) {
  const auto argument = [&state](int at) { return static_cast<std::size_t>(state.range(at)); };
  const kv_cache_shape cache = {.sequences = argument(3),
                                .kv_heads = 4,
                                .head_dim = argument(1),
                                .pinned = 8,
                                .window = argument(0) - 8};
  const std::size_t heads = cache.kv_heads * argument(2);
  huge_buffer<float> keys(cache.size());
  huge_buffer<float> values(cache.size());
  for (std::size_t i = 0; i < cache.size(); ++i) {
    keys.data()[i] = static_cast<float>(mix64(i) % 1024) / 1024.0F - 0.5F;
    values.data()[i] = static_cast<float>(mix64(i + 1) % 1024) / 1024.0F;
  }
  const std::vector<float> q = random_floats(cache.sequences * heads * cache.head_dim);
  const std::vector<std::uint32_t> lengths(cache.sequences, 1'000'000);
  std::vector<float> o(q.size());
  std::vector<float> lse(cache.sequences * heads);
  const decode_attention_args args = {.cache = cache,
                                      .q = q,
                                      .keys = keys.span(),
                                      .values = values.span(),
                                      .lengths = lengths,
                                      .heads = heads,
                                      .scale = 0.125F,
                                      .o = o,
                                      .lse = lse};
  compare(
      state,
      cache.sequences * cache.slots(),
      2 * cache.kv_heads * cache.head_dim * sizeof(float),
      [&args](std::size_t) { decode_attention(args); },
      [&keys, &values](std::size_t) {
        benchmark::DoNotOptimize(read_all(keys.span()));
        benchmark::DoNotOptimize(read_all(values.span()));
      });
}
BENCHMARK(decode_step)
    ->Args({264, 64, 1, 256})
    ->Args({264, 128, 1, 128})
    ->Args({2048, 64, 1, 32})
    ->Args({2048, 64, 4, 32})
    ->Args({2048, 64, 8, 32})
    ->Args({264, 64, 1, 1})
    ->Args({264, 32, 1, 256})
    ->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
