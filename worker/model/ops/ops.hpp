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
result<std::unique_ptr<layer>> make_mixture(const layer_section& section);
result<std::unique_ptr<layer>> make_bce(const layer_section& section);
result<std::unique_ptr<layer>> make_esmm(const layer_section& section);

}  // namespace headrace::worker
