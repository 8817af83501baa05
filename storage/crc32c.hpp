#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::storage {

/// CRC32C (Castagnoli, reflected, as in iSCSI) of `bytes` behind what gave `before`: crc32c(b,
/// crc32c(a)) is that of a ‖ b. About 28 GB/s (ISA-L, hardware chosen at run time).
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0);

}  // namespace headrace::storage
