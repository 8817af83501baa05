#pragma once

#include "worker/model/op_registry.hpp"

#include <string>
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

}  // namespace headrace::worker
