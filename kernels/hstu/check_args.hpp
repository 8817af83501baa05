#pragma once

#include "base/check.hpp"
#include "kernels/hstu/hstu.hpp"

#include <algorithm>
#include <cstddef>

/// What every version of hstu checks before it starts.
namespace headrace::kernels {

template <class Value>
void check_hstu(const basic_hstu_args<Value>& args) {
  CHECK(!args.offsets.empty());
  CHECK(args.offsets.front() == 0);
  CHECK(args.q_stride >= args.heads * args.head_dim);
  CHECK(args.k_stride >= args.heads * args.head_dim);
  CHECK(args.v_stride >= args.heads * args.value_dim);
  CHECK(args.normaliser >= Value{0});
  CHECK(args.bias_table.empty() ||
        args.bias_table.size() == args.heads * (2 * args.max_distance + 1));
}

template <class Value>
void check_hstu_backward(const basic_hstu_backward_args<Value>& args) {
  check_hstu(args.forward);
  CHECK(args.d_o_stride >= args.forward.heads * args.forward.value_dim);
  CHECK(args.dq_stride >= args.forward.heads * args.forward.head_dim);
  CHECK(args.dk_stride >= args.forward.heads * args.forward.head_dim);
  CHECK(args.dv_stride >= args.forward.heads * args.forward.value_dim);
  CHECK(args.bias_table_gradient.empty() ||
        args.bias_table_gradient.size() == args.forward.bias_table.size());
}

/// Tokens of the longest sequence; offsets ascend.
inline std::size_t longest_sequence(std::span<const std::uint32_t> offsets) {
  std::size_t longest = 0;
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
    CHECK(offsets[s] <= offsets[s + 1]);
    longest = std::max<std::size_t>(longest, offsets[s + 1] - offsets[s]);
  }
  return longest;
}

}  // namespace headrace::kernels
