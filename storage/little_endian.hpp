#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

/// Numbers at fixed places of a byte layout, little-endian, unaligned.
namespace headrace::storage {

static_assert(std::endian::native == std::endian::little,
              "the stored formats are little-endian and copied as they are");

template <class Number>
void put(std::span<std::byte> bytes, std::size_t offset, Number number) {
  std::memcpy(bytes.subspan(offset, sizeof(Number)).data(), &number, sizeof(Number));
}

template <class Number>
Number take(std::span<const std::byte> bytes, std::size_t offset) {
  Number number;
  std::memcpy(&number, bytes.subspan(offset, sizeof(Number)).data(), sizeof(Number));
  return number;
}

}  // namespace headrace::storage
