#pragma once

#include "worker/model/op_registry.hpp"

/// The operators of model files, one file each beside this one; docs/model-file.md is their manual.
namespace headrace::worker {

result<std::unique_ptr<layer>> make_rows(const layer_section& section);
result<std::unique_ptr<layer>> make_count(const layer_section& section);
result<std::unique_ptr<layer>> make_factorization(const layer_section& section);
result<std::unique_ptr<layer>> make_fields(const layer_section& section);
result<std::unique_ptr<layer>> make_numbers(const layer_section& section);
result<std::unique_ptr<layer>> make_concat(const layer_section& section);
result<std::unique_ptr<layer>> make_sum(const layer_section& section);
result<std::unique_ptr<layer>> make_linear(const layer_section& section);
result<std::unique_ptr<layer>> make_pairwise(const layer_section& section);
result<std::unique_ptr<layer>> make_dot(const layer_section& section);
result<std::unique_ptr<layer>> make_cross(const layer_section& section);
result<std::unique_ptr<layer>> make_tokens(const layer_section& section);
result<std::unique_ptr<layer>> make_positions(const layer_section& section);
result<std::unique_ptr<layer>> make_layer_norm(const layer_section& section);
result<std::unique_ptr<layer>> make_dropout(const layer_section& section);
result<std::unique_ptr<layer>> make_product(const layer_section& section);
result<std::unique_ptr<layer>> make_attention(const layer_section& section);
result<std::unique_ptr<layer>> make_block_attention(const layer_section& section);
result<std::unique_ptr<layer>> make_hstu(const layer_section& section);
result<std::unique_ptr<layer>> make_target_attention(const layer_section& section);
result<std::unique_ptr<layer>> make_last(const layer_section& section);
result<std::unique_ptr<layer>> make_pool(const layer_section& section);
result<std::unique_ptr<layer>> make_next_item(const layer_section& section);
result<std::unique_ptr<layer>> make_mixture(const layer_section& section);
result<std::unique_ptr<layer>> make_routed_experts(const layer_section& section);
result<std::unique_ptr<layer>> make_bce(const layer_section& section);
result<std::unique_ptr<layer>> make_esmm(const layer_section& section);

}  // namespace headrace::worker
