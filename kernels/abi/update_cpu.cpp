#include "kernels/abi/cpu_call.hpp"
#include "kernels/abi/update_checks.hpp"
#include "kernels/sparse_update/sparse_update.hpp"

#include <span>

// headrace_sparse_update on the CPU.
using namespace headrace::kernels;

namespace {

/// Pointers to rows and to states.
std::size_t bytes_needed(const headrace_sparse_update_args& args) {
  abi::need_rows(args.rows, args.dim);
  return abi::product(args.rows, 2 * sizeof(float*), "rows");
}

sparse_update_args settings_of(const headrace_sparse_update_args& args) {
  sparse_update_args of;
  of.dim = args.dim;
  of.rule = static_cast<update_rule>(args.rule);
  of.rate = args.rate;
  of.first_rate = args.first_rate;
  of.first_columns = args.first_columns;
  of.l2 = args.l2;
  of.clip = args.clip;
  of.momentum = args.momentum;
  of.beta1 = args.beta1;
  of.beta2 = args.beta2;
  of.weight_decay = args.weight_decay;
  of.ftrl_l1 = args.ftrl_l1;
  of.ftrl_l2 = args.ftrl_l2;
  of.ftrl_beta = args.ftrl_beta;
  return of;
}

void set_gradients(const headrace_sparse_update_args& args, sparse_update_args& of) {
  const std::size_t size = args.rows * args.dim;
  const auto* words = static_cast<const std::uint16_t*>(args.gradients);
  switch (args.gradient_dtype) {
    case HEADRACE_F32:
      of.gradients = {static_cast<const float*>(args.gradients), size};
      break;
    case HEADRACE_I8:
      of.codes = {static_cast<const std::int8_t*>(args.gradients), size};
      of.scales = {args.scales, args.rows};
      break;
    case HEADRACE_F16:
      of.halves = {words, size};
      break;
    default:
      of.brains = {words, size};
      break;
  }
}

/// `pointers` has room for 2 rows.
void set_rows(const headrace_sparse_update_args& args, float** pointers, sparse_update_args& of) {
  abi::need_index({args.index, args.rows}, args.table_rows, "index");
  for (std::size_t i = 0; i < args.rows; ++i) {
    const std::uint64_t row = args.index[i];
    pointers[i] = args.table + row * args.row_stride;
    pointers[args.rows + i] =
        args.states == nullptr ? pointers[i] + args.dim : args.states + row * args.state_stride;
  }
  of.rows = {pointers, args.rows};
  of.states = {pointers + args.rows, args.rows};
}

}  // namespace

extern "C" {

headrace_status headrace_sparse_update(const headrace_sparse_update_args* given,
                                       void* stream,
                                       void* workspace,
                                       size_t workspace_bytes) {
  return abi::entry("sparse_update", given, [&](const headrace_sparse_update_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, bytes_needed(args));
    if (args.rows == 0) return;
    sparse_update_args of = settings_of(args);
    set_gradients(args, of);
    set_rows(args, static_cast<float**>(workspace), of);
    sparse_update(of);
  });
}

size_t headrace_sparse_update_workspace(const headrace_sparse_update_args* given) {
  return abi::workspace_query("sparse_update", given, bytes_needed);
}

}  // extern "C"
