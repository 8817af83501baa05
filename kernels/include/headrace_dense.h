#ifndef HEADRACE_DENSE_H
#define HEADRACE_DENSE_H

/* Norms, interactions, gates, losses and dense optimizers. Conventions: headrace_kernels.h. All
 * values f32, row-major, no gaps where no stride is named; rows, samples below 2^31. "added to"
 * means that an output's former values count. The same call gives the same bits on one library;
 * between libraries values agree within the bounds of kernels/OP/OP.hpp, which has the maths. */

#include "headrace_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A bit of flags. */
enum { HEADRACE_NORM_RMS = 1 };

/* LayerNorm, or RMSNorm with HEADRACE_NORM_RMS: s = x + residual, y = (s - mean) rstd gain + bias.
 * The CUDA library takes dim up to 8192. No workspace. */
typedef struct headrace_layer_norm_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows;
  uint64_t dim;
  const float* x;        /* [rows, dim] */
  const float* residual; /* [rows, dim], or null: s = x */
  const float* gain;     /* [dim] */
  const float* bias;     /* [dim]; null with HEADRACE_NORM_RMS */
  float* sum;            /* [rows, dim] out: s; null without residual */
  float* y;              /* [rows, dim] out */
  float* mean;           /* [rows] out; null with HEADRACE_NORM_RMS */
  float* rstd;           /* [rows] out */
  float epsilon;         /* >= 0 */
} headrace_layer_norm_args;

HEADRACE_EXPORT headrace_status headrace_layer_norm(const headrace_layer_norm_args* args,
                                                    void* stream,
                                                    void* workspace,
                                                    size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_layer_norm_workspace(const headrace_layer_norm_args* args);

/* Its gradients: x_gradients is written (of x and residual alike), those of gain and bias are added
 * to. */
typedef struct headrace_layer_norm_backward_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows;
  uint64_t dim;
  const float* sum;           /* [rows, dim]: s */
  const float* gain;          /* [dim] */
  const float* mean;          /* [rows]; null with HEADRACE_NORM_RMS */
  const float* rstd;          /* [rows] */
  const float* y_gradients;   /* [rows, dim] */
  const float* sum_gradients; /* [rows, dim], or null: none */
  float* x_gradients;         /* [rows, dim] out */
  float* gain_gradients;      /* [dim] added to */
  float* bias_gradients;      /* [dim] added to; null with HEADRACE_NORM_RMS */
} headrace_layer_norm_backward_args;

HEADRACE_EXPORT headrace_status
headrace_layer_norm_backward(const headrace_layer_norm_backward_args* args,
                             void* stream,
                             void* workspace,
                             size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_layer_norm_backward_workspace(const headrace_layer_norm_backward_args* args);

/* Factorization machine over unique rows [u, 1 + latent_dim]: first-order weight, then the vector.
 * No workspace. */
typedef struct headrace_fm_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t unique;
  uint64_t samples;
  uint64_t features;
  uint64_t latent_dim;     /* up to 4096 */
  const float* rows;       /* [unique, 1 + latent_dim] */
  const uint32_t* inverse; /* [samples, features] < unique */
  const float* values;     /* [samples, features], or null: all 1 */
  float* logits;           /* [samples] out */
  float* sums;             /* [samples, latent_dim] out */
  float bias;
} headrace_fm_args;

HEADRACE_EXPORT headrace_status headrace_fm(const headrace_fm_args* args,
                                            void* stream,
                                            void* workspace,
                                            size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_fm_workspace(const headrace_fm_args* args);

/* Its gradients. `order` has the places of inverse, 0 to samples * features - 1, ordered by
 * (inverse, place), as a stable sort leaves them; the CPU library does not read it. */
typedef struct headrace_fm_backward_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t unique;
  uint64_t samples;
  uint64_t features;
  uint64_t latent_dim;          /* up to 4096 */
  const float* rows;            /* [unique, 1 + latent_dim] */
  const uint32_t* inverse;      /* [samples, features] < unique */
  const uint32_t* order;        /* [samples, features] */
  const float* values;          /* [samples, features], or null: all 1 */
  const float* sums;            /* [samples, latent_dim] */
  const float* logit_gradients; /* [samples] */
  float* row_gradients;         /* [unique, 1 + latent_dim] added to */
  float* bias_gradient;         /* [1] out */
} headrace_fm_backward_args;

HEADRACE_EXPORT headrace_status headrace_fm_backward(const headrace_fm_backward_args* args,
                                                     void* stream,
                                                     void* workspace,
                                                     size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_fm_backward_workspace(const headrace_fm_backward_args* args);

/* Inner products of all pairs of a sample's vectors, the strictly lower triangle row by row: up to
 * 64 fields. Strides count floats. */
typedef struct headrace_dot_interaction_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t samples;
  uint64_t fields;
  uint64_t dim; /* up to 65536 */
  uint64_t sample_stride;
  uint64_t field_stride;
  uint64_t out_stride; /* >= fields (fields - 1) / 2 */
  const float* values; /* field f of sample s begins at s * sample_stride + f * field_stride */
  float* out;          /* sample s begins at s * out_stride */
} headrace_dot_interaction_args;

HEADRACE_EXPORT headrace_status headrace_dot_interaction(const headrace_dot_interaction_args* args,
                                                         void* stream,
                                                         void* workspace,
                                                         size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_dot_interaction_workspace(const headrace_dot_interaction_args* args);

/* Its gradient, written where the strides say, beside which nothing is touched. No workspace. */
typedef struct headrace_dot_interaction_backward_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t samples;
  uint64_t fields;
  uint64_t dim; /* up to 65536 */
  uint64_t sample_stride;
  uint64_t field_stride;
  uint64_t out_stride;
  uint64_t gradient_sample_stride;
  uint64_t gradient_field_stride;
  const float* values;
  const float* out_gradients; /* as out */
  float* field_gradients;     /* out */
} headrace_dot_interaction_backward_args;

HEADRACE_EXPORT headrace_status
headrace_dot_interaction_backward(const headrace_dot_interaction_backward_args* args,
                                  void* stream,
                                  void* workspace,
                                  size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_dot_interaction_backward_workspace(const headrace_dot_interaction_backward_args* args);

/* What a cross layer (kernels/cross) does behind its product x W: affine becomes u = x W + bias,
 * out = x0 u + x. No workspace. */
typedef struct headrace_cross_combine_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows;
  uint64_t dim;      /* up to 65536 */
  const float* x0;   /* [rows, dim] */
  const float* x;    /* [rows, dim] */
  const float* bias; /* [dim] */
  float* affine;     /* [rows, dim] in: x W; out: u */
  float* out;        /* [rows, dim] out */
} headrace_cross_combine_args;

HEADRACE_EXPORT headrace_status headrace_cross_combine(const headrace_cross_combine_args* args,
                                                       void* stream,
                                                       void* workspace,
                                                       size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_cross_combine_workspace(const headrace_cross_combine_args* args);

/* Its gradients: affine_gradients = g x0 (of x W), x0_gradients += g u, bias_gradients += sum over
 * rows of g x0. dx = g + affine_gradients Wt is a product's. */
typedef struct headrace_cross_combine_backward_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows;
  uint64_t dim;               /* up to 65536 */
  const float* x0;            /* [rows, dim] */
  const float* affine;        /* [rows, dim]: u */
  const float* out_gradients; /* [rows, dim]: g */
  float* affine_gradients;    /* [rows, dim] out */
  float* x0_gradients;        /* [rows, dim] added to */
  float* bias_gradients;      /* [dim] added to */
} headrace_cross_combine_backward_args;

HEADRACE_EXPORT headrace_status
headrace_cross_combine_backward(const headrace_cross_combine_backward_args* args,
                                void* stream,
                                void* workspace,
                                size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_cross_combine_backward_workspace(const headrace_cross_combine_backward_args* args);

/* Softmax gates over experts, and the experts' outputs mixed by them. No workspace. */
typedef struct headrace_gate_mix_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows;
  uint64_t experts;            /* 1 to 65536 */
  uint64_t dim;                /* up to 65536 */
  const float* gate_logits;    /* [rows, experts] */
  const float* expert_outputs; /* [rows, experts, dim] */
  float* gates;                /* [rows, experts] out */
  float* outputs;              /* [rows, dim] out */
} headrace_gate_mix_args;

HEADRACE_EXPORT headrace_status headrace_gate_mix(const headrace_gate_mix_args* args,
                                                  void* stream,
                                                  void* workspace,
                                                  size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_gate_mix_workspace(const headrace_gate_mix_args* args);

/* Its gradients, written. No workspace. */
typedef struct headrace_gate_mix_backward_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows;
  uint64_t experts;              /* 1 to 65536 */
  uint64_t dim;                  /* up to 65536 */
  const float* gates;            /* [rows, experts] */
  const float* expert_outputs;   /* [rows, experts, dim] */
  const float* output_gradients; /* [rows, dim] */
  float* gate_logit_gradients;   /* [rows, experts] out */
  float* expert_gradients;       /* [rows, experts, dim] out */
} headrace_gate_mix_backward_args;

HEADRACE_EXPORT headrace_status
headrace_gate_mix_backward(const headrace_gate_mix_backward_args* args,
                           void* stream,
                           void* workspace,
                           size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_gate_mix_backward_workspace(const headrace_gate_mix_backward_args* args);

/* Binary cross-entropy of logits: probabilities, gradients of the summed loss, that sum. */
typedef struct headrace_bce_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t samples;
  const float* logits;    /* [samples] */
  const float* labels;    /* [samples] in [0, 1] */
  float* probabilities;   /* [samples] out */
  float* logit_gradients; /* [samples] out */
  double* loss;           /* [1] out */
} headrace_bce_args;

HEADRACE_EXPORT headrace_status headrace_bce(const headrace_bce_args* args,
                                             void* stream,
                                             void* workspace,
                                             size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_bce_workspace(const headrace_bce_args* args);

/* Losses of the entire-space multi-task model and their gradients. */
typedef struct headrace_esmm_loss_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t samples;
  const float* ctr_logits;  /* [samples] */
  const float* cvr_logits;  /* [samples] */
  const float* clicks;      /* [samples] in [0, 1] */
  const float* conversions; /* [samples] in [0, 1] */
  float* p_ctr;             /* [samples] out */
  float* p_cvr;             /* [samples] out */
  float* p_ctcvr;           /* [samples] out */
  float* ctr_gradients;     /* [samples] out */
  float* cvr_gradients;     /* [samples] out */
  double* losses;           /* [2] out: sums of clicks' and conversions', before weights */
  float click_weight;
  float conversion_weight;
} headrace_esmm_loss_args;

HEADRACE_EXPORT headrace_status headrace_esmm_loss(const headrace_esmm_loss_args* args,
                                                   void* stream,
                                                   void* workspace,
                                                   size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_esmm_loss_workspace(const headrace_esmm_loss_args* args);

/* Softmax cross-entropy of one positive among sampled candidates, and its gradient: with s = score
 * - log_q, loss = weight * -ln softmax(s) of the positive. Where the weight is 0 nothing of the
 * position is read; a score of -infinity leaves a candidate out, the positive's is finite. Bounds:
 * kernels/softmax_loss/sampled_softmax.hpp. */
typedef struct headrace_sampled_softmax_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t positions;
  uint64_t candidates;  /* 1 to 2^20 */
  uint64_t log_q_rows;  /* 0, 1 (for all positions) or positions */
  const float* scores;  /* [positions, candidates] */
  const float* log_q;   /* [log_q_rows, candidates] ln of the chance to be drawn; null with 0 */
  const float* weights; /* [positions] >= 0, or null: all 1 */
  const uint32_t* positives; /* [positions] below candidates, or null: all 0 */
  float* losses;             /* [positions] out */
  float* score_gradients;    /* [positions, candidates] out: of the summed loss */
  double* loss;              /* [1] out: the sum */
} headrace_sampled_softmax_args;

HEADRACE_EXPORT headrace_status headrace_sampled_softmax(const headrace_sampled_softmax_args* args,
                                                         void* stream,
                                                         void* workspace,
                                                         size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_sampled_softmax_workspace(const headrace_sampled_softmax_args* args);

/* Softmax cross-entropy over all items, fused with the product that makes its logits: logits = x
 * itemsT, loss = weight * (lse - logit of the label). No logit is stored. Where the weight is 0 the
 * label is not read. Bounds of both: kernels/softmax_loss/vocab_softmax.hpp. */
typedef struct headrace_vocab_softmax_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t positions;
  uint64_t items;         /* 1 to 2^31 - 1 */
  uint64_t dim;           /* 1 to 65536 */
  const float* x;         /* [positions, dim] */
  const float* vectors;   /* [items, dim] */
  const uint32_t* labels; /* [positions] below items */
  const float* weights;   /* [positions] >= 0, or null: all 1 */
  float* losses;          /* [positions] out */
  float* lse;             /* [positions] out: ln of the sum of e^logit */
  double* loss;           /* [1] out: the sum of losses */
} headrace_vocab_softmax_args;

HEADRACE_EXPORT headrace_status headrace_vocab_softmax(const headrace_vocab_softmax_args* args,
                                                       void* stream,
                                                       void* workspace,
                                                       size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_vocab_softmax_workspace(const headrace_vocab_softmax_args* args);

/* Its gradients, of the summed loss: with P = weight * (e^(logit - lse) - one-hot), x_gradients = P
 * items, vector_gradients += PT x. Logits are made again, for some items at a time. */
typedef struct headrace_vocab_softmax_backward_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t positions;
  uint64_t items;
  uint64_t dim;
  const float* x;          /* [positions, dim] */
  const float* vectors;    /* [items, dim] */
  const uint32_t* labels;  /* [positions] */
  const float* weights;    /* [positions], or null */
  const float* lse;        /* [positions] as forward left it */
  float* x_gradients;      /* [positions, dim] out */
  float* vector_gradients; /* [items, dim] added to */
} headrace_vocab_softmax_backward_args;

HEADRACE_EXPORT headrace_status
headrace_vocab_softmax_backward(const headrace_vocab_softmax_backward_args* args,
                                void* stream,
                                void* workspace,
                                size_t workspace_bytes);
HEADRACE_EXPORT size_t
headrace_vocab_softmax_backward_workspace(const headrace_vocab_softmax_backward_args* args);

/* A bit of flags. */
enum { HEADRACE_SCAN_SQUARES = 1 };

/* A dynamic loss scale (kernels/loss_scaler/loss_scaler.hpp), in the library's memory. */
typedef struct headrace_loss_scaler {
  float scale;
  uint32_t clean_steps;
  uint64_t skipped_total;
} headrace_loss_scaler;

/* What a scan found, in the library's memory. */
typedef struct headrace_gradient_verdict {
  uint32_t largest; /* bits of the largest |gradient| as it lies there; above 0x7F800000: NaN */
  uint32_t finite;  /* 1: the step may be applied */
  float inverse;    /* 1 / the scale the gradients were made with */
  float reserved;
  double squares; /* sum of (gradient * inverse)^2, 0 where not asked for */
} headrace_gradient_verdict;

/* Finite check of gradients, their norm, and the loss scaler's step: all stays where the gradients
 * are. With HEADRACE_SCAN_SQUARES the verdict has the sum of squares. */
typedef struct headrace_gradient_scan_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t size;
  const float* gradients;             /* [size] */
  headrace_loss_scaler* scaler;       /* [1] in and out, or null: no loss scale */
  headrace_gradient_verdict* verdict; /* [1] out */
  uint32_t growth_interval;           /* clean steps before the scale doubles; read with a scaler */
  float scale_min;                    /* powers of two */
  float scale_max;
} headrace_gradient_scan_args;

HEADRACE_EXPORT headrace_status headrace_gradient_scan(const headrace_gradient_scan_args* args,
                                                       void* stream,
                                                       void* workspace,
                                                       size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_gradient_scan_workspace(const headrace_gradient_scan_args* args);

/* A tensor of an arena. Its state is state_begin on: adagrad a[size]; momentum m[size]; adam and
 * adamw m[size], v[size], steps (bits of a uint32_t). */
typedef struct headrace_dense_tensor {
  uint64_t begin; /* its first element */
  uint64_t size;  /* below 2^32 - 4096 */
  uint64_t state_begin;
  float rate;
  float l2;
  float weight_decay;
  uint32_t first_block; /* headrace_dense_plan writes it */
} headrace_dense_tensor;

/* Numbers the blocks of tensors in host memory; *blocks is how many there are. Once a model. */
HEADRACE_EXPORT headrace_status headrace_dense_plan(headrace_dense_tensor* tensors,
                                                    uint64_t tensors_count,
                                                    uint64_t* blocks);

/* One step of a dense optimizer on all tensors of an arena (kernels/dense_update/dense_update.hpp):
 * nothing where the verdict is not finite. Both libraries give the same bits, subnormals kept. */
typedef struct headrace_dense_update_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t size;       /* of the arena, in elements */
  uint64_t state_size; /* in words */
  uint64_t tensors_count;
  uint64_t blocks;                          /* as headrace_dense_plan said */
  const headrace_dense_tensor* tensors;     /* [tensors_count] planned, in the library's memory */
  const headrace_gradient_verdict* verdict; /* [1], or null: finite, not scaled */
  float* weights;                           /* [size] in and out */
  const float* gradients;                   /* [size] */
  float* state;                             /* [state_size] in and out */
  uint16_t* brains;                         /* [size] out: nearest bfloat16, or null */
  uint32_t rule;  /* 0 add, 1 sgd, 2 adagrad, 3 momentum, 5 adam, 6 adamw */
  float clip;     /* largest |gradient|, 0: none */
  float norm_max; /* largest 2-norm of all, 0: none */
  float momentum;
  float beta1;
  float beta2;
} headrace_dense_update_args;

HEADRACE_EXPORT headrace_status headrace_dense_update(const headrace_dense_update_args* args,
                                                      void* stream,
                                                      void* workspace,
                                                      size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_dense_update_workspace(const headrace_dense_update_args* args);

#ifdef __cplusplus
}
#endif

#endif
