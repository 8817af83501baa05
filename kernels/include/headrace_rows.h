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

#ifdef __cplusplus
}
#endif

#endif
