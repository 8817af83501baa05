#pragma once

#include "kernels/abi/entry.hpp"
#include "kernels/include/headrace_dense.h"

/// What both libraries refuse of the entries of headrace_dense.h. `check_sizes` is what a workspace
/// query may look at; `check` is all of it.
namespace headrace::kernels::abi {

constexpr std::uint64_t batch_max = 0x7FFFFFFFU;
constexpr std::uint64_t width_max = 65'536;
constexpr std::uint64_t latent_max = 4'096;
constexpr std::uint64_t dot_fields_max = 64;
constexpr std::uint64_t arena_max = std::uint64_t{1} << 40;

inline void need_flags(std::uint32_t flags, std::uint32_t known) {
  need((flags & ~known) == 0, "flags has bits set that it lacks");
}

/// rows * dim, of rows a batch may have and a dim of at least `dim_min`.
inline std::size_t need_matrix(std::uint64_t rows, std::uint64_t dim, std::uint64_t dim_min) {
  need(rows <= batch_max, "rows is above 2^31 - 1");
  need(dim >= dim_min && dim <= width_max,
       dim_min == 0 ? "dim is above 65536" : "dim is not in 1 to 65536");
  return product(rows, dim, "rows * dim");
}

/// Null exactly where `absent`.
template <class Value>
void need_unless(const Value* array, std::uint64_t count, bool absent, const char* name) {
  if (!absent) return need_array(array, count, name);
  if (array != nullptr) refuse(HEADRACE_BAD_ARGUMENT, std::string(name) + " is not null");
}

/// An array that may be left out.
template <class Value>
void need_if_given(const Value* array, std::uint64_t count, const char* name) {
  if (array != nullptr) need_array(array, count, name);
}

template <class Args>
bool is_rms(const Args& args) {
  return (args.flags & HEADRACE_NORM_RMS) != 0;
}

template <class Args>
void check_norm_sizes(const Args& args) {
  need_flags(args.flags, HEADRACE_NORM_RMS);
  need_matrix(args.rows, args.dim, 1);
}
inline void check_sizes(const headrace_layer_norm_args& args) { check_norm_sizes(args); }
inline void check_sizes(const headrace_layer_norm_backward_args& args) { check_norm_sizes(args); }

inline void check(const headrace_layer_norm_args& args) {
  check_sizes(args);
  const std::size_t size = args.rows * args.dim;
  need(args.epsilon >= 0.0F, "epsilon is below 0");
  need_array(args.x, size, "x");
  need_if_given(args.residual, size, "residual");
  need_array(args.gain, args.dim, "gain");
  need_unless(args.bias, args.dim, is_rms(args), "bias");
  need_unless(args.sum, size, args.residual == nullptr, "sum");
  need_array(args.y, size, "y");
  need_unless(args.mean, args.rows, is_rms(args), "mean");
  need_array(args.rstd, args.rows, "rstd");
}

inline void check(const headrace_layer_norm_backward_args& args) {
  check_sizes(args);
  const std::size_t size = args.rows * args.dim;
  need_array(args.sum, size, "sum");
  need_array(args.gain, args.dim, "gain");
  need_unless(args.mean, args.rows, is_rms(args), "mean");
  need_array(args.rstd, args.rows, "rstd");
  need_array(args.y_gradients, size, "y_gradients");
  need_if_given(args.sum_gradients, size, "sum_gradients");
  need_array(args.x_gradients, size, "x_gradients");
  need_array(args.gain_gradients, args.dim, "gain_gradients");
  need_unless(args.bias_gradients, args.dim, is_rms(args), "bias_gradients");
}

template <class Args>
void check_fm_sizes(const Args& args) {
  need_flags(args.flags, 0);
  need(args.samples <= batch_max, "samples is above 2^31 - 1");
  need(args.latent_dim <= latent_max, "latent_dim is above 4096");
  need(product(args.samples, args.features, "samples * features") <= batch_max,
       "samples * features is above 2^31 - 1");
  product(args.unique, 1 + args.latent_dim, "unique * (1 + latent_dim)");
}
inline void check_sizes(const headrace_fm_args& args) { check_fm_sizes(args); }
inline void check_sizes(const headrace_fm_backward_args& args) { check_fm_sizes(args); }

template <class Args>
void check_fm_inputs(const Args& args) {
  check_sizes(args);
  const std::size_t occurrences = args.samples * args.features;
  need_array(args.rows, args.unique * (1 + args.latent_dim), "rows");
  need_array(args.inverse, occurrences, "inverse");
  need_if_given(args.values, occurrences, "values");
}

inline void check(const headrace_fm_args& args) {
  check_fm_inputs(args);
  need_array(args.logits, args.samples, "logits");
  need_array(args.sums, args.samples * args.latent_dim, "sums");
}

inline void check(const headrace_fm_backward_args& args) {
  check_fm_inputs(args);
  need_array(args.order, args.samples * args.features, "order");
  need_array(args.sums, args.samples * args.latent_dim, "sums");
  need_array(args.logit_gradients, args.samples, "logit_gradients");
  need_array(args.row_gradients, args.unique * (1 + args.latent_dim), "row_gradients");
  need_array(args.bias_gradient, 1, "bias_gradient");
}

/// Values between the first and the last of samples' fields.
inline std::size_t fields_extent(std::uint64_t samples,
                                 std::uint64_t fields,
                                 std::uint64_t dim,
                                 std::uint64_t sample_stride,
                                 std::uint64_t field_stride) {
  if (samples == 0 || fields == 0 || dim == 0) return 0;
  const std::uint64_t last = product(samples - 1, sample_stride, "samples * sample_stride");
  const std::uint64_t field = product(fields - 1, field_stride, "fields * field_stride");
  need(last <= arena_max && field <= arena_max, "a stride is too large");
  return last + field + dim;
}

template <class Args>
void check_dot_sizes(const Args& args) {
  need_flags(args.flags, 0);
  need(args.samples <= batch_max, "samples is above 2^31 - 1");
  need(args.fields <= dot_fields_max, "fields is above 64");
  need(args.dim <= width_max, "dim is above 65536");
  need(args.fields == 0 || args.out_stride >= args.fields * (args.fields - 1) / 2,
       "out_stride is below the number of pairs");
  need(product(args.samples, args.out_stride, "samples * out_stride") <= arena_max,
       "out_stride is too large");
  fields_extent(args.samples, args.fields, args.dim, args.sample_stride, args.field_stride);
}
inline void check_sizes(const headrace_dot_interaction_args& args) { check_dot_sizes(args); }
inline void check_sizes(const headrace_dot_interaction_backward_args& args) {
  check_dot_sizes(args);
  fields_extent(
      args.samples, args.fields, args.dim, args.gradient_sample_stride, args.gradient_field_stride);
}

template <class Args>
std::size_t dot_values(const Args& args) {
  return fields_extent(args.samples, args.fields, args.dim, args.sample_stride, args.field_stride);
}

/// Floats up to the last pair's.
template <class Args>
std::size_t dot_outputs(const Args& args) {
  if (args.samples == 0 || args.fields < 2) return 0;
  return (args.samples - 1) * args.out_stride + args.fields * (args.fields - 1) / 2;
}

inline void check(const headrace_dot_interaction_args& args) {
  check_sizes(args);
  need_array(args.values, dot_values(args), "values");
  need_array(args.out, dot_outputs(args), "out");
}

inline void check(const headrace_dot_interaction_backward_args& args) {
  check_sizes(args);
  need_array(args.values, dot_values(args), "values");
  need_array(args.out_gradients, dot_outputs(args), "out_gradients");
  need_array(args.field_gradients, args.samples * args.fields * args.dim, "field_gradients");
}

}  // namespace headrace::kernels::abi
