#pragma once

#include "kernels/attention/attention_kernel.hpp"
#include "kernels/runtime/launch_shape.hpp"

#include <cstddef>
#include <cstdint>

/// Launch shapes of attention, forward. `launch(shape, kernel, arguments...)` queues a kernel: on a
/// stream of CUDA, or emulated.
namespace headrace::kernels {

/// Head dimensions that the kernels have, as calls visit(constant): false where there is none.
template <int dim>
struct head_dim_constant {
  static constexpr int value = dim;
};
template <class Visit>
bool with_head_dim(std::size_t dim, const Visit& visit) {
  switch (dim) {
    case 16:
      visit(head_dim_constant<16>());
      return true;
    case 32:
      visit(head_dim_constant<32>());
      return true;
    case 64:
      visit(head_dim_constant<64>());
      return true;
    case 128:
      visit(head_dim_constant<128>());
      return true;
    default:
      return false;
  }
}

/// Sequences whose mean is below this are taken in tiles of 16 queries by blocks of one warp: most
/// of a tile of 128 would be empty, and its three other warps idle. Above, a large tile reads keys
/// and values eight times less often. Derived: at a mean of 128, large tiles are half full.
constexpr std::uint64_t short_mean_length = 128;

constexpr bool are_short(std::uint64_t tokens, std::uint64_t sequences) {
  return tokens < short_mean_length * sequences;
}

/// Tiles by head dimension. Large ones have 4 warps of 32 queries, so that each load of keys from
/// shared memory feeds two products, and two blocks fit on a multiprocessor (registers); the keys
/// of a tile are what registers leave room for.
template <int dim>
using short_attention_tiles = attention_tiles<dim, 1, 1, 32>;
template <int dim>
using long_attention_tiles = attention_tiles<dim, 2, 4, dim == 128 ? 32 : 64>;
/// `tokens` is the last of the offsets, here and below.
template <class Element, class Tiles, class Launch>
void launch_attention_in(const attention_view& view, std::uint32_t tokens, const Launch& launch) {
  launch(launch_shape{{tile_numbers(tokens, view.sequences, Tiles::rows), view.heads, 1},
                      Tiles::threads,
                      Tiles::shared_bytes},
         attention_kernel<Element, Tiles>,
         view);
}

/// Forward. The head dimension is one that with_head_dim has.
template <class Element, class Launch>
void launch_attention(const attention_view& view,
                      std::size_t head_dim,
                      std::uint32_t tokens,
                      const Launch& launch) {
  with_head_dim(head_dim, [&](auto dim) {
    if (are_short(tokens, view.sequences)) {
      launch_attention_in<Element, short_attention_tiles<dim.value>>(view, tokens, launch);
    } else {
      launch_attention_in<Element, long_attention_tiles<dim.value>>(view, tokens, launch);
    }
  });
}

}  // namespace headrace::kernels
