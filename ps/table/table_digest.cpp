#include "ps/table/table_digest.hpp"

#include "base/check.hpp"

#include <cstring>

namespace headrace::ps {

void table_digest::add(table_id table,
                       const row_shape& shape,
                       std::uint64_t key,
                       std::span<const std::byte> payload,
                       std::uint32_t count,
                       std::vector<std::byte>& scratch) {
  CHECK(payload.size() == shape.payload_bytes);
  scratch.resize(sizeof(key) + payload.size() + sizeof(count));
  std::memcpy(scratch.data(), &key, sizeof(key));
  std::memcpy(scratch.data() + sizeof(key), payload.data(), payload.size());
  std::memcpy(scratch.data() + sizeof(key) + payload.size(), &count, sizeof(count));
  const std::uint64_t seed = table.value;
  all += schemas::hash128_of(scratch, seed);
  weights += schemas::hash128_of(std::span(scratch).first(sizeof(key) + shape.weight_bytes), seed);
  ++rows;
}

}  // namespace headrace::ps
