#include "kernels/abi/cpu_call.hpp"
#include "kernels/abi/rows_checks.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"

#include <span>

// Entries of headrace_rows.h on the CPU.
using namespace headrace::kernels;

extern "C" {

headrace_status headrace_quantize_rows(const headrace_quantize_rows_args* given,
                                       void* stream,
                                       void*,
                                       size_t) {
  return abi::entry("quantize_rows", given, [&](const headrace_quantize_rows_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    const std::size_t size = args.rows * args.dim;
    quantize_rows({.values = {args.values, size},
                   .codes = {args.codes, size},
                   .scales = {args.scales, args.rows},
                   .dim = args.dim});
  });
}

size_t headrace_quantize_rows_workspace(const headrace_quantize_rows_args* given) {
  return abi::workspace_query("quantize_rows", given, [](const headrace_quantize_rows_args& args) {
    return abi::no_workspace(args.rows, args.dim);
  });
}

headrace_status headrace_dequantize_rows(const headrace_dequantize_rows_args* given,
                                         void* stream,
                                         void*,
                                         size_t) {
  return abi::entry("dequantize_rows", given, [&](const headrace_dequantize_rows_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    const std::size_t size = args.rows * args.dim;
    dequantize_rows({.codes = {args.codes, size},
                     .scales = {args.scales, args.rows},
                     .dim = args.dim,
                     .values = {args.values, size}});
  });
}

size_t headrace_dequantize_rows_workspace(const headrace_dequantize_rows_args* given) {
  return abi::workspace_query(
      "dequantize_rows", given, [](const headrace_dequantize_rows_args& args) {
        return abi::no_workspace(args.rows, args.dim);
      });
}

}  // extern "C"
