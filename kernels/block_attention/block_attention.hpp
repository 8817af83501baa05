#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Attention in two parts, for long sequences: within blocks of `block` tokens, and across the
/// blocks' summaries (divided attention: Bertasius et al., ICML'21, with blocks for frames).
///
///   near = attention over the tokens of a block                      (attention.hpp)
///   far  = attention over the blocks of a sequence, whose queries, keys and values are the means
///          of their tokens' (one score a pair of blocks)
///   o_t  = near_t + far_b, b the block of t; causal: + far_b−1, the newest that is complete, and
///          near alone in the first block, so that no token sees what follows it
///
/// So a block at least as long as the sequence gives plain attention, causal to the bit, else plus
/// the mean of v. n tokens cost n block + (n / block)² scores for n²: least at block = ∛n.
///
/// q [tokens, heads, head_dim]; k, v [tokens, kv_heads, head_dim], strides and offsets as in
/// attention.hpp; block >= 1, and the last of a sequence may be shorter. Out: o, shaped as q;
/// saved, what backward needs. Outputs overlap no input. On one target the same call gives the
/// same bits. Bound against exact: those of both attentions, of means within (block + 2) 2^-24.
template <class Value>
struct basic_block_attention_args {
  const Value* q = nullptr;
  std::size_t q_stride = 0;
  const Value* k = nullptr;
  std::size_t k_stride = 0;
  const Value* v = nullptr;
  std::size_t v_stride = 0;
  std::span<const std::uint32_t> offsets;  // [sequences + 1], ascending
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  Value scale = 1;
  bool causal = false;
  std::size_t block = 1;
  Value* o = nullptr;
  std::size_t o_stride = 0;
  /// At least what block_attention_room says of each.
  std::span<Value> saved;
  std::span<Value> workspace;
  std::span<std::uint32_t> words;
};
using block_attention_args = basic_block_attention_args<float>;

/// How much is needed for so many tokens in so many sequences, none longer than `longest`; never
/// more for fewer. Workspace and words are enough for either direction.
struct block_attention_room {
  std::size_t saved = 0;
  std::size_t workspace = 0;
  std::size_t words = 0;
};
block_attention_room block_attention_needs(std::size_t tokens,
                                           std::size_t sequences,
                                           std::size_t longest,
                                           std::size_t heads,
                                           std::size_t kv_heads,
                                           std::size_t head_dim,
                                           std::size_t block);

void block_attention_ref(const block_attention_args& args);
void block_attention_ref(const basic_block_attention_args<double>& args);
void block_attention_cpu(const block_attention_args& args);

inline void block_attention(const block_attention_args& args) { block_attention_cpu(args); }

/// Gradients from d_o [tokens, heads, head_dim]: writes dq, dk and dv, shaped as q, k and v.
template <class Value>
struct basic_block_attention_backward_args {
  basic_block_attention_args<Value> forward;  // as forward was called, o not read
  const Value* d_o = nullptr;
  std::size_t d_o_stride = 0;
  Value* dq = nullptr;
  std::size_t dq_stride = 0;
  Value* dk = nullptr;
  std::size_t dk_stride = 0;
  Value* dv = nullptr;
  std::size_t dv_stride = 0;
};
using block_attention_backward_args = basic_block_attention_backward_args<float>;

void block_attention_backward_ref(const block_attention_backward_args& args);
void block_attention_backward_ref(const basic_block_attention_backward_args<double>& args);
void block_attention_backward_cpu(const block_attention_backward_args& args);

inline void block_attention_backward(const block_attention_backward_args& args) {
  block_attention_backward_cpu(args);
}

}  // namespace headrace::kernels
