#pragma once

#include "schemas/sample.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace headrace::bench {

inline constexpr std::uint32_t deepfm_fields = 26;
inline constexpr std::uint32_t deepfm_numbers = 13;
inline constexpr std::uint32_t deepfm_rows = 1'000'000;
inline constexpr std::uint32_t deepfm_samples = 200'000;

/// `samples` of 26 ids and 13 numbers, in batches; what does not fill one is left out.
///
/// Ids: a Zipf rank of exponent 1.05 over 1 M by inverse CDF, hashed with the field's number into
/// `deepfm_rows` keys. Numbers are uniform in [0, 1), labels 1 with probability 0.25, independent
/// of the rest. The same for the same arguments; drawn as torch_deepfm.py draws, not the same
/// draws.
std::vector<std::shared_ptr<schemas::sample_batch>> make_deepfm_batches(
    std::uint32_t batch, std::uint32_t samples = deepfm_samples);

}  // namespace headrace::bench
