#include "ps/table/table_digest.hpp"

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

namespace headrace::ps {
void add_rows(const table& rows, table_digest& sum) {
  const std::uint64_t seed = rows.spec().id.value;
  const std::size_t float_bytes = rows.floats_per_row() * sizeof(float);
  const std::size_t weight_bytes = rows.spec().dim * sizeof(float);
  std::vector<std::byte> bytes(sizeof(row_header::key) + float_bytes + sizeof(row_header::count));
  rows.visit([&](const row_header& row) {
    std::memcpy(bytes.data(), &row.key, sizeof(row.key));
    std::memcpy(bytes.data() + sizeof(row.key), table::floats(&row), float_bytes);
    std::memcpy(bytes.data() + sizeof(row.key) + float_bytes, &row.count, sizeof(row.count));
    sum.all += schemas::hash128_of(bytes, seed);
    sum.weights +=
        schemas::hash128_of(std::span(bytes).first(sizeof(row.key) + weight_bytes), seed);
  });
}

}  // namespace headrace::ps
