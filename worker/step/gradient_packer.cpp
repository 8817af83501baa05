#include "worker/step/gradient_packer.hpp"

#include "kernels/quantize_rows/quantize_rows.hpp"

#include <utility>

namespace headrace::worker {

frame gradient_packer::section(schemas::push_section header,
                               std::span<const row_set> sets,
                               const pull_plan& plan) {
  buffers_.resize(sets.size());
  for (std::size_t s = 0; s < sets.size(); ++s) {
    const pull_plan::part& part = plan.at(header.shard, s);
    if (part.keys.empty() || sets[s].lane != header.lane) continue;
    block_buffers& packed = buffers_[s];
    gather(sets[s], part, packed);
    if (packed.keys.empty()) continue;
    schemas::row_block block;
    block.table = sets[s].table;
    block.dim = static_cast<std::uint32_t>(sets[s].dim);
    block.codec = codec_;
    block.keys = packed.keys;
    if (packed.repeated) block.counts = packed.counts;
    if (codec_ == schemas::value_codec::int8) {
      packed.codes.resize(packed.gradients.size());
      packed.scales.resize(packed.keys.size());
      kernels::quantize_rows({.values = packed.gradients,
                              .codes = packed.codes,
                              .scales = packed.scales,
                              .dim = sets[s].dim});
      block.scales = packed.scales;
      block.values = std::as_bytes(std::span<const std::int8_t>(packed.codes));
    } else {
      block.values = std::as_bytes(std::span<const float>(packed.gradients));
    }
    header.blocks.push_back(block);
  }
  return schemas::encode(header);
}

void gradient_packer::gather(const row_set& set, const pull_plan::part& part, block_buffers& into) {
  into.keys.clear();
  into.counts.clear();
  into.gradients.clear();
  into.repeated = false;
  for (const std::uint32_t row : part.rows) {
    const std::span<const float> gradient(&set.gradients[row * set.dim], set.dim);
    float probe = 0.0F;
    for (const float value : gradient) probe += value * 0.0F;  // NaN where a value is not finite
    if (probe != 0.0F) {
      ++rows_not_finite_;
      continue;
    }
    into.keys.push_back(set.keys[row]);
    into.counts.push_back(set.counts[row]);
    into.repeated = into.repeated || set.counts[row] != 1;
    into.gradients.insert(into.gradients.end(), gradient.begin(), gradient.end());
  }
}

}  // namespace headrace::worker
