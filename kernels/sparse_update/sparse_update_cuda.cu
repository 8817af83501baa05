#include "kernels/abi/update_checks.hpp"
#include "kernels/runtime/launch_cuda.hpp"
#include "kernels/sparse_update/sparse_update_launch.hpp"

using namespace headrace::kernels;

namespace {

device::sparse_update_view view_of(const headrace_sparse_update_args& args) {
  device::sparse_update_view view{};
  const bool behind = args.states == nullptr;
  view.table = args.table;
  view.row_stride = args.row_stride;
  view.states = behind ? args.table + args.dim : args.states;
  view.state_stride = behind ? args.row_stride : args.state_stride;
  view.index = args.index;
  view.gradients = args.gradients;
  view.scales = args.scales;
  view.rows = static_cast<std::uint32_t>(args.rows);
  view.dim = static_cast<std::uint32_t>(args.dim);
  view.first_columns =
      static_cast<std::uint32_t>(args.first_columns < args.dim ? args.first_columns : args.dim);
  view.format = static_cast<value_format>(args.gradient_dtype);
  view.rate = args.rate;
  view.first_rate = args.first_rate;
  view.l2 = args.l2;
  view.clip = args.clip;
  view.momentum = args.momentum;
  view.beta1 = args.beta1;
  view.beta2 = args.beta2;
  view.weight_decay = args.weight_decay;
  view.ftrl_l1 = args.ftrl_l1;
  view.ftrl_l2 = args.ftrl_l2;
  view.ftrl_beta = args.ftrl_beta;
  return view;
}

}  // namespace

extern "C" {

headrace_status headrace_sparse_update(const headrace_sparse_update_args* given,
                                       void* stream,
                                       void*,
                                       size_t) {
  return abi::entry("sparse_update", given, [&](const headrace_sparse_update_args& args) {
    abi::check(args);
    if (args.rows == 0) return;
    launch_sparse_update(
        view_of(args), static_cast<update_rule>(args.rule), cuda_launch{stream});
  });
}

size_t headrace_sparse_update_workspace(const headrace_sparse_update_args* given) {
  return abi::workspace_query("sparse_update", given, [](const headrace_sparse_update_args& args) {
    return abi::no_workspace(args.rows, args.dim);
  });
}

}  // extern "C"
