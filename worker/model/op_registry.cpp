#include "worker/model/op_registry.hpp"

#include "worker/model/ops/ops.hpp"

#include <algorithm>
#include <array>

namespace headrace::worker {
namespace {

constexpr std::array ops = {
    op_entry{"rows", make_rows},
    op_entry{"count", make_count},
    op_entry{"factorization", make_factorization},
    op_entry{"fields", make_fields},
    op_entry{"numbers", make_numbers},
    op_entry{"concat", make_concat},
    op_entry{"sum", make_sum},
    op_entry{"linear", make_linear},
    op_entry{"pairwise", make_pairwise},
    op_entry{"dot", make_dot},
    op_entry{"cross", make_cross},
    op_entry{"tokens", make_tokens},
    op_entry{"positions", make_positions},
    op_entry{"layer_norm", make_layer_norm},
    op_entry{"dropout", make_dropout},
    op_entry{"product", make_product},
    op_entry{"attention", make_attention},
    op_entry{"block_attention", make_block_attention},
    op_entry{"hstu", make_hstu},
    op_entry{"target_attention", make_target_attention},
    op_entry{"last", make_last},
    op_entry{"pool", make_pool},
    op_entry{"next_item", make_next_item},
    op_entry{"mixture", make_mixture},
    op_entry{"routed_experts", make_routed_experts},
    op_entry{"bce", make_bce},
    op_entry{"esmm", make_esmm},
};

}  // namespace

std::span<const op_entry> all_ops() { return ops; }

const op_entry* find_op(std::string_view name) {
  const auto at = std::ranges::find(ops, name, &op_entry::name);
  return at == ops.end() ? nullptr : &*at;
}

}  // namespace headrace::worker
