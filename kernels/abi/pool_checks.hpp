#pragma once

#include "kernels/abi/rows_checks.hpp"

/// What both libraries refuse of headrace_gather_pool and its gradient.
namespace headrace::kernels::abi {

/// Sizes alone: what the queries look at, too.
template <class Args>
void check_pool_sizes(const Args& args) {
  need_no_flags(args.flags);
  need_rows(args.rows, args.dim);
  need(args.occurrences <= rows_max, "occurrences is above 2^32 - 1");
  need(args.bags < rows_max, "bags is above 2^32 - 2");
  need(args.occurrences == 0 || args.rows > 0, "rows is 0, but there are occurrences");
  need(args.occurrences == 0 || args.bags > 0, "bags is 0, but there are occurrences");
}

template <class Args>
void check_bag_arrays(const Args& args) {
  need_array(args.inverse, args.occurrences, "inverse");
  need_bytes(args.weights, args.weights != nullptr ? 1 : 0, alignof(float), "weights");
  need_array(args.offsets, args.bags + 1, "offsets");
}

inline void check(const headrace_gather_pool_args& args) {
  check_pool_sizes(args);
  check_bag_arrays(args);
  need_dtype(args.dtype, "dtype");
  need(args.reserved == 0, "reserved is not 0");
  need_array(args.out, product(args.bags, args.dim, "bags * dim"), "out");
  if (args.occurrences == 0) return;
  need_bytes(args.values, args.rows, dtype_bytes(args.dtype), "values");
  if (args.dtype == HEADRACE_I8) need_array(args.scales, args.rows, "scales");
}

inline void check(const headrace_gather_pool_weights_args& args) {
  check_pool_sizes(args);
  need_array(args.inverse, args.occurrences, "inverse");
  need_array(args.offsets, args.bags + 1, "offsets");
  need_dtype(args.dtype, "dtype");
  need(args.reserved == 0, "reserved is not 0");
  need_array(args.out_gradients, product(args.bags, args.dim, "bags * dim"), "out_gradients");
  need_array(args.weight_gradients, args.occurrences, "weight_gradients");
  if (args.occurrences == 0) return;
  need_bytes(args.values, args.rows, dtype_bytes(args.dtype), "values");
  if (args.dtype == HEADRACE_I8) need_array(args.scales, args.rows, "scales");
}

inline void check(const headrace_gather_pool_backward_args& args) {
  check_pool_sizes(args);
  check_bag_arrays(args);
  need_array(args.out_gradients, product(args.bags, args.dim, "bags * dim"), "out_gradients");
  need_array(args.row_gradients, args.rows, "row_gradients");
}

}  // namespace headrace::kernels::abi
