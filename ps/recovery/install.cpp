#include "ps/recovery/install.hpp"

#include "base/byte_io.hpp"

namespace headrace::ps {
namespace {

constexpr std::uint32_t installed_format = 1;

}  // namespace

frame encode_installed(const installed& what) {
  byte_writer out;
  out.number(installed_format);
  out.number(static_cast<std::uint32_t>(what.reason));
  out.number(what.through.value);
  out.number(what.from_ms);
  out.number(what.digest_low);
  out.number(what.digest_high);
  out.number(what.rows);
  out.text(what.without);
  out.text(what.base);
  return frame::copy_of(out.take());
}

result<installed> decode_installed(std::span<const std::byte> bytes) {
  byte_reader in(bytes);
  const auto format = in.number<std::uint32_t>();
  const auto reason = in.number<std::uint32_t>();
  installed read;
  read.through = lsn{in.number<std::uint64_t>()};
  read.from_ms = in.number<std::uint64_t>();
  read.digest_low = in.number<std::uint64_t>();
  read.digest_high = in.number<std::uint64_t>();
  read.rows = in.number<std::uint64_t>();
  read.without = in.text();
  read.base = in.text();
  const bool known = reason == static_cast<std::uint32_t>(installed::why::rewound) ||
                     reason == static_cast<std::uint32_t>(installed::why::undone);
  if (!in.at_end() || format != installed_format || !known) {
    return error{errc::corrupt,
                 "a record of installed rows is in a format that this build does not read"};
  }
  read.reason = static_cast<installed::why>(reason);
  return read;
}

}  // namespace headrace::ps
