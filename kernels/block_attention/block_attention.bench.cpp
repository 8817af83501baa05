#include "kernels/block_attention/block_attention.hpp"

#include "kernels/attention/attention.hpp"
#include "kernels/runtime/bench_cases.hpp"

#include <algorithm>

namespace headrace::kernels {
namespace {

constexpr std::size_t heads = 4;
constexpr std::size_t head_dim = 32;
constexpr std::size_t width = heads * head_dim;

/// An item is a token of one causal sequence, forward. Peer: plain attention over the sequence.
void block_attention_forward(benchmark::State& state) {
  const auto tokens = static_cast<std::size_t>(state.range(0));
  const auto block = static_cast<std::size_t>(state.range(1));
  const auto qkv = random_floats(tokens * 3 * width);
  const std::vector<std::uint32_t> offsets = {0, static_cast<std::uint32_t>(tokens)};
  const auto needs = block_attention_needs(tokens, 1, tokens, heads, heads, head_dim, block);
  std::vector<float> o(tokens * width);
  std::vector<float> lse(tokens * heads);
  std::vector<float> saved(needs.saved);
  std::vector<float> workspace(needs.workspace);
  std::vector<std::uint32_t> words(needs.words);
  attention_args plain = {.q = qkv.data(),
                          .q_stride = 3 * width,
                          .k = qkv.data() + width,
                          .k_stride = 3 * width,
                          .v = qkv.data() + 2 * width,
                          .v_stride = 3 * width,
                          .offsets = offsets,
                          .heads = heads,
                          .kv_heads = heads,
                          .head_dim = head_dim,
                          .scale = 0.2F,
                          .mask = {.causal = true},
                          .o = o.data(),
                          .o_stride = width,
                          .lse = lse,
                          .workspace = workspace};
  const block_attention_args args = {.q = plain.q,
                                     .q_stride = plain.q_stride,
                                     .k = plain.k,
                                     .k_stride = plain.k_stride,
                                     .v = plain.v,
                                     .v_stride = plain.v_stride,
                                     .offsets = offsets,
                                     .heads = heads,
                                     .kv_heads = heads,
                                     .head_dim = head_dim,
                                     .scale = plain.scale,
                                     .causal = true,
                                     .block = block,
                                     .o = o.data(),
                                     .o_stride = width,
                                     .saved = saved,
                                     .workspace = workspace,
                                     .words = words};
  compare(
      state,
      tokens,
      0,
      [&args](std::size_t) { block_attention(args); },
      [&plain](std::size_t) { attention(plain); });
}
BENCHMARK(block_attention_forward)->Args({2'048, 64})->Args({8'192, 64})->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
