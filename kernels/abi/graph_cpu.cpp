#include "kernels/abi/cpu_call.hpp"
#include "kernels/abi/graph_checks.hpp"
#include "kernels/gather_fields/gather_fields.hpp"

#include <algorithm>
#include <cstring>
#include <span>

// Entries of headrace_graph.h on the CPU.
using namespace headrace::kernels;

namespace {

// Each index names a row: the CPU library checks what lies in memory.
void need_below(std::span<const std::uint32_t> inverse, std::uint64_t unique) {
  abi::need(std::ranges::all_of(inverse, [&](std::uint32_t row) { return row < unique; }),
            "inverse has an index that is not below unique");
}

template <class Args>
std::size_t linear_bytes(const Args& args) {
  abi::check_linear_sizes(args);
  return linear_workspace(args.rows, args.in, args.out) * sizeof(float);
}

std::span<float> floats_of(void* workspace, std::size_t bytes) {
  return {static_cast<float*>(workspace), bytes / sizeof(float)};
}

}  // namespace

extern "C" {

headrace_status headrace_fields(const headrace_fields_args* given, void* stream, void*, size_t) {
  return abi::entry("fields", given, [&](const headrace_fields_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    const std::size_t places = args.samples * args.fields;
    need_below({args.inverse, places}, args.unique);
    gather_fields(
        {.rows = {args.rows, args.unique * args.width},
         .width = args.width,
         .first_column = args.first_column,
         .inverse = {args.inverse, places},
         .values = abi::span_of(args.values, places),
         .out = packed_fields(
             std::span(args.out, places * args.dim), args.samples, args.fields, args.dim)});
  });
}

size_t headrace_fields_workspace(const headrace_fields_args* given) {
  return abi::workspace_query("fields", given, [](const headrace_fields_args& args) {
    abi::check_fields_sizes(args);
    return std::size_t{0};
  });
}

headrace_status headrace_fields_backward(const headrace_fields_backward_args* given,
                                         void* stream,
                                         void*,
                                         size_t) {
  return abi::entry("fields_backward", given, [&](const headrace_fields_backward_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    const std::size_t places = args.samples * args.fields;
    need_below({args.inverse, places}, args.unique);
    gather_fields_backward(
        {.width = args.width,
         .first_column = args.first_column,
         .inverse = {args.inverse, places},
         .values = abi::span_of(args.values, places),
         .out_gradients = packed_fields(
             std::span(args.out_gradients, places * args.dim), args.samples, args.fields, args.dim),
         .row_gradients = {args.row_gradients, args.unique * args.width}});
  });
}

size_t headrace_fields_backward_workspace(const headrace_fields_backward_args* given) {
  return abi::workspace_query(
      "fields_backward", given, [](const headrace_fields_backward_args& args) {
        abi::check_fields_sizes(args);
        return std::size_t{0};
      });
}

headrace_status headrace_linear(const headrace_linear_args* given,
                                void* stream,
                                void* workspace,
                                size_t workspace_bytes) {
  return abi::entry("linear", given, [&](const headrace_linear_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, linear_bytes(args));
    linear_forward({.x = {args.x, args.rows * args.in},
                    .weights = {args.weights, args.in * args.out},
                    .bias = abi::span_of(args.bias, args.out),
                    .rows = args.rows,
                    .in = args.in,
                    .out = args.out,
                    .activation = abi::activation_of(args),
                    .y = {args.y, args.rows * args.out},
                    .saved = abi::span_of(args.saved, args.rows * args.out),
                    .workspace = floats_of(workspace, workspace_bytes)});
  });
}

size_t headrace_linear_workspace(const headrace_linear_args* given) {
  return abi::workspace_query("linear", given, linear_bytes<headrace_linear_args>);
}

headrace_status headrace_linear_backward(const headrace_linear_backward_args* given,
                                         void* stream,
                                         void* workspace,
                                         size_t workspace_bytes) {
  return abi::entry("linear_backward", given, [&](const headrace_linear_backward_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, linear_bytes(args));
    const std::size_t outputs = args.rows * args.out;
    linear_backward({.x = {args.x, args.rows * args.in},
                     .weights = {args.weights, args.in * args.out},
                     .y = abi::span_of(args.y, outputs),
                     .saved = abi::span_of(args.saved, outputs),
                     .dy = {args.y_gradients, outputs},
                     .rows = args.rows,
                     .in = args.in,
                     .out = args.out,
                     .activation = abi::activation_of(args),
                     .dx = abi::span_of(args.x_gradients, args.rows * args.in),
                     .dweights = {args.weight_gradients, args.in * args.out},
                     .dbias = abi::span_of(args.bias_gradients, args.out),
                     .workspace = floats_of(workspace, workspace_bytes)});
  });
}

size_t headrace_linear_backward_workspace(const headrace_linear_backward_args* given) {
  return abi::workspace_query(
      "linear_backward", given, linear_bytes<headrace_linear_backward_args>);
}

headrace_status headrace_copy_columns(const headrace_copy_columns_args* given,
                                      void* stream,
                                      void*,
                                      size_t) {
  return abi::entry("copy_columns", given, [&](const headrace_copy_columns_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    if (args.columns == 0) return;
    for (std::size_t r = 0; r < args.rows; ++r) {
      std::memcpy(args.to + r * args.to_stride,
                  args.from + r * args.from_stride,
                  args.columns * sizeof(float));
    }
  });
}

size_t headrace_copy_columns_workspace(const headrace_copy_columns_args* given) {
  return abi::workspace_query("copy_columns", given, [](const headrace_copy_columns_args& args) {
    abi::check_sizes(args);
    return std::size_t{0};
  });
}

headrace_status headrace_scale(const headrace_scale_args* given, void* stream, void*, size_t) {
  return abi::entry("scale", given, [&](const headrace_scale_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    const bool add = (args.flags & HEADRACE_ADD_TO) != 0;
    for (std::size_t i = 0; i < args.size; ++i) {
      const float scaled = args.scale * args.from[i];
      args.to[i] = add ? args.to[i] + scaled : scaled;
    }
  });
}

size_t headrace_scale_workspace(const headrace_scale_args* given) {
  return abi::workspace_query("scale", given, [](const headrace_scale_args& args) {
    abi::check_sizes(args);
    return std::size_t{0};
  });
}

}  // extern "C"
