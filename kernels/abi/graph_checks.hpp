#pragma once

#include "kernels/abi/entry.hpp"
#include "kernels/include/headrace_graph.h"
#include "kernels/linear/linear.hpp"

/// What both libraries refuse of the entries of headrace_graph.h.
namespace headrace::kernels::abi {

constexpr std::uint64_t graph_rows_max = 0x7FFFFFFFU;
constexpr std::uint64_t graph_width_max = 65'536;

inline void need_graph_rows(std::uint64_t rows, const char* text) {
  need(rows <= graph_rows_max, text);
}

/// Sizes of a lookup; places of its index fit 32 bits.
template <class Args>
void check_fields_sizes(const Args& args) {
  need(args.flags == 0, "flags has bits set that it lacks");
  need_graph_rows(args.unique, "unique is above 2^31 - 1");
  need_graph_rows(args.samples, "samples is above 2^31 - 1");
  need(args.width >= 1 && args.width <= graph_width_max, "width is not in 1 to 65536");
  need(args.dim >= 1 && args.dim <= args.width && args.first_column <= args.width - args.dim,
       "first_column + dim is above width, or dim is 0");
  need_graph_rows(product(args.samples, args.fields, "samples * fields"),
                  "samples * fields is above 2^31 - 1");
}

inline void check(const headrace_fields_args& args) {
  check_fields_sizes(args);
  const std::size_t places = args.samples * args.fields;
  need_array(args.rows, args.unique * args.width, "rows");
  need_array(args.inverse, places, "inverse");
  if (args.values != nullptr) need_array(args.values, places, "values");
  need_array(args.out, product(places, args.dim, "samples * fields * dim"), "out");
}

/// `order` is what the CUDA library alone reads.
inline void check(const headrace_fields_backward_args& args) {
  check_fields_sizes(args);
  const std::size_t places = args.samples * args.fields;
  need_array(args.inverse, places, "inverse");
  if (args.values != nullptr) need_array(args.values, places, "values");
  need_array(
      args.out_gradients, product(places, args.dim, "samples * fields * dim"), "out_gradients");
  need_array(args.row_gradients, args.unique * args.width, "row_gradients");
}

template <class Args>
linear_activation activation_of(const Args& args) {
  need(args.activation >= HEADRACE_IDENTITY && args.activation <= HEADRACE_TANH,
       "activation is no headrace_activation");
  return static_cast<linear_activation>(args.activation);
}
static_assert(static_cast<int>(linear_activation::none) == HEADRACE_IDENTITY);
static_assert(static_cast<int>(linear_activation::relu) == HEADRACE_RELU);
static_assert(static_cast<int>(linear_activation::sigmoid) == HEADRACE_SIGMOID);
static_assert(static_cast<int>(linear_activation::silu) == HEADRACE_SILU);
static_assert(static_cast<int>(linear_activation::gelu) == HEADRACE_GELU);
static_assert(static_cast<int>(linear_activation::tanh) == HEADRACE_TANH);

template <class Args>
void check_linear_sizes(const Args& args) {
  need(args.flags == 0 && args.reserved == 0, "flags or reserved is not 0");
  need_graph_rows(args.rows, "rows is above 2^31 - 1");
  need(args.in >= 1 && args.in <= graph_width_max, "in is not in 1 to 65536");
  need(args.out >= 1 && args.out <= graph_width_max, "out is not in 1 to 65536");
  activation_of(args);
}

inline void check(const headrace_linear_args& args) {
  check_linear_sizes(args);
  const bool saves = linear_reads_saved(activation_of(args));
  need_array(args.x, args.rows * args.in, "x");
  need_array(args.weights, args.in * args.out, "weights");
  if (args.bias != nullptr) need_array(args.bias, args.out, "bias");
  need_array(args.y, args.rows * args.out, "y");
  need_array(args.saved, saves ? args.rows * args.out : 0, "saved");
}

inline void check(const headrace_linear_backward_args& args) {
  check_linear_sizes(args);
  const linear_activation activation = activation_of(args);
  const std::size_t outputs = args.rows * args.out;
  need_array(args.x, args.rows * args.in, "x");
  need_array(args.weights, args.in * args.out, "weights");
  need_array(args.y, linear_reads_y(activation) ? outputs : 0, "y");
  need_array(args.saved, linear_reads_saved(activation) ? outputs : 0, "saved");
  need_array(args.y_gradients, outputs, "y_gradients");
  if (args.x_gradients != nullptr) need_array(args.x_gradients, args.rows * args.in, "x_gradients");
  need_array(args.weight_gradients, args.in * args.out, "weight_gradients");
  if (args.bias_gradients != nullptr) need_array(args.bias_gradients, args.out, "bias_gradients");
}

inline void check_sizes(const headrace_copy_columns_args& args) {
  need(args.flags == 0, "flags has bits set that it lacks");
  need_graph_rows(args.rows, "rows is above 2^31 - 1");
  need_graph_rows(args.columns, "columns is above 2^31 - 1");
  need(args.from_stride >= args.columns, "from_stride is below columns");
  need(args.to_stride >= args.columns, "to_stride is below columns");
  product(args.rows, args.from_stride, "rows * from_stride");
  product(args.rows, args.to_stride, "rows * to_stride");
}

inline void check(const headrace_copy_columns_args& args) {
  check_sizes(args);
  need_array(args.from, args.rows * args.columns, "from");
  need_array(args.to, args.rows * args.columns, "to");
}

inline void check_sizes(const headrace_scale_args& args) {
  need((args.flags & ~std::uint32_t{HEADRACE_ADD_TO}) == 0, "flags has bits set that it lacks");
  product(args.size, sizeof(float), "size");
}

inline void check(const headrace_scale_args& args) {
  check_sizes(args);
  need_array(args.from, args.size, "from");
  need_array(args.to, args.size, "to");
}

}  // namespace headrace::kernels::abi
