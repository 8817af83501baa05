#pragma once

#include "base/result.hpp"
#include "storage/engines/message_groups.hpp"
#include "storage/engines/message_stream.hpp"
#include "storage/ordered_log.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace headrace::storage {

/// The log as messages of a broker: JetStream (storage/engines/jetstream_stream.hpp) or Kafka
/// (kafka_stream.hpp). An append is one message, or, where it is larger than one may be, several
/// that count when the last of them is there.
///
/// `committed` means that the broker has it, with the durability that the stream was set up for.
/// `unknown` where no broker answered in time (errc unavailable): the same records may be appended
/// again at the same position, now or later, and will be there once. Other records are refused
/// then, and so is everything once another writer has taken the position (in_use): it has the log.
///
/// Opening reads the newest group and the oldest message, and reading checks what it reads: see
/// message_groups. A stream that lost its end, or all of it, is `corrupt`. One that lost its oldest
/// messages, as brokers have retention of their own, begins at the first group that is whole.
///
/// `append` waits for the broker and runs `done` itself. One thread.
class message_log final : public ordered_log {
 public:
  struct options {
    std::string log = "log";  // whose records they are; those of another are wrong_job
    /// Appends nothing, and sees what was there when it was opened.
    bool read_only = false;
    /// Where nothing is there yet, the first record stands behind this one.
    lsn continue_after = {};
    std::size_t part_bytes_max = std::size_t{512} << 10;  // design §9
  };
  /// Fails: as message_stream.
  static result<std::unique_ptr<message_log>> open(std::unique_ptr<message_stream> stream,
                                                   options how);

  void append(std::span<const log_record> group, lsn expected, on_outcome done) override;
  result<void> read_from(lsn from, const visitor& visit) override;
  /// Forgets whole groups below `keep_from`, and never the newest one; what the broker lets nobody
  /// remove stays.
  result<void> truncate_before(lsn keep_from) override;
  extent last() const override { return extent_; }
  result<void> close() override;

  /// Bytes that the broker keeps of it, about; 0: it does not tell.
  std::uint64_t bytes() const { return stream_->bytes(); }

 private:
  /// An append that was begun and whose end is not known.
  struct begun {
    std::vector<std::byte> bytes;
    std::size_t part_bytes = 0;
    std::uint32_t next_part = 1;
    bool may_be_there = false;  // the next part, after a try without an answer
  };
  using found = result<std::optional<message_stream::placed>>;

  message_log(std::unique_ptr<message_stream> stream, options how);
  result<void> locate();
  result<void> find_begin(std::uint64_t from);
  result<void> look_again();
  result<void> read_newest(const message_stream::placed& its_last);
  result<void> read_kept(lsn from, const visitor& visit);
  found before(std::uint64_t position);
  result<std::uint64_t> begin_of(message_stream::placed part);
  result<std::uint64_t> position_of(lsn record);
  append_outcome write(std::span<const log_record> group);
  append_outcome send(std::span<const log_record> group, std::uint64_t chain);
  std::size_t part_bytes_max() const;

  options options_;
  std::unique_ptr<message_stream> stream_;
  std::uint64_t writer_;
  message_stream::extent kept_;
  extent extent_;
  std::uint64_t chain_ = 0;  // hash of the newest record
  std::optional<begun> begun_;
  append_outcome refusal_;     // the newest failure: told to what rode on it
  bool begin_is_old_ = false;  // something was removed, and how far is not known
  bool taken_over_ = false;
  bool closed_ = false;
};

}  // namespace headrace::storage
