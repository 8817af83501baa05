#pragma once

#include "kernels/abi/rows_checks.hpp"
#include "kernels/sparse_update/sparse_update.hpp"

#include <cmath>

/// What both libraries refuse of headrace_sparse_update.
namespace headrace::kernels::abi {

inline void need_finite(float value, const char* text) { need(std::isfinite(value), text); }

/// Settings that would make weights that are no numbers.
inline void check_settings(const headrace_sparse_update_args& args) {
  need(args.rule >= HEADRACE_ADD && args.rule <= HEADRACE_FTRL, "rule is no headrace_update_rule");
  need_finite(args.rate, "rate is not finite");
  need_finite(args.first_rate, "first_rate is not finite");
  need_finite(args.l2, "l2 is not finite");
  need_finite(args.clip, "clip is not finite");
  need_finite(args.momentum, "momentum is not finite");
  need_finite(args.weight_decay, "weight_decay is not finite");
  need(args.reserved == 0.0F, "reserved is not 0");
  if (args.rule == HEADRACE_ADAM || args.rule == HEADRACE_ADAMW) {
    need(args.beta1 >= 0.0F && args.beta1 < 1.0F, "beta1 is not in [0, 1)");
    need(args.beta2 >= 0.0F && args.beta2 < 1.0F, "beta2 is not in [0, 1)");
  }
  if (args.rule == HEADRACE_FTRL) {
    need(args.rate > 0.0F, "rate is not above 0");
    need(args.first_columns == 0 || args.first_rate > 0.0F, "first_rate is not above 0");
    need(args.ftrl_l1 >= 0.0F && std::isfinite(args.ftrl_l1), "ftrl_l1 is negative or not finite");
    need(args.ftrl_l2 >= 0.0F && std::isfinite(args.ftrl_l2), "ftrl_l2 is negative or not finite");
    need(args.ftrl_beta >= 0.0F && std::isfinite(args.ftrl_beta),
         "ftrl_beta is negative or not finite");
  }
}

/// Strides that keep rows and states apart.
inline void check_strides(const headrace_sparse_update_args& args) {
  const std::uint64_t state = state_words(static_cast<update_rule>(args.rule), args.dim);
  need(args.table_rows <= rows_max, "table_rows is above 2^32 - 1");
  need(args.rows <= args.table_rows, "rows is above table_rows: they must be different");
  const std::uint64_t row = args.states == nullptr ? args.dim + state : args.dim;
  need(args.row_stride >= row, "row_stride is below what a row has");
  need(args.states == nullptr || args.state_stride >= state,
       "state_stride is below the rule's state");
  product(args.table_rows, args.row_stride, "table_rows * row_stride");
  product(args.table_rows, args.state_stride, "table_rows * state_stride");
}

inline void check(const headrace_sparse_update_args& args) {
  need_no_flags(args.flags);
  const std::size_t size = need_rows(args.rows, args.dim);
  need_dtype(args.gradient_dtype, "gradient_dtype");
  check_settings(args);
  check_strides(args);
  if (args.rows == 0) return;
  need_array(args.table, args.rows, "table");
  need_bytes(args.states, args.states != nullptr ? 1 : 0, alignof(float), "states");
  need_array(args.index, args.rows, "index");
  need_bytes(args.gradients, size, dtype_bytes(args.gradient_dtype), "gradients");
  if (args.gradient_dtype == HEADRACE_I8) need_array(args.scales, args.rows, "scales");
}

}  // namespace headrace::kernels::abi
