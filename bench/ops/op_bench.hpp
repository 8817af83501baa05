#pragma once

#include "bench/torch/layer.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

/// Single operators of kernels/ beside PyTorch and beside a limit: what each of them costs.
namespace headrace::bench {

/// An operator with inputs drawn, and what is compared.
struct op_case {
  std::unique_ptr<layer> body;
  layer_case what;  // all but bench, point, item, items and script
};

/// One line of the table of operators.
struct op_bench {
  std::string_view name;  // of `headrace bench NAME`, and of its function in torch_ops.py
  std::string_view help;
  std::string_view item;   // what a batch has so many of
  std::size_t batch;       // unless --batch says otherwise
  std::size_t batch_most;  // what memory and PyTorch's floats for indices allow
  op_case (*make)(std::size_t batch);
};

std::span<const op_bench> op_benches();

/// The families of the table, one file each.
std::span<const op_bench> row_op_benches();
std::span<const op_bench> product_op_benches();
std::span<const op_bench> dense_op_benches();

}  // namespace headrace::bench
