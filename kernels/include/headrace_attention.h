#ifndef HEADRACE_ATTENTION_H
#define HEADRACE_ATTENTION_H

/* Attention over ragged sequences. Conventions: headrace_kernels.h. Contracts in full:
 * kernels/attention/attention.hpp, kernels/decode_attention/decode_attention.hpp.
 *
 * The CPU library computes in F32. The CUDA library takes BF16 or F16 in and out, sums in f32, and
 * has head_dim 16, 32, 64 and 128; tensors begin at multiples of 16 bytes and strides are multiples
 * of 8. What is within the contract but not in a library is refused with HEADRACE_UNSUPPORTED.
 *
 * Bounds of the CUDA library against exact, for scores below 64 and u = 2^-8 (BF16) or 2^-11 (F16):
 * relative L2 error of o 1.5 u, of an element of lse 1e-5 (1 + |lse|); of gradients u times the
 * norm that they would have with magnitudes in every sum. The same call gives the same bits. */

#include "headrace_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  HEADRACE_ATTENTION_CAUSAL = 1,  /* query i sees no key after i */
  HEADRACE_ATTENTION_WINDOWED = 2 /* `window` and `globals` count; else all is seen */
};

/* o = softmax(scale q kT + bias + mask) v, a head and a sequence at a time.
 *
 * q and o [tokens, heads, head_dim], k and v [tokens, kv_heads, head_dim] of `dtype`; a stride is
 * the elements from one token to the next. kv_heads divides heads; head h reads key head
 * h / (heads / kv_heads). Sequence s is the tokens [offsets[s], offsets[s + 1]), offsets ascend
 * from 0 to `tokens`. lse = ln sum e^score, which backward needs. Queries that see nothing, and
 * those of inactive heads, get o = 0 and lse = -infinity. */
typedef struct headrace_attention_args {
  uint32_t struct_size;
  uint32_t flags; /* HEADRACE_ATTENTION_* */
  headrace_dtype dtype;
  uint32_t sequences;
  uint64_t tokens; /* below 2^31 */
  uint32_t heads;  /* 1 to 65535 */
  uint32_t kv_heads;
  uint32_t head_dim;
  float scale;
  uint64_t window;  /* keys within distance < window are seen: 1 sees itself only */
  uint64_t globals; /* and the first ones; not causal: by these queries all keys */
  const void* q;
  uint64_t q_stride;
  const void* k;
  uint64_t k_stride;
  const void* v;
  uint64_t v_stride;
  const uint32_t* offsets;   /* [sequences + 1] */
  const float* alibi_slopes; /* [heads], bias -= slope |i - j|; or null */
  const float* bias_table;   /* [heads, 2 max_distance + 1], bias += table[clip(j - i)]; or null */
  uint64_t max_distance;     /* at most 2^24 */
  const uint8_t* active;     /* [sequences, heads], 0 skips; or null */
  void* o;                   /* out */
  uint64_t o_stride;
  float* lse; /* [tokens, heads] out */
} headrace_attention_args;

HEADRACE_EXPORT headrace_status headrace_attention(const headrace_attention_args* args,
                                                   void* stream,
                                                   void* workspace,
                                                   size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_attention_workspace(const headrace_attention_args* args);

/* Gradients from d_o: dq as q; dk and dv as k and v, summed over the heads that share a key head;
 * bias_table_gradient is added to. `forward`, in host memory for both libraries and read by the
 * query, is what forward was called with; its o and lse are read. */
typedef struct headrace_attention_backward_args {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  const headrace_attention_args* forward;
  const void* d_o; /* as o */
  uint64_t d_o_stride;
  void* dq; /* out */
  uint64_t dq_stride;
  void* dk; /* out */
  uint64_t dk_stride;
  void* dv; /* out */
  uint64_t dv_stride;
  float* bias_table_gradient; /* as bias_table, in and out; or null */
} headrace_attention_backward_args;

HEADRACE_EXPORT headrace_status
headrace_attention_backward(const headrace_attention_backward_args* args,
                            void* stream,
                            void* workspace,
                            size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_attention_backward_workspace(const headrace_attention_backward_args* args);

/* Attention of one query per sequence and head over a cache of keys and values: the last row of
 * causal attention with a window and `pinned` first tokens seen by all, no position bias.
 *
 * q and o [sequences, heads, head_dim]; keys and values [sequences, kv_heads, pinned + window,
 * head_dim], of which the first min(length, pinned + window) slots are in use. Only the slots
 * [slots_begin, slots_end) of these are read. lse = ln sum e^score. Where no slot is read, o = 0
 * and lse = -infinity. */
typedef struct headrace_decode_attention_args {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  headrace_dtype dtype;
  uint32_t sequences; /* at most 65535 */
  uint32_t heads;     /* 1 to 65535 */
  uint32_t kv_heads;
  uint32_t head_dim;
  float scale;
  uint64_t pinned;
  uint64_t window; /* at least 1; pinned + window below 2^31 */
  uint64_t slots_begin;
  uint64_t slots_end; /* 0: all */
  const void* q;
  const void* keys;
  const void* values;
  const uint32_t* lengths; /* [sequences], tokens seen so far */
  void* o;                 /* out */
  float* lse;              /* [sequences, heads] out */
} headrace_decode_attention_args;

HEADRACE_EXPORT headrace_status
headrace_decode_attention(const headrace_decode_attention_args* args,
                          void* stream,
                          void* workspace,
                          size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_decode_attention_workspace(const headrace_decode_attention_args* args);

/* Joins attention over two disjoint sets of keys, by their log sums: lse = ln(e^lse + e^other_lse),
 * o the mean of both weighted by e^lse. A side of lse -infinity counts for nothing. Any dim; no
 * workspace. */
typedef struct headrace_merge_attention_args {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  headrace_dtype dtype;
  uint32_t dim;
  uint64_t rows; /* below 2^31 */
  void* o;       /* [rows, dim] in and out */
  float* lse;    /* [rows] in and out */
  const void* other_o;
  const float* other_lse;
} headrace_merge_attention_args;

HEADRACE_EXPORT headrace_status headrace_merge_attention(const headrace_merge_attention_args* args,
                                                         void* stream,
                                                         void* workspace,
                                                         size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_merge_attention_workspace(const headrace_merge_attention_args* args);

/* HSTU's pointwise attention: o = A v with A = SiLU(scale q kT + bias) under the mask, divided by
 * n.
 *
 * q and k [tokens, heads, head_dim], v and o [tokens, heads, value_dim] of `dtype`; n = normaliser,
 * or the length of each sequence where it is 0. Sequences, strides and masks as in
 * headrace_attention; the CUDA library has value_dim = head_dim only. Bounds of the CUDA library:
 * relative L2 errors of o and of gradients 1.5 u where sums do not cancel. Contract in full:
 * kernels/hstu/hstu.hpp. */
typedef struct headrace_hstu_args {
  uint32_t struct_size;
  uint32_t flags; /* HEADRACE_ATTENTION_* */
  headrace_dtype dtype;
  uint32_t sequences;
  uint64_t tokens;
  uint32_t heads;
  uint32_t head_dim;
  uint32_t value_dim;
  float scale;
  float normaliser;  /* at least 0 */
  uint32_t reserved; /* 0 */
  uint64_t window;
  uint64_t globals;
  const void* q;
  uint64_t q_stride;
  const void* k;
  uint64_t k_stride;
  const void* v;
  uint64_t v_stride;
  const uint32_t* offsets;
  const float* bias_table; /* [heads, 2 max_distance + 1], or null */
  uint64_t max_distance;
  void* o; /* out */
  uint64_t o_stride;
} headrace_hstu_args;

HEADRACE_EXPORT headrace_status headrace_hstu(const headrace_hstu_args* args,
                                              void* stream,
                                              void* workspace,
                                              size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_hstu_workspace(const headrace_hstu_args* args);

/* Gradients from d_o: dq, dk and dv as q, k and v; bias_table_gradient is added to. `forward` as in
 * headrace_attention_backward; its o is not read. */
typedef struct headrace_hstu_backward_args {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  const headrace_hstu_args* forward;
  const void* d_o;
  uint64_t d_o_stride;
  void* dq; /* out */
  uint64_t dq_stride;
  void* dk; /* out */
  uint64_t dk_stride;
  void* dv; /* out */
  uint64_t dv_stride;
  float* bias_table_gradient; /* in and out; or null */
} headrace_hstu_backward_args;

HEADRACE_EXPORT headrace_status headrace_hstu_backward(const headrace_hstu_backward_args* args,
                                                       void* stream,
                                                       void* workspace,
                                                       size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_hstu_backward_workspace(const headrace_hstu_backward_args* args);

#ifdef __cplusplus
}
#endif

#endif
