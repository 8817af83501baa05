#pragma once

#include "kernels/grouped_ffn/grouped_ffn_backward_kernel.hpp"

/// Launch shapes of the experts' nets. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

/// Two blocks a multiprocessor: 62 KiB of shared memory and at most 128 registers a thread each, so
/// that one multiplies while the other waits for its copies. Tiles are dealt out by number: any
/// grid gives the same bits.
constexpr std::uint32_t grouped_blocks(std::uint32_t multiprocessors) {
  return 2 * multiprocessors;
}

constexpr launch_shape grouped_shape(std::uint32_t experts, std::uint32_t blocks) {
  return {.grid = {blocks},
          .threads = device::tile_threads,
          .shared_bytes = device::tile_shared_bytes + (experts + 1) * sizeof(std::uint32_t)};
}

/// Two kernels: up to h, down to y.
template <class Launch>
void launch_grouped_ffn(const device::grouped_view& view,
                        ffn_form form,
                        std::uint32_t blocks,
                        const Launch& launch) {
  const launch_shape shape = grouped_shape(view.experts, blocks);
  if (form == ffn_form::swiglu) {
    launch(shape, device::grouped_up_kernel<ffn_form::swiglu>, view);
  } else {
    launch(shape, device::grouped_up_kernel<ffn_form::relu>, view);
  }
  launch(shape, device::grouped_down_kernel, view);
}

template <ffn_form Form, class Launch>
void launch_grouped_gradients(const device::grouped_backward_view& view,
                              std::uint32_t blocks,
                              const Launch& launch) {
  const device::grouped_view& all = view.forward;
  const launch_shape shape = grouped_shape(all.experts, blocks);
  launch(shape, device::grouped_hidden_gradient_kernel<Form>, view);
  launch(shape, device::grouped_input_gradient_kernel<Form>, view);
  const auto add = [&](const std::uint16_t* left,
                       std::uint32_t m,
                       const std::uint16_t* right,
                       std::uint32_t n,
                       float* gradients) {
    launch(shape,
           device::grouped_weight_gradient_kernel,
           device::weight_gradient_view{all.offsets, all.experts, left, right, gradients, m, n});
  };
  add(all.x, all.dim, view.du, all.hidden, view.w1_gradients);
  if (Form == ffn_form::swiglu) add(all.x, all.dim, view.dv, all.hidden, view.w3_gradients);
  add(all.h, all.hidden, view.y_gradients, all.dim, view.w2_gradients);
}

/// Four or five kernels; h of relu is first.
template <class Launch>
void launch_grouped_ffn_backward(const device::grouped_backward_view& view,
                                 ffn_form form,
                                 std::uint32_t blocks,
                                 const Launch& launch) {
  if (form == ffn_form::swiglu) {
    return launch_grouped_gradients<ffn_form::swiglu>(view, blocks, launch);
  }
  launch_grouped_gradients<ffn_form::relu>(view, blocks, launch);
}

}  // namespace headrace::kernels
