#pragma once

#include "base/result.hpp"
#include "worker/events/event_generator.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace headrace::cli {

/// Where `headrace generate` puts its events. One thread.
class generated_output {
 public:
  virtual ~generated_output() = default;
  virtual result<void> add(const worker::generated_event& event) = 0;
  /// Lets go of what was gathered: before a pause.
  virtual result<void> flush() = 0;
  /// Everything is where it belongs; pushed events are acknowledged.
  virtual result<void> finish() = 0;
};

enum class generated_format : std::uint8_t { json, csv };

/// Lines into a file, or on standard output when `path` is empty or "-". Fails: io_error.
result<std::unique_ptr<generated_output>> open_text_output(const std::string& path,
                                                           generated_format format,
                                                           std::uint64_t seed);
/// Batches to the ZeroMQ front at `endpoint`, sent again until they are acknowledged.
/// Fails: bad_config.
result<std::unique_ptr<generated_output>> open_push_output(const std::string& endpoint,
                                                           const std::string& token,
                                                           std::uint64_t seed);

}  // namespace headrace::cli
