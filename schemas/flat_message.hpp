#pragma once

#include "base/frame.hpp"
#include "base/result.hpp"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

/// One flat Cap'n Proto frame, built in place and read in place. Only this folder's .cpp files
/// include it.
///
/// A frame is the segment table of a single segment (8 bytes: 0, words) and that segment: what
/// `capnp::FlatArrayMessageReader` reads. The segment starts with the *head* (structs, lists, text)
/// and ends with the *bulk* (`Data` in the order it was asked for).
namespace headrace::schemas {

/// Words taken by `bytes` of data.
constexpr std::size_t words_of(std::size_t bytes) { return (bytes + 7) / 8; }
/// Words taken by a text; an empty one is not written at all.
constexpr std::size_t text_words(std::string_view text) {
  return text.empty() ? 0 : words_of(text.size() + 1);
}
/// Words of a struct's body, without the pointer that leads to it.
template <class Struct>
constexpr std::size_t struct_words() {
  return std::size_t{Struct::_capnpPrivate::dataWordSize} + Struct::_capnpPrivate::pointerCount;
}
/// Words of a list of structs; an empty one is not written at all.
template <class Struct>
constexpr std::size_t list_words(std::size_t count) {
  return count == 0 ? 0 : 1 + count * struct_words<Struct>();
}

/// Builds one frame in one allocation of the exact size: no second segment, no copy at the end.
///
/// The bulk is not zeroed first, since whoever asks for it writes all of it (1 MiB costs as much to
/// zero as to copy: schemas.bench.cpp); so every struct, list and text must be made before the
/// first `bulk`.
class flat_message {
 public:
  /// `head_words` without the root pointer. A frame above `frame_bytes_max` is a bug in the caller.
  flat_message(std::size_t head_words, std::size_t bulk_words);

  template <class Root>
  typename Root::Builder root() {
    return message_.initRoot<Root>();
  }
  /// The frame as it is now.
  std::span<const std::byte> bytes() const;
  /// The frame; a bug when it is not filled to the last word.
  frame finish();

 private:
  std::shared_ptr<std::uint64_t[]> memory_;
  std::size_t words_;  // of the segment
  capnp::FlatMessageBuilder message_;
};

/// Starts a message of one struct and `extra_words` of texts and lists.
template <class Root>
constexpr std::size_t head_words(std::size_t extra_words) {
  return struct_words<Root>() + extra_words;
}

/// `data` as bytes to write, its padding zeroed.
std::span<std::byte> writable(capnp::Data::Builder data);
/// Copies `text` into `into` of the same size.
void write_text(capnp::Text::Builder into, std::string_view text);
/// Sets what every reply of a control message has.
template <class Builder>
void write_status(Builder root, errc status, std::string_view detail) {
  root.setStatus(static_cast<std::uint16_t>(status));
  if (!detail.empty()) write_text(root.initDetail(static_cast<unsigned>(detail.size())), detail);
}
/// Copies `bytes` into `data` of the same size.
void write_bulk(capnp::Data::Builder data, std::span<const std::byte> bytes);

/// Checks what can be told without Cap'n Proto: size, alignment (a bug), one segment, no rest.
std::optional<error> check_flat(const frame& bytes);
/// `failure` as one line.
error malformed_by(const kj::Exception& failure);

/// Nesting of our deepest message is 6 (batch, events, event, fields, field, texts).
inline constexpr int nesting_max = 8;

/// Opens `bytes` and returns `read(root)`, a result; nothing thrown by Cap'n Proto gets out.
///
/// The traversal limit is the frame's own size, so pointers that share bytes cannot make more than
/// the frame holds: each list is read once.
template <class Root, class Read>
auto read_flat(const frame& bytes, Read&& read)
    -> decltype(read(std::declval<typename Root::Reader>())) {
  if (auto bad = check_flat(bytes)) return *std::move(bad);
  const std::size_t words = bytes.size() / sizeof(capnp::word);
  capnp::ReaderOptions limits;
  limits.traversalLimitInWords = words + 64;
  limits.nestingLimit = nesting_max;
  try {
    capnp::FlatArrayMessageReader message(
        kj::arrayPtr(reinterpret_cast<const capnp::word*>(bytes.bytes().data()), words), limits);
    return read(message.getRoot<Root>());
  } catch (const kj::Exception& failure) {
    return malformed_by(failure);
  }
}

}  // namespace headrace::schemas
