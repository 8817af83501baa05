#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace headrace {

static_assert(std::endian::native == std::endian::little,
              "numbers are copied as they lie in memory");

/// Appends little-endian numbers, arrays and short strings to a byte vector: how state is written
/// that is not a message of the wire. Every target of Headrace is little-endian, so numbers are
/// copied as they lie in memory.
class byte_writer {
 public:
  template <class Number>
  void number(Number value) {
    const auto* from = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), from, from + sizeof(Number));
  }
  template <class Number>
  void numbers(std::span<const Number> values) {
    const auto from = std::as_bytes(values);
    bytes_.insert(bytes_.end(), from.begin(), from.end());
  }
  /// u32 length, then the bytes.
  void block(std::span<const std::byte> bytes) {
    number(static_cast<std::uint32_t>(bytes.size()));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void text(std::string_view text) { block(std::as_bytes(std::span(text))); }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

/// Reads what byte_writer wrote. Reading past the end gives zeros and makes `ok` false for good.
class byte_reader {
 public:
  explicit byte_reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <class Number>
  Number number() {
    Number value{};
    if (const auto from = take(sizeof(Number)); !from.empty()) {
      std::memcpy(&value, from.data(), sizeof(Number));
    }
    return value;
  }
  /// Fills `into`, or leaves it and makes `ok` false.
  template <class Number>
  void numbers(std::span<Number> into) {
    const auto from = take(into.size_bytes());
    if (!from.empty()) std::memcpy(into.data(), from.data(), into.size_bytes());
  }
  std::span<const std::byte> block() { return take(number<std::uint32_t>()); }
  std::string text() {
    const auto from = block();
    return {reinterpret_cast<const char*>(from.data()), from.size()};
  }
  bool ok() const { return ok_; }
  std::size_t left() const { return rest_.size(); }
  bool at_end() const { return ok_ && rest_.empty(); }

 private:
  std::span<const std::byte> take(std::size_t size) {
    if (!ok_ || size > rest_.size()) {
      ok_ = false;
      return {};
    }
    const auto taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }

  std::span<const std::byte> rest_;
  bool ok_ = true;
};

}  // namespace headrace
