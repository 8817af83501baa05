#include "storage/s3_object_store.hpp"

#include "base/clock.hpp"
#include "base/parse_number.hpp"
#include "base/random.hpp"
#include "base/sha256.hpp"
#include "storage/partial_file.hpp"
#include "storage/s3_xml.hpp"

#include <algorithm>
#include <cstdlib>
#include <thread>

namespace headrace::storage {
namespace {

constexpr std::string_view hash_header = "x-amz-meta-headrace-sha256";
constexpr std::string_view bucket_variables =
    "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION";

std::string empty_hash() { return sha256_hex(std::string_view()); }

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Goes into a header, so a line end in it would be another header.
bool is_one_word(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7F; });
}

bool may_pass(const http_response& answer) {
  if (answer.status == 429 || answer.status >= 500) return true;
  return answer.status == 400 && xml_text(answer.body, "Code") == "RequestTimeout";
}

bool may_pass(const error& failure) {
  return failure.code == errc::unavailable || failure.code == errc::timeout;
}

bool is_bucket_name(const std::string& name) {
  return name.size() >= 3 && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

}  // namespace

result<s3_settings> s3_settings::from_environment(const std::string& uri) {
  s3_settings settings;
  const std::string rest = uri.substr(std::min(uri.size(), std::string_view("s3://").size()));
  const auto slash = std::min(rest.find('/'), rest.size());
  settings.bucket = rest.substr(0, slash);
  settings.prefix = rest.substr(std::min(slash + 1, rest.size()));
  while (settings.prefix.ends_with('/')) settings.prefix.pop_back();
  const bool named = is_bucket_name(settings.bucket) &&
                     (settings.prefix.empty() || check_object_name(settings.prefix));
  if (!named) return error{errc::bad_config, "'" + uri + "' is not s3://bucket/prefix"};
  if (!settings.prefix.empty()) settings.prefix += '/';
  settings.credentials = {variable("AWS_ACCESS_KEY_ID"),
                          variable("AWS_SECRET_ACCESS_KEY"),
                          variable("AWS_SESSION_TOKEN"),
                          variable("AWS_REGION")};
  auto& who = settings.credentials;
  if (who.region.empty()) who.region = "us-east-1";
  if (who.access_key_id.empty() || who.secret_access_key.empty()) {
    return error{errc::bad_config,
                 uri + " needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"};
  }
  if (!is_one_word(who.access_key_id) || !is_one_word(who.session_token) ||
      !is_one_word(who.region)) {
    return error{errc::bad_config,
                 "one of " + std::string(bucket_variables) + " holds spaces or line ends"};
  }
  settings.endpoint = variable("HEADRACE_S3_ENDPOINT");
  while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();
  const auto host = settings.endpoint.find("://");
  const bool web =
      settings.endpoint.starts_with("http://") || settings.endpoint.starts_with("https://");
  const bool plain = web && is_one_word(settings.endpoint) &&
                     settings.endpoint.find_first_of("/?#@", host + 3) == std::string::npos;
  if (!settings.endpoint.empty() && !plain) {
    return error{errc::bad_config, "HEADRACE_S3_ENDPOINT must be http(s)://host or host:port"};
  }
  return settings;
}

s3_object_store::s3_object_store(s3_settings settings)
    : settings_(std::move(settings)), exchange_(settings_.limits) {
  uri_ = "s3://" + settings_.bucket + "/" + settings_.prefix;
  while (uri_.ends_with('/')) uri_.pop_back();
  const auto& bucket = settings_.bucket;
  if (!settings_.endpoint.empty()) {
    const auto host = settings_.endpoint.find("://") + 3;
    scheme_ = settings_.endpoint.substr(0, host);
    host_ = settings_.endpoint.substr(host);
    base_path_ = "/" + bucket;
    return;
  }
  // A dot in a bucket's name fits no certificate of *.s3.REGION.amazonaws.com.
  const bool in_path = bucket.find('.') != std::string::npos;
  scheme_ = "https://";
  host_ = (in_path ? "" : bucket + ".") + "s3." + settings_.credentials.region + ".amazonaws.com";
  base_path_ = in_path ? "/" + bucket : "";
}

std::string s3_object_store::about(const operation& what) const {
  return what.method + " '" + what.name + "' of " + uri_;
}

result<http_response> s3_object_store::attempt(const operation& what) {
  s3_request request;
  request.method = what.method;
  request.path = base_path_ + "/";
  if (!what.name.empty()) request.path += uri_encoded(settings_.prefix + what.name, true);
  request.query = what.query;
  request.headers = what.headers;
  request.headers.emplace_back("host", host_);
  request.payload_sha256 = what.payload_sha256.empty() ? empty_hash() : what.payload_sha256;
  const std::string authorization = sign(request, settings_.credentials, system_clock().now_ms());
  http_request message;
  message.method = what.method;
  message.url = scheme_ + host_ + request.path;
  if (!what.query.empty()) message.url += "?" + query_string(what.query);
  message.headers = std::move(request.headers);
  message.headers.emplace_back("authorization", authorization);
  message.body = what.body;
  message.body_file = what.body_file;
  return exchange_.send(message, what.sink);
}

result<http_response> s3_object_store::perform(const operation& what) {
  auto pause = settings_.backoff;
  for (int left = settings_.attempts;; --left) {
    auto answer = attempt(what);
    const bool again = answer ? may_pass(*answer) : may_pass(answer.error());
    if (!again || left <= 1) {
      if (!answer)
        return error{answer.error().code, about(what) + " failed: " + answer.error().detail};
      return answer;
    }
    const double more = unit_double(mix64(system_clock().steady_ns() + ++draws_)) / 2;
    std::this_thread::sleep_for(pause * (1 + more));
    pause = std::min(2 * pause, settings_.backoff_max);
    if (what.restart) {
      if (auto ready = what.restart(); !ready) return ready.error();
    }
  }
}

error s3_object_store::refusal(const operation& what, const http_response& answer) const {
  const std::string code = xml_text(answer.body, "Code");
  const std::string begin =
      about(what) + ": " + std::to_string(answer.status) + (code.empty() ? "" : " " + code);
  const std::string& region = answer.header("x-amz-bucket-region");
  if (answer.status / 100 == 3) {
    return error{errc::bad_config,
                 begin + "; the bucket is elsewhere: set AWS_REGION" +
                     (region.empty() ? " or HEADRACE_S3_ENDPOINT to where it is" : "=" + region)};
  }
  if (code == "RequestTimeTooSkewed") {
    return error{errc::bad_config,
                 begin + "; the clock here says " + amz_date(system_clock().now_ms()) +
                     ", the server's '" + answer.header("date") + "': set this machine's clock"};
  }
  if (code == "SignatureDoesNotMatch" || code == "InvalidAccessKeyId")
    return error{errc::bad_config,
                 begin +
                     "; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY do not belong together or "
                     "are not known there"};
  if (code == "ExpiredToken" || code == "InvalidToken")
    return error{errc::bad_config, begin + "; get a new AWS_SESSION_TOKEN with its two keys"};
  if (code == "AuthorizationHeaderMalformed")
    return error{errc::bad_config, begin + "; AWS_REGION is not the bucket's region"};
  if (answer.status == 401 || answer.status == 403) {
    return error{errc::bad_config,
                 begin +
                     "; these credentials may not do it: they need GetObject, PutObject, "
                     "DeleteObject and ListBucket (without the last, 403 may also mean absent)"};
  }
  if (code == "NoSuchBucket")
    return error{errc::not_found, begin + "; create the bucket '" + settings_.bucket + "' first"};
  if (answer.status == 404) return error{errc::not_found, begin + "; there is no such object"};
  if (code == "XAmzContentSHA256Mismatch" || code == "BadDigest") {
    return error{errc::corrupt,
                 begin + "; what arrived does not have the hash " + what.payload_sha256 +
                     ": the file changed or was damaged"};
  }
  if (may_pass(answer))
    return error{errc::unavailable,
                 begin + "; gave up after " + std::to_string(settings_.attempts) + " attempts"};
  return error{errc::io_error, begin + "; " + xml_text(answer.body, "Message")};
}

result<void> s3_object_store::store(operation what) {
  if (auto good = check_object_name(what.name); !good) return good;
  what.method = "PUT";
  what.headers.emplace_back(hash_header, what.payload_sha256);
  what.headers.emplace_back("content-type", "application/octet-stream");
  const auto answer = perform(what);
  if (!answer) return answer.error();
  if (answer->status / 100 != 2) return refusal(what, *answer);
  return {};
}

result<void> s3_object_store::put(const std::string& name, std::span<const std::byte> bytes) {
  return store({.name = name, .payload_sha256 = sha256_hex(bytes), .body = bytes});
}

result<void> s3_object_store::put_file(const std::string& name,
                                       const std::filesystem::path& file,
                                       const std::string& sha256) {
  std::error_code failure;
  const std::uint64_t bytes = std::filesystem::file_size(file, failure);
  if (failure) return file_error("look at", file, failure.value());
  if (bytes > put_bytes_max) {
    return error{errc::too_large,
                 "'" + file.string() + "' has " + std::to_string(bytes) +
                     " bytes, one object may have 5 GiB: lower the size of files"};
  }
  return store({.name = name, .payload_sha256 = sha256, .body_file = file});
}

result<std::vector<std::byte>> s3_object_store::get(const std::string& name) {
  if (auto good = check_object_name(name); !good) return good.error();
  operation what{.method = "GET", .name = name};
  const auto answer = perform(what);
  if (!answer) {
    return answer.error().code == errc::too_large ? too_large_object(uri_, name) : answer.error();
  }
  if (answer->status != 200) return refusal(what, *answer);
  const auto bytes = std::as_bytes(std::span(answer->body));
  if (sha256_hex(bytes) != answer->header(std::string(hash_header)))
    return damaged_object(uri_, name);
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

result<std::string> s3_object_store::get_to(const std::string& name,
                                            const std::filesystem::path& path) {
  if (auto good = check_object_name(name); !good) return good.error();
  auto into = partial_file::open(path.string() + std::string(partial_suffix));
  if (!into) return into.error();
  operation what{.method = "GET", .name = name};
  what.sink = [&](std::span<const std::byte> piece) { return into->write(piece); };
  what.restart = [&] { return into->restart(); };
  const auto answer = perform(what);
  if (!answer) return answer.error();
  if (answer->status != 200) return refusal(what, *answer);
  std::string sha256 = into->finish_hash();
  if (sha256 != answer->header(std::string(hash_header))) return damaged_object(uri_, name);
  if (auto done = into->commit(path); !done) return done.error();
  return sha256;
}

result<std::string> s3_object_store::take_page(const std::string& prefix,
                                               const std::string& token,
                                               std::vector<object_entry>& into) {
  operation what{.method = "GET"};
  what.query = {{"list-type", "2"}, {"prefix", settings_.prefix + prefix}};
  if (!token.empty()) what.query.emplace_back("continuation-token", token);
  const auto answer = perform(what);
  if (!answer) return answer.error();
  if (answer->status != 200) return refusal(what, *answer);
  const error surprise{errc::io_error, about(what) + ": the list of objects is not one of S3"};
  if (answer->body.find("<ListBucketResult") == std::string::npos) return surprise;
  for (const auto entry : xml_elements(answer->body, "Contents")) {
    const std::string key = xml_text(entry, "Key");
    const auto bytes = parse_number<std::uint64_t>(xml_text(entry, "Size"));
    if (!bytes || !key.starts_with(settings_.prefix + prefix)) return surprise;
    into.push_back({key.substr(settings_.prefix.size()), *bytes});
  }
  if (xml_text(answer->body, "IsTruncated") != "true") return std::string();
  std::string next = xml_text(answer->body, "NextContinuationToken");
  if (next.empty() || next == token) return surprise;
  return next;
}

result<std::vector<object_entry>> s3_object_store::list(const std::string& prefix) {
  std::vector<object_entry> entries;
  std::string token;
  do {
    auto next = take_page(prefix, token, entries);
    if (!next) return next.error();
    token = std::move(*next);
  } while (!token.empty());
  return entries;
}

result<void> s3_object_store::remove(const std::string& name) {
  if (auto good = check_object_name(name); !good) return good;
  operation what{.method = "DELETE", .name = name};
  const auto answer = perform(what);
  if (!answer) return answer.error();
  const bool absent = answer->status == 404 && xml_text(answer->body, "Code") != "NoSuchBucket";
  if (answer->status / 100 != 2 && !absent) return refusal(what, *answer);
  return {};
}

result<bool> s3_object_store::exists(const std::string& name) {
  if (auto good = check_object_name(name); !good) return good.error();
  operation what{.method = "HEAD", .name = name};
  const auto answer = perform(what);
  if (!answer) return answer.error();
  if (answer->status == 404) return false;
  if (answer->status != 200) return refusal(what, *answer);
  return true;
}

}  // namespace headrace::storage
