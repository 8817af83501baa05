#pragma once

#include "kernels/abi/entry.hpp"
#include "kernels/include/headrace_rows.h"

/// What both libraries refuse of the entries of headrace_rows.h, and their workspaces where both
/// have the same.
namespace headrace::kernels::abi {

constexpr std::uint64_t rows_max = 0xFFFFFFFFU;
constexpr std::uint64_t dim_max = 65'536;

/// Flags that no operator of this version names.
inline void need_no_flags(std::uint32_t flags) {
  need(flags == 0, "flags has bits set that it lacks");
}

/// rows * dim of a block of rows.
inline std::size_t need_rows(std::uint64_t rows, std::uint64_t dim) {
  need(rows <= rows_max, "rows is above 2^32 - 1");
  need(dim >= 1 && dim <= dim_max, "dim is not in 1 to 65536");
  return product(rows, dim, "rows * dim");
}

inline void check(const headrace_quantize_rows_args& args) {
  need_no_flags(args.flags);
  const std::size_t size = need_rows(args.rows, args.dim);
  need_array(args.values, size, "values");
  need_array(args.codes, size, "codes");
  need_array(args.scales, args.rows, "scales");
}

inline void check(const headrace_dequantize_rows_args& args) {
  need_no_flags(args.flags);
  const std::size_t size = need_rows(args.rows, args.dim);
  need_array(args.codes, size, "codes");
  need_array(args.scales, args.rows, "scales");
  need_array(args.values, size, "values");
}

/// Queries look at sizes alone.
inline std::size_t no_workspace(std::uint64_t rows, std::uint64_t dim) {
  need_rows(rows, dim);
  return 0;
}

}  // namespace headrace::kernels::abi
