#include "tests/simulation/wrong_worker.hpp"

#include "base/check.hpp"
#include "schemas/push.hpp"

#include <vector>

namespace headrace::simulation {
namespace {

schemas::push_section decoded(const frame& section) {
  auto read = schemas::decode_push(section);
  CHECK(read.ok());
  return std::move(*read);
}

/// Rows [begin, end) of every block.
frame part_of(schemas::push_section section, std::size_t begin, std::size_t end) {
  for (schemas::row_block& block : section.blocks) {
    const std::size_t row_bytes = block.values.size() / block.keys.size();
    block.keys = block.keys.subspan(begin, end - begin);
    block.counts = block.counts.subspan(begin, end - begin);
    block.values = block.values.subspan(begin * row_bytes, (end - begin) * row_bytes);
  }
  return schemas::encode(section);
}

}  // namespace

frame with_other_contents(const frame& section) {
  schemas::push_section other = decoded(section);
  std::vector<std::uint32_t> counts(other.blocks[0].counts.begin(), other.blocks[0].counts.end());
  for (std::uint32_t& count : counts) ++count;
  for (schemas::row_block& block : other.blocks) block.counts = counts;
  return schemas::encode(other);
}

std::pair<frame, frame> in_two_sections(const frame& section) {
  const schemas::push_section whole = decoded(section);
  const std::size_t rows = whole.blocks[0].keys.size();
  if (rows < 2) return {section, section};
  return {part_of(whole, 0, rows / 2), part_of(whole, rows / 2, rows)};
}

}  // namespace headrace::simulation
