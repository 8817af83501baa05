#pragma once

#include "kernels/grouped_ffn/grouped_ffn_backward_kernel.hpp"

/// What experts' nets do between products where these are grouped_gemm's (sm_90a): elementwise, two
/// neighbouring values a thread, over the rows that experts have. Products arrive rounded to
/// bfloat16, a rounding more than in grouped_ffn_kernel.hpp.
namespace headrace::kernels::device {

/// work(at) for the first of each pair of [rows of all experts, hidden]. Any grid.
template <class Work>
HEADRACE_DEVICE void for_hidden_pairs(const grouped_view& view, const Work& work) {
  const std::size_t size = std::size_t{view.offsets[view.experts]} * view.hidden;
  const std::size_t step = std::size_t{grid_blocks().x} * block_threads() * 2;
  for (std::size_t at = (std::size_t{block_index().x} * block_threads() + thread_index()) * 2;
       at < size;
       at += step)
    work(at);
}

/// h = SiLU(first) third, or first = max(first, 0).
template <ffn_form Form>
HEADRACE_KERNEL void hidden_kernel(grouped_view view) {
  for_hidden_pairs(view, [&](std::size_t at) {
    float h[2];
    HEADRACE_UNROLL
    for (unsigned i = 0; i < 2; ++i) {
      const float u = load_brain(view.first, at + i);
      if constexpr (Form == ffn_form::relu) {
        h[i] = u > 0.0F ? u : 0.0F;
      } else {
        h[i] = u * sigmoid_near(u) * load_brain(view.third, at + i);
      }
    }
    store_pair(Form == ffn_form::relu ? view.first : view.h, at, h[0], h[1]);
  });
}

/// du and dv from dh, which lies where du will, and h once more.
template <ffn_form Form>
HEADRACE_KERNEL void hidden_gradients_kernel(grouped_backward_view view) {
  for_hidden_pairs(view.forward, [&](std::size_t at) {
    const float dh[2] = {load_brain(view.du, at), load_brain(view.du, at + 1)};
    store_hidden_gradients<Form>(view, at, dh);
  });
}

}  // namespace headrace::kernels::device
