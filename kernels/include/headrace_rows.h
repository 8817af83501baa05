#ifndef HEADRACE_ROWS_H
#define HEADRACE_ROWS_H

/* Operators on rows of embedding tables. Conventions: headrace_kernels.h. Row-major; rows below
 * 2^32, 1 <= dim <= 65536. Both libraries give the same bits where an operator does not say
 * otherwise, with subnormal numbers kept. */

#include "headrace_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rows to int8 under one fp16 scale each: scale the smallest half with 127 scale >= max|row|, codes
 * round(value (1 / scale)) to even; exact contract in kernels/quantize_rows/quantize_rows.hpp.
 * Values are finite. No workspace. */
typedef struct headrace_quantize_rows_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows;
  uint64_t dim;
  const float* values; /* [rows, dim] */
  int8_t* codes;       /* [rows, dim] out */
  uint16_t* scales;    /* [rows] out, fp16 bits */
} headrace_quantize_rows_args;

HEADRACE_EXPORT headrace_status headrace_quantize_rows(const headrace_quantize_rows_args* args,
                                                       void* stream,
                                                       void* workspace,
                                                       size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_quantize_rows_workspace(const headrace_quantize_rows_args* args);

/* values = codes * scales, exact. No workspace. */
typedef struct headrace_dequantize_rows_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows;
  uint64_t dim;
  const int8_t* codes;    /* [rows, dim] */
  const uint16_t* scales; /* [rows], fp16 bits */
  float* values;          /* [rows, dim] out */
} headrace_dequantize_rows_args;

HEADRACE_EXPORT headrace_status headrace_dequantize_rows(const headrace_dequantize_rows_args* args,
                                                         void* stream,
                                                         void* workspace,
                                                         size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_dequantize_rows_workspace(const headrace_dequantize_rows_args* args);

/* Rules of headrace_sparse_update; numbers are frozen. State of a row of dim weights, in 32-bit
 * words: momentum m[dim]; adagrad a[dim]; rowwise_adagrad a; adam and adamw m[dim], v[dim], steps
 * (u32); ftrl z[dim], n[dim]; add and sgd none. */
typedef int32_t headrace_update_rule;
enum {
  HEADRACE_ADD = 0,
  HEADRACE_SGD = 1,
  HEADRACE_ADAGRAD = 2,
  HEADRACE_MOMENTUM = 3,
  HEADRACE_ROWWISE_ADAGRAD = 4,
  HEADRACE_ADAM = 5,
  HEADRACE_ADAMW = 6,
  HEADRACE_FTRL = 7
};

/* One optimizer step on rows of a table, fused with dequantization, clip and clamp; the formulas
 * are those of kernels/sparse_update/sparse_update.hpp. Rates, clip, l2, momentum and weight_decay
 * are finite; beta1, beta2 in [0, 1); rates > 0 and ftrl_* >= 0 under ftrl. */
typedef struct headrace_sparse_update_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows; /* that are updated */
  uint64_t dim;
  float* table; /* row r begins at table + r * row_stride */
  uint64_t table_rows;
  uint64_t row_stride; /* floats */
  float* states;       /* of row r at states + r * state_stride; null: right behind its weights */
  uint64_t state_stride;
  const uint32_t* index;  /* [rows] below table_rows, pairwise different */
  const void* gradients;  /* [rows, dim] of gradient_dtype */
  const uint16_t* scales; /* [rows] fp16 bits with HEADRACE_I8 */
  headrace_dtype gradient_dtype;
  headrace_update_rule rule;
  uint64_t first_columns; /* columns below it have first_rate */
  float rate;
  float first_rate;
  float l2;
  float clip;
  float momentum;
  float beta1;
  float beta2;
  float weight_decay;
  float ftrl_l1;
  float ftrl_l2;
  float ftrl_beta;
  float reserved; /* 0 */
} headrace_sparse_update_args;

HEADRACE_EXPORT headrace_status headrace_sparse_update(const headrace_sparse_update_args* args,
                                                       void* stream,
                                                       void* workspace,
                                                       size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_sparse_update_workspace(const headrace_sparse_update_args* args);

/* out[b] = sum of w_i rows[inverse[i]] over bag b, in order, product and sum rounded to f32 each;
 * an empty bag's is 0. A mean is weights of 1 / length. */
typedef struct headrace_gather_pool_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows;
  uint64_t dim;
  const void* values;     /* [rows, dim] of dtype */
  const uint16_t* scales; /* [rows] fp16 bits with HEADRACE_I8 */
  uint64_t occurrences;
  const uint32_t* inverse; /* [occurrences] below rows */
  const float* weights;    /* [occurrences], or null: all 1 */
  uint64_t bags;
  const uint32_t* offsets; /* [bags + 1] ascending from 0 to occurrences */
  float* out;              /* [bags, dim] out */
  headrace_dtype dtype;
  int32_t reserved; /* 0 */
} headrace_gather_pool_args;

HEADRACE_EXPORT headrace_status headrace_gather_pool(const headrace_gather_pool_args* args,
                                                     void* stream,
                                                     void* workspace,
                                                     size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_gather_pool_workspace(const headrace_gather_pool_args* args);

/* Its gradient: row_gradients[inverse[i]] += w_i out_gradients[bag of i], i ascending. On a GPU
 * without atomics, the same bits each run; those of the CPU for rows of at most 256 occurrences,
 * others are summed in tiles: kernels/gather_pool/segments.hpp. */
typedef struct headrace_gather_pool_backward_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows;
  uint64_t dim;
  uint64_t occurrences;
  const uint32_t* inverse; /* [occurrences] below rows */
  const float* weights;    /* [occurrences], or null: all 1 */
  uint64_t bags;
  const uint32_t* offsets;    /* [bags + 1] ascending from 0 to occurrences */
  const float* out_gradients; /* [bags, dim] */
  float* row_gradients;       /* [rows, dim], added to */
} headrace_gather_pool_backward_args;

HEADRACE_EXPORT headrace_status
headrace_gather_pool_backward(const headrace_gather_pool_backward_args* args,
                              void* stream,
                              void* workspace,
                              size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_gather_pool_backward_workspace(const headrace_gather_pool_backward_args* args);

/* The gradient of its weights: weight_gradients[i] = sum over columns of rows[inverse[i]] *
 * out_gradients[bag of i]. Bound: kernels/gather_pool/gather_pool.hpp. */
typedef struct headrace_gather_pool_weights_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows;
  uint64_t dim;
  const void* values;     /* [rows, dim] of dtype */
  const uint16_t* scales; /* [rows] fp16 bits with HEADRACE_I8 */
  uint64_t occurrences;
  const uint32_t* inverse; /* [occurrences] below rows */
  uint64_t bags;
  const uint32_t* offsets;    /* [bags + 1] ascending from 0 to occurrences */
  const float* out_gradients; /* [bags, dim] */
  float* weight_gradients;    /* [occurrences] out */
  headrace_dtype dtype;
  int32_t reserved; /* 0 */
} headrace_gather_pool_weights_args;

HEADRACE_EXPORT headrace_status
headrace_gather_pool_weights(const headrace_gather_pool_weights_args* args,
                             void* stream,
                             void* workspace,
                             size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_gather_pool_weights_workspace(const headrace_gather_pool_weights_args* args);

/* Bytes of a row of `dim` weights at rest, a multiple of 4: the values in `dtype`, zeros to 4; for
 * HEADRACE_I8 an fp16 scale and 2 zero bytes before the codes. 0 for what is no dtype or dim. */
HEADRACE_EXPORT uint64_t headrace_stored_row_bytes(headrace_dtype dtype, uint64_t dim);

/* Rows of a table, of weights at rest in `stored`, gathered into one block of `dtype`: equal
 * formats are copied, wider ones exact, narrower ones rounded to nearest as
 * kernels/gather_rows/gather_rows.hpp says. Weights are finite. */
typedef struct headrace_gather_rows_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows; /* that are gathered */
  uint64_t dim;  /* up to 4096 */
  const void* table;
  uint64_t table_rows;
  const void* more; /* rows that are not in the table: index table_rows + i is its row i */
  uint64_t more_rows;
  uint64_t row_bytes;    /* from one row to the next, in both; a multiple of 4 */
  const uint32_t* index; /* [rows] below table_rows + more_rows */
  void* values;          /* [rows, dim] of dtype out */
  uint16_t* scales;      /* [rows] out, fp16 bits, with HEADRACE_I8 */
  headrace_dtype stored;
  headrace_dtype dtype;
} headrace_gather_rows_args;

HEADRACE_EXPORT headrace_status headrace_gather_rows(const headrace_gather_rows_args* args,
                                                     void* stream,
                                                     void* workspace,
                                                     size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_gather_rows_workspace(const headrace_gather_rows_args* args);

/* The k values of largest magnitude, of equal magnitudes those of lower index, by ascending index;
 * exact. NaN ranks above infinity. */
typedef struct headrace_top_k_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t count;      /* below 2^32 */
  uint64_t k;          /* up to count */
  const float* values; /* [count] */
  uint32_t* indices;   /* [k] out, ascending */
  float* selected;     /* [k] out, values[indices] */
} headrace_top_k_args;

HEADRACE_EXPORT headrace_status headrace_top_k(const headrace_top_k_args* args,
                                               void* stream,
                                               void* workspace,
                                               size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_top_k_workspace(const headrace_top_k_args* args);

/* Unique keys, strictly ascending, with where each key went and how often each came. */
typedef struct headrace_dedup_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t count;         /* below 2^32 - 1 */
  const uint64_t* keys;   /* [count] */
  uint64_t* unique;       /* [count] out: the first *unique_count are filled */
  uint32_t* inverse;      /* [count] out: unique[inverse[i]] == keys[i] */
  uint32_t* counts;       /* [count] out: the first *unique_count are filled */
  uint32_t* unique_count; /* out, where the other outputs are: device memory on a GPU */
} headrace_dedup_args;

HEADRACE_EXPORT headrace_status headrace_dedup(const headrace_dedup_args* args,
                                               void* stream,
                                               void* workspace,
                                               size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_dedup_workspace(const headrace_dedup_args* args);

#ifdef __cplusplus
}
#endif

#endif
