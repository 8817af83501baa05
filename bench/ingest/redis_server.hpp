#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <sys/types.h>

namespace headrace::bench {

/// A redis-server of our own on loopback over files in a folder: appendonly yes, appendfsync
/// everysec, no snapshots and no rewriting of the file, which would only slow it down. Killed and
/// reaped when the object goes.
class redis_server {
 public:
  /// Fails: not_found (no such program), unavailable (it did not serve within 10 s).
  static result<redis_server> start(const std::string& program,
                                    const std::filesystem::path& folder);
  redis_server(redis_server&& other) noexcept;
  redis_server& operator=(redis_server&&) = delete;
  ~redis_server();

  std::uint16_t port() const { return port_; }

 private:
  redis_server() = default;
  pid_t pid_ = -1;
  std::uint16_t port_ = 0;
};

/// Its version, such as "7.0.15"; not_found without the program.
result<std::string> redis_version(const std::string& program);

}  // namespace headrace::bench
