#pragma once

#include "kernels/half_gemm/half_gemm.hpp"

/// Matrix products by oneDNN, in one thread: the only place that knows of it.
namespace headrace::kernels {

/// What oneDNN finds here: plain where it was not there to build with.
half_machine onednn_machine();

/// half_gemm by oneDNN, whose primitives are made once for each shape and thread. False, and C
/// untouched, where it was not there to build with, has no code for bf16 on this processor, or the
/// format is fp16. Allocates what oneDNN itself does. A thread that calls it has one OpenMP thread
/// from then on.
bool multiply_by_onednn(const half_gemm_args& args);

/// The same product with floats in the places of the words: oneDNN has code for that everywhere, so
/// a test of it is a test of strides, formats and sums.
struct onednn_floats_args {
  std::span<const float> a;
  bool a_transposed = false;
  std::span<const float> b;  // [packed_words(k, n)]
  std::span<float> c;
  std::size_t m = 0;
  std::size_t n = 0;
  std::size_t k = 0;
  bool accumulate = false;
};
bool multiply_floats_by_onednn(const onednn_floats_args& args);

}  // namespace headrace::kernels
