#ifndef HEADRACE_GRAPH_H
#define HEADRACE_GRAPH_H

/* What the layers of a model need beside headrace_dense.h: looking rows up, dense layers, moving
 * columns, adding. Conventions: headrace_kernels.h. All values f32, row-major; samples, rows below
 * 2^31. "added to" means that an output's former values count. The same call gives the same bits on
 * one library; between libraries values agree within the bounds that each operator names. */

#include "headrace_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Columns of unique rows laid out by sample and field: out[s, f] = values[s, f] *
 * rows[inverse[s, f]][first_column, first_column + dim). Both libraries give the same bits. No
 * workspace. */
typedef struct headrace_fields_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t unique;
  uint64_t width;
  uint64_t first_column;
  uint64_t samples;
  uint64_t fields;
  uint64_t dim;            /* first_column + dim <= width <= 65536 */
  const float* rows;       /* [unique, width] */
  const uint32_t* inverse; /* [samples, fields] < unique */
  const float* values;     /* [samples, fields], or null: all 1 */
  float* out;              /* [samples, fields, dim] out */
} headrace_fields_args;

HEADRACE_EXPORT headrace_status headrace_fields(const headrace_fields_args* args,
                                                void* stream,
                                                void* workspace,
                                                size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_fields_workspace(const headrace_fields_args* args);

/* Its gradient: row_gradients[inverse[s, f]][first_column + k] += values[s, f] * out_gradients[s,
 * f, k]. `order` has the places of inverse, 0 to samples * fields - 1, ordered by (inverse, place),
 * as a stable sort leaves them; the CPU library does not read it. Bound: kernels/gather_fields.
 * Where a row has 64 places or more the libraries' bits differ within it. */
typedef struct headrace_fields_backward_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t unique;
  uint64_t width;
  uint64_t first_column;
  uint64_t samples;
  uint64_t fields;
  uint64_t dim;
  const uint32_t* inverse;    /* [samples, fields] < unique */
  const uint32_t* order;      /* [samples, fields] */
  const float* values;        /* [samples, fields], or null: all 1 */
  const float* out_gradients; /* [samples, fields, dim] */
  float* row_gradients;       /* [unique, width] added to */
} headrace_fields_backward_args;

HEADRACE_EXPORT headrace_status headrace_fields_backward(const headrace_fields_backward_args* args,
                                                         void* stream,
                                                         void* workspace,
                                                         size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_fields_backward_workspace(const headrace_fields_backward_args* args);

/* What a dense layer does to x W + b; numbers are frozen. Formulas: kernels/linear/linear.hpp. */
typedef int32_t headrace_activation;
enum {
  HEADRACE_IDENTITY = 0,
  HEADRACE_RELU = 1,
  HEADRACE_SIGMOID = 2,
  HEADRACE_SILU = 3,
  HEADRACE_GELU = 4,
  HEADRACE_TANH = 5
};

/* A dense layer: y = activation(x weights + bias). Bound: kernels/linear/linear.hpp. */
typedef struct headrace_linear_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows;
  uint64_t in;  /* 1 to 65536 */
  uint64_t out; /* 1 to 65536 */
  headrace_activation activation;
  uint32_t reserved;    /* 0 */
  const float* x;       /* [rows, in] */
  const float* weights; /* [in, out] */
  const float* bias;    /* [out], or null: 0 */
  float* y;             /* [rows, out] out */
  float* saved;         /* [rows, out] out: x weights + bias, with SILU and GELU; else null */
} headrace_linear_args;

HEADRACE_EXPORT headrace_status headrace_linear(const headrace_linear_args* args,
                                                void* stream,
                                                void* workspace,
                                                size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_linear_workspace(const headrace_linear_args* args);

/* Its gradients. */
typedef struct headrace_linear_backward_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows;
  uint64_t in;
  uint64_t out;
  headrace_activation activation;
  uint32_t reserved;        /* 0 */
  const float* x;           /* [rows, in] */
  const float* weights;     /* [in, out] */
  const float* y;           /* [rows, out], with RELU, SIGMOID and TANH; else null */
  const float* saved;       /* [rows, out], with SILU and GELU; else null */
  const float* y_gradients; /* [rows, out] */
  float* x_gradients;       /* [rows, in] out, or null: not wanted */
  float* weight_gradients;  /* [in, out] added to */
  float* bias_gradients;    /* [out] added to, or null */
} headrace_linear_backward_args;

HEADRACE_EXPORT headrace_status headrace_linear_backward(const headrace_linear_backward_args* args,
                                                         void* stream,
                                                         void* workspace,
                                                         size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_linear_backward_workspace(const headrace_linear_backward_args* args);

/* Moves columns: to[r * to_stride + c] = from[r * from_stride + c]. Strides count floats and are at
 * least `columns`; the two overlap nowhere. The bits are kept. No workspace. */
typedef struct headrace_copy_columns_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t rows;
  uint64_t columns;
  uint64_t from_stride;
  uint64_t to_stride;
  const float* from; /* [rows, from_stride] but for what follows the last column */
  float* to;         /* [rows, to_stride] out, likewise */
} headrace_copy_columns_args;

HEADRACE_EXPORT headrace_status headrace_copy_columns(const headrace_copy_columns_args* args,
                                                      void* stream,
                                                      void* workspace,
                                                      size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_copy_columns_workspace(const headrace_copy_columns_args* args);

/* A bit of flags. */
enum { HEADRACE_ADD_TO = 1 };

/* to = scale * from, or to += scale * from with HEADRACE_ADD_TO: product and sum each rounded once,
 * so both libraries give the same bits. `to` may be `from`, else they overlap nowhere. No
 * workspace. */
typedef struct headrace_scale_args {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t size;
  const float* from; /* [size] */
  float* to;         /* [size] */
  float scale;
} headrace_scale_args;

HEADRACE_EXPORT headrace_status headrace_scale(const headrace_scale_args* args,
                                               void* stream,
                                               void* workspace,
                                               size_t workspace_bytes);
HEADRACE_EXPORT size_t headrace_scale_workspace(const headrace_scale_args* args);

#ifdef __cplusplus
}
#endif

#endif
