#include "base/sha256.hpp"

#include "base/check.hpp"

#include <array>
#include <openssl/evp.h>

namespace headrace {

std::string sha256_hex(std::span<const std::byte> bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::array<unsigned char, 32> digest{};
  unsigned int length = 0;
  CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) == 1);
  CHECK(length == digest.size());
  std::string hex;
  for (const unsigned char byte : digest) {
    hex += digits[byte >> 4];
    hex += digits[byte & 15];
  }
  return hex;
}

}  // namespace headrace
