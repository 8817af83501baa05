#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace headrace {

using sha256_digest = std::array<std::byte, 32>;

/// SHA-256 of bytes that come piece by piece. One thread at a time.
class sha256_hasher {
 public:
  sha256_hasher();
  ~sha256_hasher();
  sha256_hasher(const sha256_hasher&) = delete;
  sha256_hasher& operator=(const sha256_hasher&) = delete;

  void update(std::span<const std::byte> bytes);
  /// The digest of everything so far as 64 lower-case hexadecimal digits; begins anew.
  std::string finish_hex();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// HMAC-SHA-256 (RFC 2104) of `text` under `key`, which may be of any length.
sha256_digest hmac_sha256(std::span<const std::byte> key, std::string_view text);

/// Two lower-case hexadecimal digits a byte.
std::string hex_of(std::span<const std::byte> bytes);

/// SHA-256 of `bytes` as 64 lower-case hexadecimal digits.
std::string sha256_hex(std::span<const std::byte> bytes);
inline std::string sha256_hex(std::string_view text) {
  return sha256_hex(std::as_bytes(std::span(text)));
}

}  // namespace headrace
