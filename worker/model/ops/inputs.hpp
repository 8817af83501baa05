#pragma once

#include "worker/model/op_registry.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// Fails unless the layer has `least` … `most` inputs of floats.
result<void> expect_dense(const layer_section& section, std::size_t least, std::size_t most);
/// Fails unless the layer has one input, and that has rows.
result<void> expect_rows(const layer_section& section);

/// The features of a `features` attribute, ascending, as positions in a sample: names, or one of
/// all, ids and numbers. Fails: a name that is not a feature, none chosen.
result<std::vector<std::uint32_t>> choose_features(const layer_section& section,
                                                   const std::string& fallback);

/// The label of the job that an attribute names, or whose number from 1 it is; without it the one
/// at `fallback`, from 0. A label that is not there is remembered by the reader.
std::size_t choose_label(const layer_section& section,
                         std::string_view attribute,
                         std::size_t fallback);
/// The weight of a loss, above 0; 1 unless the attribute says otherwise.
float loss_weight(const layer_section& section, std::string_view attribute);

}  // namespace headrace::worker
