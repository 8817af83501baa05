#include "ps/table/row_gather.hpp"

#include "base/check.hpp"
#include "kernels/gather_rows/gather_rows.hpp"
#include "kernels/init_rows/init_rows.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

namespace headrace::ps {
namespace {

constexpr std::size_t chunk_rows = 512;  // as in row_update.cpp

/// One chunk of keys on its way.
struct chunk {
  std::array<row_header*, chunk_rows> headers;
  std::array<const float*, chunk_rows> rows;
  std::vector<std::uint64_t> absent_keys;
  std::vector<float> absent_values;
};

/// Fills `rows` and `absent_keys`, and sets the bits of absent rows, the first of which is bit
/// `begin`.
void look_up(const table& rows,
             std::span<const std::uint64_t> keys,
             std::size_t begin,
             std::span<std::byte> absent,
             chunk& to) {
  rows.find(keys, std::span(to.headers).first(keys.size()));
  to.absent_keys.clear();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const row_header* row = to.headers[i];
    to.rows[i] = row == nullptr ? nullptr : table::floats(row);
    if (row != nullptr) continue;
    to.absent_keys.push_back(keys[i]);
    absent[(begin + i) / 8] |= std::byte{1} << ((begin + i) % 8);
  }
}

void make_absent(const schemas::table_spec& spec, chunk& to) {
  to.absent_values.resize(to.absent_keys.size() * spec.dim);
  if (to.absent_keys.empty()) return;
  kernels::init_rows({.keys = to.absent_keys,
                      .seed = spec.init.seed,
                      .scale = spec.init.scale,
                      .first_order_columns = spec.optimizer.first_order_columns,
                      .dim = spec.dim,
                      .values = to.absent_values,
                      .rows = {}});
}

}  // namespace

void gather_rows(const table& rows,
                 std::span<const std::uint64_t> keys,
                 schemas::value_codec codec,
                 const schemas::pulled_block_memory& to) {
  const std::size_t dim = rows.spec().dim;
  const bool int8 = codec == schemas::value_codec::int8;
  CHECK(to.values.size() == keys.size() * dim * (int8 ? 1 : sizeof(float)));
  CHECK(to.absent.size() >= (keys.size() + 7) / 8);
  chunk now;
  for (std::size_t begin = 0; begin < keys.size(); begin += chunk_rows) {
    const std::size_t size = std::min(chunk_rows, keys.size() - begin);
    look_up(rows, keys.subspan(begin, size), begin, to.absent, now);
    make_absent(rows.spec(), now);
    const auto found = std::span<const float* const>(now.rows).first(size);
    if (int8) {
      auto* codes = reinterpret_cast<std::int8_t*>(to.values.data()) + begin * dim;
      kernels::gather_rows_int8({.rows = found,
                                 .absent_values = now.absent_values,
                                 .dim = dim,
                                 .codes = {codes, size * dim},
                                 .scales = to.scales.subspan(begin, size)});
    } else {
      auto* values = reinterpret_cast<float*>(to.values.data()) + begin * dim;
      kernels::gather_rows({.rows = found,
                            .absent_values = now.absent_values,
                            .dim = dim,
                            .values = {values, size * dim}});
    }
  }
}

}  // namespace headrace::ps
