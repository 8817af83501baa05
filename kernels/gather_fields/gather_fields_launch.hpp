#pragma once

#include "kernels/gather_fields/gather_fields_kernel.hpp"
#include "kernels/runtime/elementwise_shape.hpp"

/// Launch shapes of gather_fields. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

template <class Launch>
void launch_gather_fields(const device::gather_fields_view& view, const Launch& launch) {
  const std::size_t size = view.places * view.dim;
  if (size == 0) return;
  launch(elementwise_shape(size), device::gather_fields_kernel, view);
}

/// Floats of `partials`: one row of columns for each tile that has all its places.
constexpr std::size_t gather_fields_partials(std::size_t places, std::size_t dim) {
  return places / device::field_tile * dim;
}

/// Eight warps a block: a warp waits for nobody. Tiles first, then rows.
template <class Launch>
void launch_gather_fields_backward(const device::gather_fields_backward_view& view,
                                   const Launch& launch) {
  constexpr unsigned warps = 8;
  if (view.places == 0) return;
  const auto shape = [](std::uint32_t count) {
    return launch_shape{.grid = {(count + warps - 1) / warps}, .threads = 32 * warps};
  };
  const std::uint32_t tiles = device::whole_field_tiles(view.places);
  if (tiles > 0) launch(shape(tiles), device::gather_fields_tiles_kernel, view);
  launch(shape(view.places), device::gather_fields_backward_kernel, view);
}

}  // namespace headrace::kernels
