#pragma once

#include "base/check.hpp"
#include "kernels/decode_attention/decode_attention.hpp"

/// What every version of decode_attention checks before it starts.
namespace headrace::kernels {

template <class Value>
void check_decode_attention(const basic_decode_attention_args<Value>& args) {
  CHECK(args.cache.window > 0);
  CHECK(args.cache.kv_heads > 0);
  CHECK(args.heads % args.cache.kv_heads == 0);
  CHECK(args.lengths.size() == args.cache.sequences);
  CHECK(args.keys.size() == args.cache.size());
  CHECK(args.values.size() == args.cache.size());
  CHECK(args.q.size() == args.cache.sequences * args.heads * args.cache.head_dim);
  CHECK(args.o.size() == args.q.size());
  CHECK(args.lse.size() == args.cache.sequences * args.heads);
}

template <class Value>
void check_merge_attention(const basic_merge_attention_args<Value>& args) {
  CHECK(args.o.size() == args.lse.size() * args.dim);
  CHECK(args.other_o.size() == args.o.size());
  CHECK(args.other_lse.size() == args.lse.size());
}

}  // namespace headrace::kernels
