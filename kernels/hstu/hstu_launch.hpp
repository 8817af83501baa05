#pragma once

#include "kernels/attention/attention_backward_launch.hpp"
#include "kernels/hstu/hstu_kernel.hpp"

#include <cstddef>
#include <cstdint>

/// Launch shapes of hstu: attention's tiles.
namespace headrace::kernels {

template <class Element, class Tiles, class Launch>
void launch_hstu_in(const hstu_view& view, std::uint32_t tokens, const Launch& launch) {
  const attention_view& in = view.attention;
  launch(launch_shape{{tile_numbers(tokens, in.sequences, Tiles::rows), in.heads, 1},
                      Tiles::threads,
                      Tiles::shared_bytes},
         hstu_kernel<Element, Tiles>,
         view);
}

/// Forward. The head dimension is one that with_head_dim has.
template <class Element, class Launch>
void launch_hstu(const hstu_view& view,
                 std::size_t head_dim,
                 std::uint32_t tokens,
                 const Launch& launch) {
  with_head_dim(head_dim, [&](auto dim) {
    if (are_short(tokens, view.attention.sequences)) {
      launch_hstu_in<Element, short_attention_tiles<dim.value>>(view, tokens, launch);
    } else {
      launch_hstu_in<Element, long_attention_tiles<dim.value>>(view, tokens, launch);
    }
  });
}

/// Large tiles of keys: SiLU and its slope need registers that softmax leaves to a second strip.
template <int dim>
using long_hstu_key_tiles = gradient_tiles<dim, dim >= 64 ? 1 : 2, 4, 32>;

template <class Element, class QueryTiles, class KeyTiles, class Launch>
void launch_hstu_gradients_in(const hstu_backward_view& view,
                              std::uint32_t tokens,
                              const Launch& launch) {
  const attention_view& in = view.attention.forward;
  launch(launch_shape{{tile_numbers(tokens, in.sequences, QueryTiles::rows), in.heads, 1},
                      QueryTiles::threads,
                      QueryTiles::shared_bytes},
         hstu_query_gradient_kernel<Element, QueryTiles>,
         view);
  launch(launch_shape{{tile_numbers(tokens, in.sequences, KeyTiles::rows), in.heads, 1},
                      KeyTiles::threads,
                      KeyTiles::shared_bytes},
         hstu_key_gradient_kernel<Element, KeyTiles>,
         view);
}

template <class Element, int dim, class Launch>
void launch_hstu_table_gradient(const hstu_backward_view& view,
                                const table_gradient_view& table,
                                std::uint32_t tokens,
                                const Launch& launch) {
  using tiles = table_gradient_tiles<dim>;
  launch_table_kernels<tiles>(hstu_table_gradient_kernel<Element, tiles>,
                              view,
                              view.attention.forward,
                              table,
                              tokens,
                              launch);
}

/// Floats of workspace of backward: a table for each block where one is trained.
constexpr std::size_t hstu_tables(std::size_t table_size) {
  return table_gradient_blocks * table_size;
}

/// Backward. `table_gradient` null: none is wanted, and no workspace is used.
template <class Element, class Launch>
void launch_hstu_backward(const hstu_backward_view& view,
                          float* table_gradient,
                          std::size_t head_dim,
                          std::uint32_t tokens,
                          float* workspace,
                          const Launch& launch) {
  with_head_dim(head_dim, [&](auto dim) {
    if (are_short(tokens, view.attention.forward.sequences)) {
      using tiles = short_gradient_tiles<dim.value>;
      launch_hstu_gradients_in<Element, tiles, tiles>(view, tokens, launch);
    } else {
      using tiles = long_gradient_tiles<dim.value>;
      using key_tiles = long_hstu_key_tiles<dim.value>;
      launch_hstu_gradients_in<Element, tiles, key_tiles>(view, tokens, launch);
    }
    if (table_gradient == nullptr) return;
    launch_hstu_table_gradient<Element, dim.value>(
        view, {workspace, table_gradient}, tokens, launch);
  });
}

}  // namespace headrace::kernels
