#include "schemas/flat_message.hpp"

#include "base/check.hpp"
#include "schemas/wire.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

namespace headrace::schemas {

static_assert(std::endian::native == std::endian::little,
              "bulk data is written as it lies in memory");

namespace {

constexpr std::size_t table_bytes = 8;  // the segment table of one segment
constexpr std::size_t description_bytes_max = 200;

/// Uninitialised memory for a whole frame; only the segment table and the head are zeroed.
std::shared_ptr<std::uint64_t[]> frame_memory(std::size_t head_words, std::size_t words) {
  CHECK((words + 1) * 8 <= frame_bytes_max);
  auto memory = std::make_shared_for_overwrite<std::uint64_t[]>(words + 1);
  std::memset(memory.get(), 0, (head_words + 1) * 8);
  const std::uint32_t table[2] = {0, static_cast<std::uint32_t>(words)};
  std::memcpy(memory.get(), table, table_bytes);
  return memory;
}

}  // namespace

flat_message::flat_message(std::size_t head_words, std::size_t bulk_words)
    : memory_(frame_memory(head_words + 1, head_words + 1 + bulk_words)),
      words_(head_words + 1 + bulk_words),
      message_(kj::arrayPtr(reinterpret_cast<capnp::word*>(memory_.get() + 1), words_)) {}

std::span<const std::byte> flat_message::bytes() const {
  return std::as_bytes(std::span(memory_.get(), words_ + 1));
}

frame flat_message::finish() {
  const auto segments = message_.getSegmentsForOutput();
  CHECK(segments.size() == 1);
  CHECK(segments[0].size() == words_);
  const auto all = bytes();
  return frame::sharing(all, std::move(memory_));
}

std::span<std::byte> writable(capnp::Data::Builder data) {
  auto* bytes = reinterpret_cast<std::byte*>(data.begin());
  if (const std::size_t rest = data.size() % 8; rest != 0) {
    std::memset(bytes + data.size(), 0, 8 - rest);
  }
  return {bytes, data.size()};
}

void write_text(capnp::Text::Builder into, std::string_view text) {
  CHECK(into.size() == text.size());
  if (!text.empty()) std::memcpy(into.begin(), text.data(), text.size());
}

void write_bulk(capnp::Data::Builder data, std::span<const std::byte> bytes) {
  CHECK(data.size() == bytes.size());
  if (!bytes.empty()) std::memcpy(writable(data).data(), bytes.data(), bytes.size());
}

std::optional<error> check_flat(const frame& bytes) {
  if (bytes.size() > frame_bytes_max) {
    return error{errc::too_large,
                 "frame of " + std::to_string(bytes.size()) + " bytes; at most " +
                     std::to_string(frame_bytes_max) + " are accepted"};
  }
  if (bytes.size() < 2 * table_bytes || bytes.size() % 8 != 0) {
    return error{errc::malformed,
                 "frame of " + std::to_string(bytes.size()) + " bytes is not a flat message"};
  }
  CHECK(frame::is_aligned(bytes.bytes()));
  std::uint32_t table[2];
  std::memcpy(table, bytes.bytes().data(), table_bytes);
  if (table[0] != 0) {
    return error{errc::malformed, "a message has one segment, this one says more"};
  }
  if (table[1] != bytes.size() / 8 - 1) {
    return error{errc::malformed,
                 "segment of " + std::to_string(table[1]) + " words in a frame of " +
                     std::to_string(bytes.size()) + " bytes"};
  }
  return std::nullopt;
}

error malformed_by(const kj::Exception& failure) {
  // Not what(): it may run a symboliser for the stack trace.
  const kj::StringPtr text = failure.getDescription();
  std::string detail(text.begin(), std::min(text.size(), description_bytes_max));
  for (char& c : detail) {
    if (c < ' ' || c > '~') c = ' ';
  }
  return {errc::malformed, "not a readable message: " + detail};
}

}  // namespace headrace::schemas
