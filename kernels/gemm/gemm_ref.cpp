#include "base/check.hpp"
#include "kernels/gemm/gemm.hpp"

namespace headrace::kernels {
namespace {

template <class Value>
double element(
    const Value* values, std::size_t stride, bool transposed, std::size_t row, std::size_t column) {
  const std::size_t at = transposed ? column * stride + row : row * stride + column;
  return static_cast<double>(values[at]);
}

template <class Value>
void multiply(const basic_gemm_args<Value>& args) {
  CHECK(args.m < 2 || args.c_stride >= args.n);
  for (std::size_t i = 0; i < args.m; ++i) {
    for (std::size_t j = 0; j < args.n; ++j) {
      Value& c = args.c[i * args.c_stride + j];
      double sum = args.accumulate ? static_cast<double>(c) : 0.0;
      for (std::size_t p = 0; p < args.k; ++p) {
        sum += element(args.a, args.a_stride, args.a_transposed, i, p) *
               element(args.b, args.b_stride, args.b_transposed, p, j);
      }
      c = static_cast<Value>(sum);
    }
  }
}

}  // namespace

void gemm_ref(const gemm_args& args) { multiply(args); }
void gemm_ref(const basic_gemm_args<double>& args) { multiply(args); }

}  // namespace headrace::kernels
