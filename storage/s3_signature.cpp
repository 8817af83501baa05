#include "storage/s3_signature.hpp"

#include "base/sha256.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <span>

namespace headrace::storage {
namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view service = "s3";

// Without spaces at both ends, runs of them made one.
std::string trimmed(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' || (!out.empty() && out.back() != ' ')) out += c;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string signed_names(const s3_fields& sorted) {
  std::string names;
  for (const auto& [name, value] : sorted) names += (names.empty() ? "" : ";") + name;
  return names;
}

std::string canonical_request(const s3_request& request, const std::string& names) {
  std::string text = request.method + "\n" + request.path + "\n" + query_string(request.query);
  text += "\n";
  for (const auto& [name, value] : request.headers) text += name + ":" + trimmed(value) + "\n";
  return text + "\n" + names + "\n" + request.payload_sha256;
}

// The key of a day, a region and a service, so that the secret itself signs nothing else.
sha256_digest signing_key(const s3_credentials& credentials, std::string_view day) {
  const std::string secret = "AWS4" + credentials.secret_access_key;
  auto key = hmac_sha256(std::as_bytes(std::span(secret)), day);
  key = hmac_sha256(key, credentials.region);
  key = hmac_sha256(key, service);
  return hmac_sha256(key, "aws4_request");
}

}  // namespace

std::string uri_encoded(std::string_view text, bool keep_slash) {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    const bool plain = std::string_view("-_.~").find(c) != std::string_view::npos;
    if (letter || plain || (keep_slash && c == '/')) {
      out += c;
    } else {
      out += '%';
      out += digits[code >> 4];
      out += digits[code & 15];
    }
  }
  return out;
}

std::string query_string(const s3_fields& query) {
  s3_fields encoded;
  for (const auto& [name, value] : query)
    encoded.emplace_back(uri_encoded(name, false), uri_encoded(value, false));
  std::sort(encoded.begin(), encoded.end());
  std::string text;
  for (const auto& [name, value] : encoded) text += (text.empty() ? "" : "&") + name + "=" + value;
  return text;
}

std::string amz_date(std::uint64_t ms) {
  const auto seconds = static_cast<std::time_t>(ms / 1000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &utc)};
}

std::string sign(s3_request& request, const s3_credentials& credentials, std::uint64_t now_ms) {
  const std::string now = amz_date(now_ms);
  const std::string day = now.substr(0, 8);
  request.headers.emplace_back("x-amz-date", now);
  request.headers.emplace_back("x-amz-content-sha256", request.payload_sha256);
  if (!credentials.session_token.empty())
    request.headers.emplace_back("x-amz-security-token", credentials.session_token);
  std::sort(request.headers.begin(), request.headers.end());
  const std::string names = signed_names(request.headers);
  const std::string scope =
      day + "/" + credentials.region + "/" + std::string(service) + "/aws4_request";
  const std::string to_sign = std::string(algorithm) + "\n" + now + "\n" + scope + "\n" +
                              sha256_hex(canonical_request(request, names));
  const auto signature = hmac_sha256(signing_key(credentials, day), to_sign);
  return std::string(algorithm) + " Credential=" + credentials.access_key_id + "/" + scope +
         ",SignedHeaders=" + names + ",Signature=" + hex_of(signature);
}

}  // namespace headrace::storage
