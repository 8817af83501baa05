#include "base/sha256.hpp"

#include "base/check.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace headrace {

struct sha256_hasher::state {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  state() = default;
  state(const state&) = delete;
  state& operator=(const state&) = delete;
  ~state() { EVP_MD_CTX_free(context); }

  void begin() { CHECK(EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1); }
};

sha256_hasher::sha256_hasher() : state_(std::make_unique<state>()) {
  CHECK(state_->context != nullptr);
  state_->begin();
}
sha256_hasher::~sha256_hasher() = default;

void sha256_hasher::update(std::span<const std::byte> bytes) {
  CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string sha256_hasher::finish_hex() {
  sha256_digest digest{};
  unsigned int length = 0;
  CHECK(EVP_DigestFinal_ex(
            state_->context, reinterpret_cast<unsigned char*>(digest.data()), &length) == 1);
  CHECK(length == digest.size());
  state_->begin();
  return hex_of(digest);
}

sha256_digest hmac_sha256(std::span<const std::byte> key, std::string_view text) {
  sha256_digest digest{};
  unsigned int length = 0;
  const unsigned char* made = HMAC(EVP_sha256(),
                                   key.data(),
                                   static_cast<int>(key.size()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   text.size(),
                                   reinterpret_cast<unsigned char*>(digest.data()),
                                   &length);
  CHECK(made != nullptr);
  CHECK(length == digest.size());
  return digest;
}

std::string hex_of(std::span<const std::byte> bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const std::byte byte : bytes) {
    hex += digits[std::to_integer<unsigned>(byte) >> 4];
    hex += digits[std::to_integer<unsigned>(byte) & 15];
  }
  return hex;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  sha256_hasher hasher;
  hasher.update(bytes);
  return hasher.finish_hex();
}

}  // namespace headrace
