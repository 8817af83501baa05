#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::storage {

/// One stored object, as a listing says it.
struct object_entry {
  std::string name;
  std::uint64_t bytes = 0;
  friend bool operator==(const object_entry&, const object_entry&) = default;
};

/// Named, immutable-once-written pieces of bytes outside the machine: a folder or an S3 bucket.
///
/// A name is relative, '/' between its parts, of printable ASCII (see check_object_name). A put is
/// all or nothing: a reader finds the old object, the new one or none, never a part. Every object
/// carries the SHA-256 of its contents, written by put and checked by each get. Calls block until
/// done; one caller at a time. Messages name the object and the store, never a secret.
///
/// Every method fails with: io_error, disk_full, not_found (the folder or bucket), unavailable or
/// timeout (the network, after retries), bad_config (credentials, region, clock), malformed (a
/// name).
class object_store {
 public:
  /// `get` is for manifests and the like; larger objects go to files.
  static constexpr std::uint64_t get_bytes_max = std::uint64_t{64} << 20;

  virtual ~object_store() = default;

  /// Where it is, for messages: the URI without credentials.
  virtual const std::string& uri() const = 0;
  virtual result<void> put(const std::string& name, std::span<const std::byte> bytes) = 0;
  /// Stores the contents of `file`, streamed. Fails also: corrupt, and nothing is stored, when they
  /// don't have the hash `sha256` (64 hexadecimal digits).
  virtual result<void> put_file(const std::string& name,
                                const std::filesystem::path& file,
                                const std::string& sha256) = 0;
  /// Fails also: not_found, too_large, corrupt (bytes that don't have the hash they carry).
  virtual result<std::vector<std::byte>> get(const std::string& name) = 0;
  /// Writes the object to `path`, under another name until it is whole, synced. Returns the SHA-256
  /// of what was written. Fails also: not_found, corrupt; `path` is then as it was.
  virtual result<std::string> get_to(const std::string& name,
                                     const std::filesystem::path& path) = 0;
  /// Every object whose name begins with `prefix`, by name.
  virtual result<std::vector<object_entry>> list(const std::string& prefix) = 0;
  /// Done as well when there is no such object.
  virtual result<void> remove(const std::string& name) = 0;
  virtual result<bool> exists(const std::string& name) = 0;

  result<void> put(const std::string& name, std::string_view text) {
    return put(name, std::as_bytes(std::span(text)));
  }
};

/// At most 512 bytes, no empty part, no part that begins with a dot, no other bytes than
/// `A-Z a-z 0-9 . _ - # % +` and '/'. Fails: malformed.
result<void> check_object_name(std::string_view name);

/// What `get_to` adds to a path until the file is whole.
inline constexpr std::string_view partial_suffix = ".partial";

/// For stores: the bytes of `name` don't have the hash that they carry.
error damaged_object(const std::string& uri, const std::string& name);
/// For stores: `name` is larger than get_bytes_max.
error too_large_object(const std::string& uri, const std::string& name);

/// `uri`: a folder's path or `file:///path` (made if absent), or `s3://bucket/prefix`, for which
/// the environment gives AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, optionally AWS_SESSION_TOKEN,
/// AWS_REGION (us-east-1) and HEADRACE_S3_ENDPOINT (`https://host:port`, for servers other than
/// AWS). Nothing is asked of an S3 server yet. Fails: bad_config, io_error.
result<std::unique_ptr<object_store>> open_object_store(const std::string& uri);

}  // namespace headrace::storage
