#include "kernels/abi/rows_checks.hpp"
#include "kernels/quantize_rows/quantize_rows_launch.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

extern "C" {

headrace_status headrace_quantize_rows(const headrace_quantize_rows_args* given,
                                       void* stream,
                                       void*,
                                       size_t) {
  return abi::entry("quantize_rows", given, [&](const headrace_quantize_rows_args& args) {
    abi::check(args);
    launch_quantize_rows({args.values,
                          args.codes,
                          args.scales,
                          static_cast<std::uint32_t>(args.rows),
                          static_cast<std::uint32_t>(args.dim),
                          false},
                         cuda_launch{stream});
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
    abi::check(args);
    launch_dequantize_rows({args.codes,
                            args.scales,
                            args.values,
                            static_cast<std::uint32_t>(args.rows),
                            static_cast<std::uint32_t>(args.dim),
                            false},
                           cuda_launch{stream});
  });
}

size_t headrace_dequantize_rows_workspace(const headrace_dequantize_rows_args* given) {
  return abi::workspace_query(
      "dequantize_rows", given, [](const headrace_dequantize_rows_args& args) {
        return abi::no_workspace(args.rows, args.dim);
      });
}

}  // extern "C"
