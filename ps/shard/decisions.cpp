#include "ps/shard/decisions.hpp"

#include "base/byte_io.hpp"

#include <algorithm>
#include <bit>
#include <functional>

namespace headrace::ps {
namespace {

constexpr std::uint32_t admissions_format = 1;
constexpr std::uint32_t removal_format = 1;

}  // namespace

std::size_t admission_bits::admitted() const {
  std::size_t sum = 0;
  for (const std::byte bits : bits_)
    sum += static_cast<std::size_t>(std::popcount(static_cast<unsigned char>(bits)));
  return sum;
}

frame encode_admissions(const admission_bits& bits) {
  byte_writer out;
  out.number(admissions_format);
  out.number(static_cast<std::uint32_t>(bits.rows()));
  out.numbers(bits.bytes());
  return frame::copy_of(out.take());
}

result<admission_bits> decode_admissions(std::span<const std::byte> bytes, std::size_t rows) {
  byte_reader in(bytes);
  const auto format = in.number<std::uint32_t>();
  const auto count = in.number<std::uint32_t>();
  if (!in.ok() || format != admissions_format || count != rows || in.left() != (rows + 7) / 8) {
    return error{errc::corrupt,
                 std::to_string(bytes.size()) + " bytes of decisions are not those of " +
                     std::to_string(rows) + " rows"};
  }
  admission_bits read(rows);
  in.numbers(std::span(read.bits_));
  if (rows % 8 != 0 && (read.bits_.back() >> (rows % 8)) != std::byte{0})
    return error{errc::corrupt, "decisions have bits behind the last row"};
  return read;
}

frame encode_removal(const removal& what) {
  byte_writer out;
  out.number(removal_format);
  out.number(static_cast<std::uint32_t>(what.reason));
  out.number(what.table.value);
  out.number(static_cast<std::uint32_t>(what.keys.size()));
  out.numbers(std::span<const std::uint64_t>(what.keys));
  return frame::copy_of(out.take());
}

result<removal> decode_removal(std::span<const std::byte> bytes) {
  const auto corrupt = [](const char* why) { return error{errc::corrupt, why}; };
  byte_reader in(bytes);
  const auto format = in.number<std::uint32_t>();
  const auto reason = in.number<std::uint32_t>();
  removal read;
  read.table = table_id{in.number<std::uint32_t>()};
  const auto count = in.number<std::uint32_t>();
  if (!in.ok() || format != removal_format)
    return corrupt("a removal is in a format that this build does not read");
  if (reason != static_cast<std::uint32_t>(removal::why::expired) &&
      reason != static_cast<std::uint32_t>(removal::why::forgotten))
    return corrupt("a removal has a reason that this build does not know");
  read.reason = static_cast<removal::why>(reason);
  if (in.left() != std::uint64_t{count} * sizeof(std::uint64_t))
    return corrupt("a removal does not end where its count says");
  read.keys.resize(count);
  in.numbers(std::span(read.keys));
  if (std::ranges::adjacent_find(read.keys, std::ranges::greater_equal{}) != read.keys.end())
    return corrupt("keys of a removal are not in order");
  return read;
}

}  // namespace headrace::ps
