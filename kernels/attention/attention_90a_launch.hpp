#pragma once

#include "kernels/attention/attention_90a_kernel.hpp"
#include "kernels/runtime/launch_shape.hpp"

#include <cstddef>
#include <cstdint>

/// The launch of attention_90a.hpp, for a stream or emulated: `maps` makes a tensor_map of
/// tensor_tiles, `start` starts a kernel. A block a multiprocessor: shared memory allows no more.
namespace headrace::kernels {

/// Rows of a tensor of heads, `stride` elements apart.
inline tensor_tiles tiles_of_heads(const std::uint16_t* base,
                                   std::uint32_t tokens,
                                   std::uint32_t width,
                                   std::size_t stride,
                                   std::uint32_t box_lines) {
  return {base, width, tokens, 1, stride * 2, 0, box_lines};
}

template <class Element, int dim, class Maps, class Start>
void launch_attention_90a(const attention_view& view,
                          std::uint32_t tokens,
                          const Maps& maps,
                          const Start& start) {
  using Tiles = attention_90a_tiles<dim>;
  if (tokens == 0) return;
  const auto map = [&](const std::uint16_t* base, std::uint32_t heads, std::size_t stride) {
    return maps(tiles_of_heads(base, tokens, heads * dim, stride, Tiles::rows));
  };
  const attention_90a_view args{map(view.q, view.heads, view.q_stride),
                                map(view.k, view.kv_heads, view.k_stride),
                                map(view.v, view.kv_heads, view.v_stride),
                                view};
  start(launch_shape{{tile_numbers(tokens, view.sequences, Tiles::rows), view.heads, 1},
                     Tiles::threads,
                     Tiles::shared_bytes},
        attention_90a_kernel<Element, Tiles>,
        args);
}

}  // namespace headrace::kernels
