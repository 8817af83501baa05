#ifndef HEADRACE_MOE_H
#define HEADRACE_MOE_H

/* Mixtures of experts. Conventions: headrace_kernels.h. Values f32 where no format is named,
 * row-major; tokens * per_token below 2^31. "added to" means that an output's former values count.
 * The same call gives the same bits on one library; between libraries values agree within the
 * bounds of kernels/OP/OP.hpp, which has the maths. */

#include "headrace_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A bit of flags: gates are divided by their sum. */
enum { HEADRACE_GATES_RENORMALISED = 1 };

/* The route of an assignment that is dropped; the place of one that has none. */
#define HEADRACE_NO_EXPERT 0xFFFFFFFFU
#define HEADRACE_NO_PLACE 0xFFFFFFFFU

/* What a router did with a batch, in the library's memory; losses with their weights in. */
typedef struct headrace_router_report {
  double balance_loss;
  double entropy_loss;
  double z_loss;
  double utilisation;
  uint64_t dropped;
} headrace_router_report;

/* Routes each token to per_token experts: softmax, the largest of p + bias, gates, loads, capacity.
 * The CUDA library takes up to 256 experts and 32 a token. */
typedef struct headrace_moe_router_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t tokens;
  uint64_t experts;
  uint64_t per_token;
  uint64_t capacity;              /* assignments that an expert keeps, 0: all */
  const float* logits;            /* [tokens, experts] finite */
  const float* bias;              /* [experts], or null */
  float* probabilities;           /* [tokens, experts] out */
  float* lse;                     /* [tokens] out */
  float* mean_probabilities;      /* [experts] out */
  uint32_t* chosen;               /* [tokens, per_token] out */
  float* gates;                   /* [tokens, per_token] out */
  uint32_t* loads;                /* [experts] out: before capacity */
  uint32_t* routes;               /* [tokens, per_token] out: chosen, or HEADRACE_NO_EXPERT */
  headrace_router_report* report; /* [1] out */
  double balance;                 /* weights of the auxiliary losses, 0 leaves one out */
  double entropy;
  double z;
} headrace_moe_router_args;

HEADRACE_EXPORT headrace_status headrace_moe_router(const headrace_moe_router_args* args,
                                                    void* stream,
                                                    void* workspace,
                                                    size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_moe_router_workspace(const headrace_moe_router_args* args);

/* Gradient of the logits: of the gates' gradients and of the auxiliary losses. */
typedef struct headrace_moe_router_backward_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t tokens;
  uint64_t experts;
  uint64_t per_token;
  const float* probabilities;      /* [tokens, experts], all as the forward pass left them */
  const float* lse;                /* [tokens] */
  const float* mean_probabilities; /* [experts] */
  const uint32_t* chosen;          /* [tokens, per_token] < experts */
  const float* gates;              /* [tokens, per_token] */
  const uint32_t* loads;           /* [experts] */
  const uint32_t* routes;          /* [tokens, per_token] */
  const float* gate_gradients;     /* [tokens, per_token] */
  float* logit_gradients;          /* [tokens, experts] out */
  double balance;                  /* weights of the auxiliary losses, 0 leaves one out */
  double entropy;
  double z;
} headrace_moe_router_backward_args;

HEADRACE_EXPORT headrace_status
headrace_moe_router_backward(const headrace_moe_router_backward_args* args,
                             void* stream,
                             void* workspace,
                             size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_moe_router_backward_workspace(const headrace_moe_router_backward_args* args);

/* Counting sort of assignments by (expert, token, slot). Exact. The CUDA library takes up to 1024
 * experts. */
typedef struct headrace_moe_plan_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t tokens;
  uint64_t experts;
  uint64_t per_token;
  const uint32_t* routes; /* [tokens, per_token] < experts, or HEADRACE_NO_EXPERT */
  uint32_t* offsets;      /* [experts + 1] out: first places, then their number */
  uint32_t* places;       /* [tokens, per_token] out, or HEADRACE_NO_PLACE */
} headrace_moe_plan_args;

HEADRACE_EXPORT headrace_status headrace_moe_plan(const headrace_moe_plan_args* args,
                                                  void* stream,
                                                  void* workspace,
                                                  size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_moe_plan_workspace(const headrace_moe_plan_args* args);

/* Copies each token's row to its places: rows of row_bytes, a multiple of 2. No workspace. */
typedef struct headrace_moe_permute_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t tokens;
  uint64_t per_token;
  uint64_t rows_count;    /* rows that experts have, at least the places */
  uint64_t row_bytes;     /* 2 to 262144 */
  const void* x;          /* [tokens] rows */
  const uint32_t* places; /* [tokens, per_token], or HEADRACE_NO_PLACE */
  void* rows;             /* [rows_count] rows out */
} headrace_moe_permute_args;

HEADRACE_EXPORT headrace_status headrace_moe_permute(const headrace_moe_permute_args* args,
                                                     void* stream,
                                                     void* workspace,
                                                     size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_moe_permute_workspace(const headrace_moe_permute_args* args);

/* y = sum over slots of gate * row; without gates the gradient of moe_permute. No workspace. */
typedef struct headrace_moe_combine_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t tokens;
  uint64_t per_token;
  uint64_t rows_count;    /* rows that experts have, at least the places */
  uint64_t dim;           /* 1 to 65536 */
  const float* rows;      /* [rows_count, dim] */
  const uint32_t* places; /* [tokens, per_token], or HEADRACE_NO_PLACE */
  const float* gates;     /* [tokens, per_token], or null: 1 */
  float* y;               /* [tokens, dim] out */
} headrace_moe_combine_args;

HEADRACE_EXPORT headrace_status headrace_moe_combine(const headrace_moe_combine_args* args,
                                                     void* stream,
                                                     void* workspace,
                                                     size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_moe_combine_workspace(const headrace_moe_combine_args* args);

/* Its gradients: row_gradients = gate * dy, which may be rows itself; gate_gradients = <dy, row>, 0
 * where dropped. No workspace. */
typedef struct headrace_moe_combine_backward_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t tokens;
  uint64_t per_token;
  uint64_t rows_count;      /* rows that experts have, at least the places */
  uint64_t dim;             /* 1 to 65536 */
  const float* rows;        /* [rows_count, dim] */
  const uint32_t* places;   /* [tokens, per_token], or HEADRACE_NO_PLACE */
  const float* gates;       /* [tokens, per_token] */
  const float* y_gradients; /* [tokens, dim] */
  float* row_gradients;     /* [rows_count, dim] out */
  float* gate_gradients;    /* [tokens, per_token] out */
} headrace_moe_combine_backward_args;

HEADRACE_EXPORT headrace_status
headrace_moe_combine_backward(const headrace_moe_combine_backward_args* args,
                              void* stream,
                              void* workspace,
                              size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_moe_combine_backward_workspace(const headrace_moe_combine_backward_args* args);

/* A bit of flags. */
enum { HEADRACE_FFN_SWIGLU = 1 };

/* Each expert's own net over its own rows: y = h W2, h = max(x W1, 0), or SiLU(x W1) * (x W3) with
 * HEADRACE_FFN_SWIGLU. The CPU library has HEADRACE_F32; the CUDA library HEADRACE_BF16 with f32
 * sums, dim and hidden multiples of 8, pointers of 16 bytes, up to 1024 experts. */
typedef struct headrace_grouped_ffn_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows; /* of all experts, at least offsets[experts] */
  uint64_t experts;
  uint64_t dim;    /* up to 65536 */
  uint64_t hidden; /* up to 65536 */
  const uint32_t*
      offsets;    /* [experts + 1] from 0: rows offsets[e] up to offsets[e + 1] are expert e's */
  const void* x;  /* [rows, dim] dtype */
  const void* w1; /* [experts, dim, hidden] dtype */
  const void* w3; /* as w1; null without HEADRACE_FFN_SWIGLU */
  const void* w2; /* [experts, hidden, dim] dtype */
  void* first;    /* [rows, hidden] dtype out: x W1, or h */
  void* third;    /* [rows, hidden] dtype out: x W3; null without */
  float* y;       /* [rows, dim] out */
  headrace_dtype dtype;
} headrace_grouped_ffn_args;

HEADRACE_EXPORT headrace_status headrace_grouped_ffn(const headrace_grouped_ffn_args* args,
                                                     void* stream,
                                                     void* workspace,
                                                     size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_grouped_ffn_workspace(const headrace_grouped_ffn_args* args);

/* Its gradients; those of weights are added to, and of experts without rows not touched. */
typedef struct headrace_grouped_ffn_backward_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows; /* of all experts, at least offsets[experts] */
  uint64_t experts;
  uint64_t dim;    /* up to 65536 */
  uint64_t hidden; /* up to 65536 */
  const uint32_t*
      offsets;       /* [experts + 1] from 0: rows offsets[e] up to offsets[e + 1] are expert e's */
  const void* x;     /* [rows, dim] dtype */
  const void* w1;    /* [experts, dim, hidden] dtype */
  const void* w3;    /* as w1; null without HEADRACE_FFN_SWIGLU */
  const void* w2;    /* [experts, hidden, dim] dtype */
  const void* first; /* [rows, hidden] dtype, as forward left it */
  const void* third; /* [rows, hidden] dtype; null without */
  const void* y_gradients; /* [rows, dim] dtype */
  float* x_gradients;      /* [rows, dim] out */
  float* w1_gradients;     /* [experts, dim, hidden] added to */
  float* w3_gradients;     /* as w1_gradients; null without */
  float* w2_gradients;     /* [experts, hidden, dim] added to */
  headrace_dtype dtype;
} headrace_grouped_ffn_backward_args;

HEADRACE_EXPORT headrace_status
headrace_grouped_ffn_backward(const headrace_grouped_ffn_backward_args* args,
                              void* stream,
                              void* workspace,
                              size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_grouped_ffn_backward_workspace(const headrace_grouped_ffn_backward_args* args);

#ifdef __cplusplus
}
#endif

#endif
