#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

/// What a log needs of a broker. The log over it: storage/engines/message_log.hpp.
namespace headrace::storage {

/// A group of records, or a part of one that is too large for one message.
struct log_message {
  lsn first;  // of the group
  lsn last;
  std::uint32_t part = 1;  // 1 … parts
  std::uint32_t parts = 1;
  std::uint64_t writer = 0;  // drawn by whoever opened the log to write
  std::string log;           // whose records they are, in words
  frame bytes;

  friend bool operator==(const log_message& a, const log_message& b);
};

/// The header that a broker keeps beside the bytes, "17-20 1/3 by 0123456789abcdef of clicks":
/// everything of a message but those.
inline constexpr const char* records_header = "Headrace-Records";
std::string header_text(const log_message& message);
/// Nothing where it was not written so.
std::optional<log_message> parse_header(std::string_view text);

/// Messages that a broker keeps in one order, at positions 1, 2, 3 …. A position that was given
/// never has another message; some may be passed over, where a writer was refused too late.
///
/// Each call waits for the broker, for as long as the stream was opened for, and is tried again
/// meanwhile: a broker that restarts is not noticed. Fails: unavailable (none answered in time),
/// corrupt (in words that name stream and position), bad_config, io_error. One thread.
class message_stream {
 public:
  /// What is kept: [first, next). Equal where nothing is.
  struct extent {
    std::uint64_t first = 1;
    std::uint64_t next = 1;
  };
  struct placed {
    std::uint64_t position = 0;
    log_message message;
  };
  enum class fate : std::uint8_t {
    placed,   // it stands there, and will
    taken,    // another writer's message stands there: this one will never
    refused,  // certainly not there: full, or too large
    unknown,  // may be there, or come to be: only the same message may be tried again
  };
  struct outcome {
    fate is = fate::unknown;
    std::uint64_t position = 0;  // where it was placed: `at`, or behind it where that was void
    errc code = errc::ok;        // of refused and unknown
    std::string detail;
  };
  /// Returns false to stop.
  using visitor = std::function<result<bool>(const placed&)>;

  virtual ~message_stream() = default;

  virtual result<extent> look() = 0;
  /// Puts `message` at `at`, the `next` that the writer knows of, or not at all: of several writers
  /// one has the position. What was placed stands there once, however often it was sent.
  virtual outcome append(const log_message& message, std::uint64_t at) = 0;
  /// The first message of [from, end); nothing where there is none.
  virtual result<std::optional<placed>> find(std::uint64_t from, std::uint64_t end) = 0;
  /// Visits the messages of [from, end) in order. Fails also: not_found (retention took some of
  /// them meanwhile), and what `visit` fails with.
  virtual result<void> read(std::uint64_t from, std::uint64_t end, const visitor& visit) = 0;
  /// Removes what stands before `position`, which is of a message that is kept; where the broker
  /// lets nobody do that, nothing. `look` tells what is left.
  virtual result<void> forget_before(std::uint64_t position) = 0;
  /// Of one message.
  virtual std::size_t bytes_max() const = 0;
  /// Bytes that the broker keeps, about; 0: it does not tell.
  virtual std::uint64_t bytes() const = 0;
  /// For messages to people, such as "stream SAMPLES at nats://localhost:4222".
  virtual std::string name() const = 0;
};

}  // namespace headrace::storage
