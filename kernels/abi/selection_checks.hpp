#pragma once

#include "kernels/abi/rows_checks.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

/// What both libraries refuse of headrace_gather_rows, headrace_top_k and headrace_dedup.
namespace headrace::kernels::abi {

/// What the CPU converts by way of a block of floats.
constexpr std::uint64_t gathered_dim_max = 4'096;

inline void check_gather_sizes(const headrace_gather_rows_args& args) {
  need_no_flags(args.flags);
  need_rows(args.rows, args.dim);
  need(args.dim <= gathered_dim_max, "dim is above 4096");
  need(args.table_rows <= rows_max && args.more_rows <= rows_max - args.table_rows,
       "table_rows + more_rows is above 2^32 - 1");
  need_dtype(args.stored, "stored");
  need_dtype(args.dtype, "dtype");
}

inline void check(const headrace_gather_rows_args& args) {
  check_gather_sizes(args);
  const std::size_t least = stored_bytes(static_cast<value_format>(args.stored), args.dim);
  need(args.row_bytes >= least, "row_bytes is below headrace_stored_row_bytes");
  need(args.row_bytes % 4 == 0, "row_bytes is no multiple of 4");
  product(args.table_rows + args.more_rows, args.row_bytes, "all rows");
  if (args.rows == 0) return;
  need_bytes(args.table, args.table_rows, 4, "table");
  need_bytes(args.more, args.more_rows, 4, "more");
  need_array(args.index, args.rows, "index");
  need_bytes(args.values, args.rows, dtype_bytes(args.dtype), "values");
  if (args.dtype == HEADRACE_I8) need_array(args.scales, args.rows, "scales");
}

inline void check_top_k_sizes(const headrace_top_k_args& args) {
  need_no_flags(args.flags);
  need(args.count <= rows_max, "count is above 2^32 - 1");
  need(args.k <= args.count, "k is above count");
}

inline void check(const headrace_top_k_args& args) {
  check_top_k_sizes(args);
  need_array(args.values, args.count, "values");
  need_array(args.indices, args.k, "indices");
  need_array(args.selected, args.k, "selected");
}

inline void check_dedup_sizes(const headrace_dedup_args& args) {
  need_no_flags(args.flags);
  need(args.count < rows_max, "count is above 2^32 - 2");
}

inline void check(const headrace_dedup_args& args) {
  check_dedup_sizes(args);
  need_array(args.keys, args.count, "keys");
  need_array(args.unique, args.count, "unique");
  need_array(args.inverse, args.count, "inverse");
  need_array(args.counts, args.count, "counts");
  need_array(args.unique_count, 1, "unique_count");
}

}  // namespace headrace::kernels::abi
