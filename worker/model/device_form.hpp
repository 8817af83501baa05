#pragma once

#include "kernels/linear/linear.hpp"

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

/// What a device has to know of a layer beside its shapes, parameters and heads: which operator it
/// is, and the attributes that only the layer knows. Plain values: worker/device/ calls the
/// operators.
namespace headrace::worker {

/// No operator of a device computes this layer.
struct no_device_form {};
/// Rows of a lookup: nothing to compute.
struct rows_form {};
/// Vectors of a lookup by sample, from this column of the rows on.
struct fields_form {
  std::size_t first_column = 0;
};
/// These features' values of the batch.
struct numbers_form {
  std::vector<std::uint32_t> features;
};
/// Inputs side by side.
struct concat_form {};
/// The sum of its inputs.
struct sum_form {};
struct linear_form {
  kernels::linear_activation activation = kernels::linear_activation::none;
};
struct factorization_form {};
/// Binary cross-entropy of a logit; its head has the label and the weight.
struct bce_form {};

using device_form = std::variant<no_device_form,
                                 rows_form,
                                 fields_form,
                                 numbers_form,
                                 concat_form,
                                 sum_form,
                                 linear_form,
                                 factorization_form,
                                 bce_form>;

}  // namespace headrace::worker
