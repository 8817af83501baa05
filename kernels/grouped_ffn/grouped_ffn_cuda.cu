#include "kernels/abi/moe_checks.hpp"
#include "kernels/grouped_ffn/grouped_ffn_90a_launch.hpp"
#include "kernels/grouped_ffn/grouped_ffn_launch.hpp"
#include "kernels/runtime/cuda_90a.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

/// What the tiles can do: 16 bytes of bfloat16 at a time.
template <class Args>
void need_tiles(const Args& args) {
  abi::check_sizes(args);
  if (args.dtype != HEADRACE_BF16) abi::refuse(HEADRACE_UNSUPPORTED, "dtype is not bf16");
  const bool whole = args.dim % 8 == 0 && args.hidden % 8 == 0;
  if (!whole) abi::refuse(HEADRACE_UNSUPPORTED, "dim or hidden is no multiple of 8");
  if (args.experts > device::grouped_experts_max) {
    abi::refuse(HEADRACE_UNSUPPORTED, "experts is above 1024");
  }
}

/// Bytes of one [rows, hidden] of bfloat16.
template <class Args>
std::size_t inner_bytes(const Args& args) {
  return args.rows * args.hidden * sizeof(std::uint16_t);
}
std::size_t bytes(const headrace_grouped_ffn_args& args) {
  need_tiles(args);
  return abi::is_swiglu(args) ? inner_bytes(args) : 0;
}
std::size_t bytes(const headrace_grouped_ffn_backward_args& args) {
  need_tiles(args);
  return (abi::is_swiglu(args) ? 3 : 1) * inner_bytes(args);
}

template <class Args>
ffn_form form_of(const Args& args) {
  return abi::is_swiglu(args) ? ffn_form::swiglu : ffn_form::relu;
}

/// What both directions read. The kernels of one direction write only what is theirs.
template <class Args>
device::grouped_view view_of(const Args& args, std::uint16_t* h, float* y) {
  const auto brains = [](const void* from) {
    return const_cast<std::uint16_t*>(static_cast<const std::uint16_t*>(from));
  };
  return {.offsets = args.offsets,
          .experts = static_cast<std::uint32_t>(args.experts),
          .dim = static_cast<std::uint32_t>(args.dim),
          .hidden = static_cast<std::uint32_t>(args.hidden),
          .x = brains(args.x),
          .w1 = brains(args.w1),
          .w3 = brains(args.w3),
          .w2 = brains(args.w2),
          .first = brains(args.first),
          .third = brains(args.third),
          .h = abi::is_swiglu(args) ? h : brains(args.first),
          .y = y};
}

/// grouped_gemm's products on a stream.
struct stream_products {
  void* stream;
  void product(const grouped_product_args& args) const { grouped_product_90a(args, stream); }
  void sums(const grouped_sums_args& args) const { grouped_sums_90a(args, stream); }
};

/// sm_90a's products where the device has them and experts have rows enough, else sm_80's kernels.
void forward(const device::grouped_view& view, ffn_form form, std::uint64_t rows, void* stream) {
  if (suits_90a(rows, view) && has_90a()) {
    return launch_grouped_ffn_90a(
        view, form, static_cast<std::uint32_t>(rows), stream_products{stream}, cuda_launch{stream});
  }
  launch_grouped_ffn(view, form, grouped_blocks(multiprocessors()), cuda_launch{stream});
}

void backward(const device::grouped_backward_view& view,
              ffn_form form,
              std::uint64_t rows,
              void* stream) {
  if (suits_90a(rows, view.forward) && has_90a()) {
    return launch_grouped_ffn_backward_90a(
        view, form, static_cast<std::uint32_t>(rows), stream_products{stream}, cuda_launch{stream});
  }
  launch_grouped_ffn_backward(view, form, grouped_blocks(multiprocessors()), cuda_launch{stream});
}

}  // namespace

extern "C" {

headrace_status headrace_grouped_ffn(const headrace_grouped_ffn_args* given,
                                     void* stream,
                                     void* workspace,
                                     size_t workspace_bytes) {
  return abi::entry("grouped_ffn", given, [&](const headrace_grouped_ffn_args& args) {
    need_tiles(args);
    abi::check(args, 16);
    abi::need_workspace(workspace, workspace_bytes, bytes(args));
    forward(view_of(args, static_cast<std::uint16_t*>(workspace), args.y),
            form_of(args),
            args.rows,
            stream);
  });
}

size_t headrace_grouped_ffn_workspace(const headrace_grouped_ffn_args* given) {
  return abi::workspace_query(
      "grouped_ffn", given, [](const headrace_grouped_ffn_args& args) { return bytes(args); });
}

headrace_status headrace_grouped_ffn_backward(const headrace_grouped_ffn_backward_args* given,
                                              void* stream,
                                              void* workspace,
                                              size_t workspace_bytes) {
  return abi::entry(
      "grouped_ffn_backward", given, [&](const headrace_grouped_ffn_backward_args& args) {
        need_tiles(args);
        abi::check(args, 16);
        abi::need_workspace(workspace, workspace_bytes, bytes(args));
        auto* du = static_cast<std::uint16_t*>(workspace);
        const std::size_t inner = args.rows * args.hidden;
        backward({.forward = view_of(args, du + 2 * inner, nullptr),
                  .y_gradients = static_cast<const std::uint16_t*>(args.y_gradients),
                  .du = du,
                  .dv = abi::is_swiglu(args) ? du + inner : nullptr,
                  .x_gradients = args.x_gradients,
                  .w1_gradients = args.w1_gradients,
                  .w3_gradients = args.w3_gradients,
                  .w2_gradients = args.w2_gradients},
                 form_of(args),
                 args.rows,
                 stream);
      });
}

size_t headrace_grouped_ffn_backward_workspace(const headrace_grouped_ffn_backward_args* given) {
  return abi::workspace_query(
      "grouped_ffn_backward", given, [](const headrace_grouped_ffn_backward_args& args) {
        return bytes(args);
      });
}

}  // extern "C"
