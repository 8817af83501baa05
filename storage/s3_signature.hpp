#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// AWS Signature Version 4 for S3, in the Authorization header. Source: "Authenticating Requests:
/// Using the Authorization Header", Amazon S3 API reference; its examples are the test.
namespace headrace::storage {

struct s3_credentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;  // of temporary credentials, else empty
  std::string region;
};

using s3_fields = std::vector<std::pair<std::string, std::string>>;

/// A request before it is signed. Every header given is signed.
struct s3_request {
  std::string method = "GET";
  std::string path = "/";  // encoded, as on the request line
  s3_fields query;         // not encoded
  s3_fields headers;       // lower-case names; holds host, without x-amz-date
  std::string payload_sha256;
};

/// RFC 3986: everything but `A-Z a-z 0-9 - _ . ~` becomes %XX, '/' too unless it is kept.
std::string uri_encoded(std::string_view text, bool keep_slash);

/// The query as it is sent and signed: encoded, sorted by name.
std::string query_string(const s3_fields& query);

/// `ms` since 1970 UTC as `20130524T000000Z`.
std::string amz_date(std::uint64_t ms);

/// Adds to `request.headers` what the signature needs (x-amz-date, x-amz-content-sha256, the
/// session token) and returns the value of the header Authorization.
std::string sign(s3_request& request, const s3_credentials& credentials, std::uint64_t now_ms);

}  // namespace headrace::storage
