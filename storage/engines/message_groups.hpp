#pragma once

#include "base/result.hpp"
#include "storage/engines/message_stream.hpp"
#include "storage/ordered_log.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace headrace::storage {

/// The records of a group one behind the other, as in a segment file (storage/record_codec.hpp).
/// `chain` is the hash of the record before them, and becomes that of their last.
std::vector<std::byte> encode_group(std::span<const log_record> group, std::uint64_t& chain);

/// Makes records of messages that come in order, and checks that they do: a record that is missing
/// or there again, a part without the one before it, bytes or a chain that don't fit are `corrupt`,
/// named with stream and position. A group whose parts end early was given up by its writer when
/// the next message begins the same group anew; it is passed over.
class message_groups {
 public:
  /// Of the stream `name`, which must have records of `log` only: others are `wrong_job`. The first
  /// group that comes is the first there is.
  message_groups(std::string name, std::string log)
      : name_(std::move(name)), log_(std::move(log)) {}

  /// The records of a group that `one` makes whole, valid until the next call (their frames for as
  /// long as they are held); none while parts are missing.
  result<std::span<const log_record>> add(const message_stream::placed& one);

  /// Of the last whole group.
  lsn last() const { return last_; }
  std::uint64_t chain() const { return chain_.value_or(0); }

 private:
  result<void> begin(const message_stream::placed& one);
  result<std::span<const log_record>> decode(const message_stream::placed& whole);
  error damage(std::uint64_t position, const std::string& what) const;

  std::string name_;
  std::string log_;
  lsn last_;
  std::optional<std::uint64_t> chain_;    // of the last record; nothing: none came yet
  std::optional<log_message> under_way_;  // its newest part
  std::shared_ptr<std::vector<std::byte>> bytes_;
  std::vector<log_record> records_;
};

/// `corrupt`, in one line: where, what, and the way out.
error stream_damage(const std::string& name, std::uint64_t position, const std::string& what);
/// Of a message that is not there, where the stream begins at `first`: retention takes the oldest
/// ones (`not_found`); any other is a hole.
error missing_message(const std::string& name, std::uint64_t first, std::uint64_t position);

}  // namespace headrace::storage
