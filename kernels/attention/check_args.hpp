#pragma once

#include "base/check.hpp"
#include "kernels/attention/attention.hpp"

#include <cstddef>

/// What every version of attention checks before it starts.
namespace headrace::kernels {

template <class Value>
void check_attention(const basic_attention_args<Value>& args) {
  CHECK(!args.offsets.empty());
  CHECK(args.offsets.front() == 0);
  CHECK(args.kv_heads > 0);
  CHECK(args.heads % args.kv_heads == 0);
  CHECK(args.q_stride >= args.heads * args.head_dim);
  CHECK(args.k_stride >= args.kv_heads * args.head_dim);
  CHECK(args.v_stride >= args.kv_heads * args.head_dim);
  CHECK(args.o_stride >= args.heads * args.head_dim);
  CHECK(args.lse.size() == args.offsets.back() * args.heads);
  CHECK(args.alibi_slopes.empty() || args.alibi_slopes.size() == args.heads);
  CHECK(args.bias_table.empty() ||
        args.bias_table.size() == args.heads * (2 * args.max_distance + 1));
  CHECK(args.active.empty() || args.active.size() == (args.offsets.size() - 1) * args.heads);
}

template <class Value>
void check_attention_backward(const basic_attention_backward_args<Value>& args) {
  check_attention(args.forward);
  CHECK(args.d_o_stride >= args.forward.heads * args.forward.head_dim);
  CHECK(args.dq_stride >= args.forward.heads * args.forward.head_dim);
  CHECK(args.dk_stride >= args.forward.kv_heads * args.forward.head_dim);
  CHECK(args.dv_stride >= args.forward.kv_heads * args.forward.head_dim);
  CHECK(args.bias_table_gradient.empty() ||
        args.bias_table_gradient.size() == args.forward.bias_table.size());
}

}  // namespace headrace::kernels
