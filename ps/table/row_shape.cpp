#include "ps/table/row_shape.hpp"

#include "kernels/sparse_update/sparse_update.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

namespace headrace::ps {

using schemas::optimizer_kind;
using schemas::value_codec;
static_assert(static_cast<int>(kernels::update_rule::add) == static_cast<int>(optimizer_kind::add));
static_assert(static_cast<int>(kernels::update_rule::sgd) == static_cast<int>(optimizer_kind::sgd));
static_assert(static_cast<int>(kernels::update_rule::adagrad) ==
              static_cast<int>(optimizer_kind::adagrad));
static_assert(static_cast<int>(kernels::update_rule::momentum) ==
              static_cast<int>(optimizer_kind::momentum));
static_assert(static_cast<int>(kernels::update_rule::rowwise_adagrad) ==
              static_cast<int>(optimizer_kind::rowwise_adagrad));
static_assert(static_cast<int>(kernels::update_rule::adam) ==
              static_cast<int>(optimizer_kind::adam));
static_assert(static_cast<int>(kernels::update_rule::adamw) ==
              static_cast<int>(optimizer_kind::adamw));
static_assert(static_cast<int>(kernels::update_rule::ftrl) ==
              static_cast<int>(optimizer_kind::ftrl));
static_assert(static_cast<int>(kernels::value_format::fp32) == static_cast<int>(value_codec::fp32));
static_assert(static_cast<int>(kernels::value_format::int8) == static_cast<int>(value_codec::int8));
static_assert(static_cast<int>(kernels::value_format::fp16) == static_cast<int>(value_codec::fp16));
static_assert(static_cast<int>(kernels::value_format::bf16) == static_cast<int>(value_codec::bf16));

row_shape::row_shape(const schemas::table_spec& spec)
    : dim(spec.dim),
      stored(spec.stored),
      weight_bytes(kernels::stored_bytes(static_cast<kernels::value_format>(spec.stored), dim)),
      state_floats(
          kernels::state_words(static_cast<kernels::update_rule>(spec.optimizer.kind), dim)),
      payload_bytes(weight_bytes + sizeof(float) * state_floats) {}

}  // namespace headrace::ps
