#pragma once

#include "storage/http_exchange.hpp"
#include "storage/object_store.hpp"
#include "storage/s3_signature.hpp"

#include <chrono>

namespace headrace::storage {

/// Where objects go, and who asks.
struct s3_settings {
  std::string bucket;
  std::string prefix;  // of every name: empty, or ends with '/'
  /// `http(s)://host[:port]` of a server that takes `/bucket/name`; empty: AWS, by region.
  std::string endpoint;
  s3_credentials credentials;
  http_exchange::limits limits;
  /// A request that meets a broken connection, a stall, 429 or 5xx is sent again, signed anew,
  /// after backoff, twice that, … at most backoff_max (each up to half as long again, drawn).
  int attempts = 6;
  std::chrono::milliseconds backoff{200};
  std::chrono::milliseconds backoff_max{10'000};

  /// From `s3://bucket/prefix` and the environment (see open_object_store). Fails: bad_config.
  static result<s3_settings> from_environment(const std::string& uri);
};

/// Objects in an S3 bucket, or one of a server that speaks the same protocol.
///
/// One PUT an object, streamed, at most 5 GiB. Each request is signed with the hash of its real
/// payload, so the server refuses bytes that changed on the way; each object carries that hash as
/// x-amz-meta-headrace-sha256 as well, which get checks. Redirects are refused by name, not
/// followed.
class s3_object_store final : public object_store {
 public:
  static constexpr std::uint64_t put_bytes_max = std::uint64_t{5} << 30;

  explicit s3_object_store(s3_settings settings);

  using object_store::put;
  const std::string& uri() const override { return uri_; }
  result<void> put(const std::string& name, std::span<const std::byte> bytes) override;
  result<void> put_file(const std::string& name,
                        const std::filesystem::path& file,
                        const std::string& sha256) override;
  result<std::vector<std::byte>> get(const std::string& name) override;
  result<std::string> get_to(const std::string& name, const std::filesystem::path& path) override;
  result<std::vector<object_entry>> list(const std::string& prefix) override;
  result<void> remove(const std::string& name) override;
  result<bool> exists(const std::string& name) override;

 private:
  /// One operation, before it is signed and sent.
  struct operation {
    std::string method{};
    std::string name{};  // of the object; empty for the bucket
    s3_fields query{};
    s3_fields headers{};
    std::string payload_sha256{};
    std::span<const std::byte> body{};
    std::optional<std::filesystem::path> body_file{};
    http_sink sink{};
    std::function<result<void>()> restart{};  // before another attempt
  };

  result<http_response> perform(const operation& what);
  result<http_response> attempt(const operation& what);
  result<void> store(operation what);
  result<std::string> take_page(const std::string& prefix,
                                const std::string& token,
                                std::vector<object_entry>& into);
  error refusal(const operation& what, const http_response& answer) const;
  std::string about(const operation& what) const;

  s3_settings settings_;
  std::string uri_;
  std::string scheme_;
  std::string host_;       // with port
  std::string base_path_;  // "/bucket" or ""
  http_exchange exchange_;
  std::uint64_t draws_ = 0;
};

}  // namespace headrace::storage
