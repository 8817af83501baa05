#include "base/check.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/lora/lora.hpp"

#include <algorithm>

namespace headrace::kernels {
namespace {

/// All the work is gemm's but this, over [rows, rank]: too little for vectors by hand.
void scale_all(std::span<float> values, float scale) {
  for (float& value : values) value *= scale;
}

/// hidden = s X A, or with X = dY and A = Bᵀ its gradient.
struct scaled_product {
  const float* left;
  std::size_t depth;
  const float* right;
  std::size_t right_stride;
  bool right_transposed;
};
void write_hidden(const scaled_product& of,
                  const lora_sizes& sizes,
                  float scale,
                  std::span<float> hidden,
                  std::span<float> workspace) {
  gemm({.a = of.left,
        .a_stride = of.depth,
        .b = of.right,
        .b_stride = of.right_stride,
        .b_transposed = of.right_transposed,
        .c = hidden.data(),
        .c_stride = sizes.rank,
        .m = sizes.rows,
        .n = sizes.rank,
        .k = of.depth,
        .workspace = workspace});
  scale_all(hidden, scale);
}

/// to [rows of left, right_columns] += left ᵀ right, summed over the rows of the batch.
void add_weight_gradients(std::span<const float> left,
                          std::size_t left_columns,
                          std::span<const float> right,
                          std::size_t right_columns,
                          std::size_t rows,
                          std::span<float> to,
                          std::span<float> workspace) {
  gemm({.a = left.data(),
        .a_stride = left_columns,
        .a_transposed = true,
        .b = right.data(),
        .b_stride = right_columns,
        .c = to.data(),
        .c_stride = right_columns,
        .m = left_columns,
        .n = right_columns,
        .k = rows,
        .accumulate = true,
        .workspace = workspace});
}

template <class Args>
void check_weights(const Args& args) {
  const lora_sizes& sizes = args.sizes;
  CHECK(args.x.size() == sizes.rows * sizes.inputs);
  CHECK(args.a.size() == sizes.inputs * sizes.rank);
  CHECK(args.b.size() == sizes.rank * sizes.outputs);
  CHECK(args.hidden.size() == sizes.rows * sizes.rank);
  CHECK(args.workspace.size() >= lora_workspace(sizes));
}

}  // namespace

std::size_t lora_workspace(const lora_sizes& sizes) {
  const auto& [rows, inputs, rank, outputs] = sizes;
  return rows * rank + std::max({gemm_workspace(rows, rank, inputs),
                                 gemm_workspace(rows, outputs, rank),
                                 gemm_workspace(rows, rank, outputs),
                                 gemm_workspace(rows, inputs, rank),
                                 gemm_workspace(inputs, rank, rows),
                                 gemm_workspace(rank, outputs, rows)});
}

void lora_forward_cpu(const lora_forward_args& args) {
  const auto& [rows, inputs, rank, outputs] = args.sizes;
  check_weights(args);
  CHECK(args.y.size() == rows * outputs);
  write_hidden({.left = args.x.data(),
                .depth = inputs,
                .right = args.a.data(),
                .right_stride = rank,
                .right_transposed = false},
               args.sizes,
               args.scale,
               args.hidden,
               args.workspace);
  gemm({.a = args.hidden.data(),
        .a_stride = rank,
        .b = args.b.data(),
        .b_stride = outputs,
        .c = args.y.data(),
        .c_stride = outputs,
        .m = rows,
        .n = outputs,
        .k = rank,
        .accumulate = true,
        .workspace = args.workspace});
}

void lora_backward_cpu(const lora_backward_args& args) {
  const auto& [rows, inputs, rank, outputs] = args.sizes;
  check_weights(args);
  CHECK(args.y_gradients.size() == rows * outputs);
  CHECK(args.x_gradients.empty() || args.x_gradients.size() == args.x.size());
  CHECK(args.a_gradients.size() == args.a.size());
  CHECK(args.b_gradients.size() == args.b.size());
  const std::span<float> hidden_gradients = args.workspace.first(rows * rank);
  const std::span<float> workspace = args.workspace.subspan(rows * rank);
  write_hidden({.left = args.y_gradients.data(),
                .depth = outputs,
                .right = args.b.data(),
                .right_stride = outputs,
                .right_transposed = true},
               args.sizes,
               args.scale,
               hidden_gradients,
               workspace);
  add_weight_gradients(args.x, inputs, hidden_gradients, rank, rows, args.a_gradients, workspace);
  add_weight_gradients(
      args.hidden, rank, args.y_gradients, outputs, rows, args.b_gradients, workspace);
  if (args.x_gradients.empty()) return;
  gemm({.a = hidden_gradients.data(),
        .a_stride = rank,
        .b = args.a.data(),
        .b_stride = rank,
        .b_transposed = true,
        .c = args.x_gradients.data(),
        .c_stride = inputs,
        .m = rows,
        .n = inputs,
        .k = rank,
        .accumulate = true,
        .workspace = workspace});
}

}  // namespace headrace::kernels
