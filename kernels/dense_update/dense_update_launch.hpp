#pragma once

#include "kernels/dense_update/dense_update_kernel.hpp"

/// Launch shapes of the dense optimizers. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

template <update_rule Rule, class Launch>
void launch_dense_rule(const device::dense_view& view, std::uint32_t blocks, const Launch& launch) {
  launch(launch_shape{.grid = {(view.count + 127) / 128}, .threads = 128},
         device::dense_factors_kernel<Rule>,
         view);
  launch(launch_shape{.grid = {blocks}, .threads = 256}, device::dense_update_kernel<Rule>, view);
}

/// `blocks` as plan_dense_blocks said. A block of 256 threads moves 16 floats of each array a
/// thread: four independent loads of 16 bytes from each of two to four arrays. rule: is_dense_rule.
template <class Launch>
void launch_dense_update(const device::dense_view& view,
                         update_rule rule,
                         std::uint32_t blocks,
                         const Launch& launch) {
  if (blocks == 0) return;
  switch (rule) {
    case update_rule::add:
      return launch_dense_rule<update_rule::add>(view, blocks, launch);
    case update_rule::sgd:
      return launch_dense_rule<update_rule::sgd>(view, blocks, launch);
    case update_rule::adagrad:
      return launch_dense_rule<update_rule::adagrad>(view, blocks, launch);
    case update_rule::momentum:
      return launch_dense_rule<update_rule::momentum>(view, blocks, launch);
    case update_rule::adam:
      return launch_dense_rule<update_rule::adam>(view, blocks, launch);
    case update_rule::adamw:
      return launch_dense_rule<update_rule::adamw>(view, blocks, launch);
    case update_rule::rowwise_adagrad:
    case update_rule::ftrl:
      return;
  }
}

}  // namespace headrace::kernels
