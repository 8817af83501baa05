#pragma once

#include "worker/model/op_registry.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// Fails unless the layer has `least` … `most` inputs of floats, one value a sample.
result<void> expect_dense(const layer_section& section, std::size_t least, std::size_t most);
/// The same for a layer that takes each vector by itself: all inputs may have a value for each id
/// of one list. Its output then has to say so.
result<void> expect_alike(const layer_section& section, std::size_t least, std::size_t most);
/// Fails unless the layer has `inputs` inputs, the first with a value for each id of a list.
result<void> expect_list(const layer_section& section, std::size_t inputs);
/// Ids of a list at most.
std::size_t longest_list(const layer_section& section, std::uint32_t list);
/// Fails unless the layer has one input, and that has rows of features with one key.
result<void> expect_rows(const layer_section& section);

/// Features of a layer, ascending, as positions in a sample: among those that have one key, and
/// among its lists.
struct chosen_features {
  std::vector<std::uint32_t> single;
  std::vector<std::uint32_t> lists;
};
/// The features of a `features` attribute: names, or one of all, ids, numbers (none of these has
/// lists) and lists; "-NAME" takes one out again. Fails: a name that is not a feature, none chosen.
result<chosen_features> choose_features(const layer_section& section, const std::string& fallback);

/// Features with one key.
std::size_t single_features(std::span<const model_feature> features);

/// The label of the job that an attribute names, or whose number from 1 it is; without it the one
/// at `fallback`, from 0. A label that is not there is remembered by the reader.
std::size_t choose_label(const layer_section& section,
                         std::string_view attribute,
                         std::size_t fallback);
/// The weight of a loss, above 0; 1 unless the attribute says otherwise.
float loss_weight(const layer_section& section, std::string_view attribute);

}  // namespace headrace::worker
