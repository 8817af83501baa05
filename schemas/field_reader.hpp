#pragma once

#include "base/result.hpp"
#include "schemas/push.capnp.h"
#include "schemas/push.hpp"

#include <capnp/blob.h>
#include <capnp/list.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Turns untrusted fields of one message into checked values. Only this folder's .cpp files include
/// it.
namespace headrace::schemas {

/// Longest refusal text that travels; `encode` cuts longer ones.
inline constexpr std::size_t detail_bytes_max = 1'000;
inline constexpr std::size_t sender_bytes_max = 64;
inline constexpr std::size_t source_name_bytes_max = 64;

/// Reads field by field and keeps the first refusal; after one, each read returns an empty value.
/// The decoder stays a list of assignments, and `finish` says how it went.
class field_reader {
 public:
  /// `what` names the message in refusals; it must outlive the reader.
  explicit field_reader(std::string_view what) : what_(what) {}

  bool ok() const { return !failure_; }
  void refuse(errc code, std::string why);
  void protocol(std::uint16_t spoken);
  errc status(std::uint16_t number);
  schemas::lane lane(std::uint16_t number);
  schemas::log_mode log_mode(std::uint16_t number);
  schemas::value_codec value_codec(std::uint16_t number);
  void key_codec(std::uint16_t number);
  /// Of a pushed block, which has more of both.
  schemas::value_codec push_codec(std::uint16_t number);
  schemas::key_codec push_key_codec(std::uint16_t number);
  source_id source(wire::Source::Reader source);
  std::string source_name(capnp::Text::Reader text);
  std::string detail(capnp::Text::Reader text);
  std::string sender(capnp::Text::Reader text);
  std::uint32_t rows(std::uint32_t count);
  /// Counts rows of packed keys; false when they are more than one message may have.
  bool packed_rows(std::uint64_t count);
  /// Refuses topk of more values than there are, or of more than 32 bits count.
  void chosen(std::uint64_t count, std::uint64_t cells);
  /// Refuses a list of more than `most` elements.
  void list(std::size_t count, std::size_t most, std::string_view name);

  /// `list` as it is; refuses one of more than `most` numbers.
  std::vector<std::uint64_t> numbers(capnp::List<std::uint64_t>::Reader list,
                                     std::size_t most,
                                     std::string_view name);

  /// `data` as exactly `count` values, in the frame.
  template <class Value>
  std::span<const Value> values(capnp::Data::Reader data,
                                std::uint64_t count,
                                std::string_view name) {
    if (!sized(data.size(), count, sizeof(Value), name)) return {};
    return {reinterpret_cast<const Value*>(data.begin()), static_cast<std::size_t>(count)};
  }

  /// `data` as exactly `count` values of rows in `codec`, in the frame.
  std::span<const std::byte> cells(capnp::Data::Reader data,
                                   schemas::value_codec codec,
                                   std::uint64_t count);
  /// `data` as exactly what a pushed block of rows × dim values has, in the frame.
  std::span<const std::byte> cells(std::span<const std::byte> data,
                                   schemas::value_codec codec,
                                   std::uint64_t rows,
                                   std::uint64_t dim,
                                   std::uint64_t chosen);

  /// `message`, or the first refusal.
  template <class Message>
  result<Message> finish(Message message) {
    if (failure_) return *std::move(failure_);
    return message;
  }

 private:
  bool sized(std::size_t bytes, std::uint64_t count, std::size_t width, std::string_view name);
  std::string text(capnp::Text::Reader from, std::size_t most, std::string_view name);

  std::string_view what_;
  std::optional<error> failure_;
  std::uint64_t packed_rows_ = 0;
};

/// `text` cut to what travels.
std::string_view cut(std::string_view text, std::size_t bytes_max);

/// Head words of a source, and its fields written.
std::size_t source_words(const source_id& source);
void write_source(wire::Source::Builder into, const source_id& source);

}  // namespace headrace::schemas
