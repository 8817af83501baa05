#pragma once

#include "kernels/runtime/launch_shape.hpp"
#include "kernels/sparse_update/sparse_update_kernel.hpp"

/// Launch shape of the row optimizers: a team of lanes a row, four warps a block, no shared memory.
namespace headrace::kernels {

inline device::power_squares powers_of(float beta) {
  device::power_squares powers{};
  double square = static_cast<double>(beta);
  for (double& power : powers.at) {
    power = square;
    square = square * square;
  }
  return powers;
}

/// Whether rows, states and gradients can all be moved four columns at a time.
inline bool updates_in_fours(const device::sparse_update_view& view) {
  const auto bytes = static_cast<unsigned>(value_bytes(view.format));
  return view.row_stride % 4 == 0 && view.state_stride % 4 == 0 &&
         device::moves_in_fours(view.table, view.dim, 4) &&
         device::moves_in_fours(view.states, view.dim, 4) &&
         device::moves_in_fours(view.gradients, view.dim, bytes);
}

/// Sets vectors and the powers.
template <class Launch>
void launch_sparse_update(device::sparse_update_view view, update_rule rule, const Launch& launch) {
  if (view.rows == 0) return;
  view.vectors = updates_in_fours(view);
  view.first_powers = powers_of(view.beta1);
  view.second_powers = powers_of(view.beta2);
  const unsigned a_block = device::team_block_threads / device::update_lanes(rule, view.dim);
  const launch_shape shape = {.grid = {(view.rows - 1) / a_block + 1},
                              .threads = device::team_block_threads};
  switch (rule) {
    case update_rule::add:
      return launch(shape, device::sparse_update_kernel<update_rule::add>, view);
    case update_rule::sgd:
      return launch(shape, device::sparse_update_kernel<update_rule::sgd>, view);
    case update_rule::adagrad:
      return launch(shape, device::sparse_update_kernel<update_rule::adagrad>, view);
    case update_rule::momentum:
      return launch(shape, device::sparse_update_kernel<update_rule::momentum>, view);
    case update_rule::rowwise_adagrad:
      return launch(shape, device::sparse_update_kernel<update_rule::rowwise_adagrad>, view);
    case update_rule::adam:
      return launch(shape, device::sparse_update_kernel<update_rule::adam>, view);
    case update_rule::adamw:
      return launch(shape, device::sparse_update_kernel<update_rule::adamw>, view);
    case update_rule::ftrl:
      return launch(shape, device::sparse_update_kernel<update_rule::ftrl>, view);
  }
}

}  // namespace headrace::kernels
