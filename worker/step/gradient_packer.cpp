#include "worker/step/gradient_packer.hpp"

#include "base/check.hpp"
#include "kernels/block_int4/block_int4.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"

#include <algorithm>
#include <utility>

namespace headrace::worker {

namespace {

/// Packed keys where there are not too many of them for one section.
void limit_packed_rows(schemas::push_section& section) {
  std::uint64_t rows = 0;
  for (const auto& block : section.blocks)
    rows += block.keys_as == schemas::key_codec::raw ? 0 : block.keys.size();
  if (rows <= schemas::packed_rows_max) return;
  for (auto& block : section.blocks) block.keys_as = schemas::key_codec::raw;
}

/// Whether a gradient reaches a block of rows; asked in their order, it looks at each block once.
class moving_block {
 public:
  explicit moving_block(const row_set& set) : set_(set) {}
  bool has(std::uint32_t row) {
    if (set_.block_rows == 0) return true;
    if (const std::size_t block = row / set_.block_rows; block != block_) {
      block_ = block;
      const std::size_t floats = set_.block_rows * set_.dim;
      moves_ = std::ranges::any_of(std::span(set_.gradients).subspan(block * floats, floats),
                                   [](float gradient) { return gradient != 0.0F; });
    }
    return moves_;
  }

 private:
  const row_set& set_;
  std::size_t block_ = SIZE_MAX;
  bool moves_ = false;
};

}  // namespace

gradient_packer::gradient_packer(push_spec how, std::vector<bool> dense) : how_(std::move(how)) {
  CHECK(how_.tables.size() == dense.size());
  for (std::size_t t = 0; t < dense.size(); ++t) {
    const push_choice choice = how_.tables[t];
    CHECK(dense[t] || !leaves_out(choice));
    feedback_.push_back(dense[t] && (choice == push_choice::int4 || leaves_out(choice)));
  }
}

frame gradient_packer::section(schemas::push_section header,
                               std::span<const row_set> sets,
                               const pull_plan& plan) {
  buffers_.resize(std::max(buffers_.size(), sets.size()));
  for (std::size_t s = 0; s < sets.size(); ++s) {
    const pull_plan::part& part = plan.at(header.shard, s);
    if (part.keys.empty() || sets[s].lane != header.lane) continue;
    const std::size_t t = sets[s].table.value;
    block_buffers& packed = buffers_[s];
    schemas::row_block block;
    block.table = sets[s].table;
    block.dim = static_cast<std::uint32_t>(sets[s].dim);
    if (feedback_[t]) {
      dense_packer& by = packer_of(header.shard, t);
      pack_dense(sets[s], part, header.batch, by, packed, block);
    } else {
      pack_rows(sets[s], part, how_.tables[t], packed, block);
    }
    if (block.keys.empty()) continue;
    if (packed.repeated) block.counts = packed.counts;
    if (how_.packed_keys || !schemas::is_row_codec(block.codec) || feedback_[t])
      block.keys_as = schemas::key_codec::delta_packed;
    header.blocks.push_back(block);
  }
  limit_packed_rows(header);
  return schemas::encode(header);
}

void gradient_packer::pack_rows(const row_set& set,
                                const pull_plan::part& part,
                                push_choice choice,
                                block_buffers& packed,
                                schemas::row_block& block) {
  gather(set, part, packed);
  block.keys = packed.keys;
  if (choice == push_choice::fp32) {
    block.values = std::as_bytes(std::span<const float>(packed.gradients));
  } else if (choice == push_choice::int8) {
    packed.codes.resize(packed.gradients.size());
    packed.scales.resize(packed.keys.size());
    kernels::quantize_rows({.values = packed.gradients,
                            .codes = packed.codes,
                            .scales = packed.scales,
                            .dim = set.dim});
    block.codec = schemas::value_codec::int8;
    block.scales = packed.scales;
    block.values = std::as_bytes(std::span<const std::int8_t>(packed.codes));
  } else {
    packed.codes.resize(kernels::int4_bytes(packed.gradients.size()));
    packed.scales.resize(kernels::int4_scales(packed.gradients.size()));
    kernels::encode_int4(
        {.values = packed.gradients,
         .codes = {reinterpret_cast<std::uint8_t*>(packed.codes.data()), packed.codes.size()},
         .scales = packed.scales});
    block.codec = schemas::value_codec::int4;
    block.scales = packed.scales;
    block.values = std::as_bytes(std::span<const std::int8_t>(packed.codes));
  }
}

void gradient_packer::pack_dense(const row_set& set,
                                 const pull_plan::part& part,
                                 batch_number batch,
                                 dense_packer& by,
                                 block_buffers& packed,
                                 schemas::row_block& block) {
  rows_not_finite_ += by.pack(set, part, batch, block);
  block.keys = part.keys;
  packed.counts.clear();
  packed.repeated = false;
  for (const std::uint32_t row : part.rows) {
    packed.counts.push_back(set.counts[row]);
    packed.repeated = packed.repeated || set.counts[row] != 1;
  }
}

dense_packer& gradient_packer::packer_of(shard_id shard, std::size_t table) {
  if (dense_.size() <= shard.value) dense_.resize(shard.value + 1);
  auto& of_shard = dense_[shard.value];
  of_shard.resize(feedback_.size());
  if (!of_shard[table]) of_shard[table] = std::make_unique<dense_packer>(how_.tables[table]);
  return *of_shard[table];
}

void gradient_packer::gather(const row_set& set, const pull_plan::part& part, block_buffers& into) {
  into.keys.clear();
  into.counts.clear();
  into.gradients.clear();
  into.repeated = false;
  moving_block moving(set);
  for (const std::uint32_t row : part.rows) {
    if (!moving.has(row)) continue;
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
