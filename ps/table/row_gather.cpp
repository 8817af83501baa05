#include "ps/table/row_gather.hpp"

#include "base/check.hpp"
#include "kernels/gather_rows/gather_rows.hpp"
#include "kernels/init_rows/init_rows.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

namespace headrace::ps {
namespace {

constexpr std::size_t chunk_rows = 512;  // as in row_update.cpp

kernels::value_format format_of(schemas::value_codec codec) {
  return static_cast<kernels::value_format>(codec);
}

/// One chunk of keys on its way.
struct chunk {
  std::array<row_header*, chunk_rows> headers;
  std::array<const std::byte*, chunk_rows> rows;
  std::vector<std::uint64_t> absent_keys;
  std::vector<float> absent_values;
  std::vector<std::byte> absent_rows;  // the values as rows keep them
  std::vector<std::byte*> absent_places;
};

/// Fills `rows` and `absent_keys`, and sets the bits of absent rows, the first of which is bit
/// `begin`.
void look_up(const table& rows,
             std::span<const std::uint64_t> keys,
             std::size_t begin,
             std::uint64_t stamp_ms,
             std::span<std::byte> absent,
             chunk& to) {
  const std::uint64_t ttl_ms = rows.spec().expiry.idle_ms();
  rows.find(keys, std::span(to.headers).first(keys.size()));
  to.absent_keys.clear();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const row_header* row = to.headers[i];
    const bool live = row != nullptr && is_live(*row, stamp_ms, ttl_ms);
    to.rows[i] = live ? payload(row) : nullptr;
    if (live) continue;
    to.absent_keys.push_back(keys[i]);
    absent[(begin + i) / 8] |= std::byte{1} << ((begin + i) % 8);
  }
}

void make_absent(const schemas::table_spec& spec, chunk& to) {
  const kernels::value_format stored = format_of(spec.stored);
  const std::size_t row_bytes = kernels::stored_bytes(stored, spec.dim);
  const std::size_t n = to.absent_keys.size();
  to.absent_rows.resize(n * row_bytes);
  if (n == 0) return;
  to.absent_values.resize(n * spec.dim);
  kernels::init_rows({.keys = to.absent_keys,
                      .seed = spec.init.seed,
                      .scale = spec.init.scale,
                      .first_order_columns = spec.optimizer.first_order_columns,
                      .dim = spec.dim,
                      .values = to.absent_values,
                      .rows = {}});
  to.absent_places.resize(n);
  for (std::size_t i = 0; i < n; ++i) to.absent_places[i] = to.absent_rows.data() + i * row_bytes;
  kernels::round_weights(
      {.format = stored, .values = to.absent_values, .dim = spec.dim, .rows = to.absent_places});
}

}  // namespace

void gather_rows(const table& rows,
                 std::span<const std::uint64_t> keys,
                 schemas::value_codec codec,
                 std::uint64_t stamp_ms,
                 const schemas::pulled_block_memory& to) {
  const schemas::table_spec& spec = rows.spec();
  const std::size_t row_bytes = std::size_t{spec.dim} * schemas::value_bytes(codec);
  const bool scaled = codec == schemas::value_codec::int8;
  CHECK(to.values.size() == keys.size() * row_bytes);
  CHECK(to.absent.size() >= (keys.size() + 7) / 8);
  chunk now;
  for (std::size_t begin = 0; begin < keys.size(); begin += chunk_rows) {
    const std::size_t size = std::min(chunk_rows, keys.size() - begin);
    look_up(rows, keys.subspan(begin, size), begin, stamp_ms, to.absent, now);
    make_absent(spec, now);
    kernels::gather_rows(
        {.stored = format_of(spec.stored),
         .rows = std::span(now.rows).first(size),
         .absent_rows = now.absent_rows,
         .dim = spec.dim,
         .to = format_of(codec),
         .values = to.values.subspan(begin * row_bytes, size * row_bytes),
         .scales = scaled ? to.scales.subspan(begin, size) : std::span<std::uint16_t>()});
  }
}

}  // namespace headrace::ps
