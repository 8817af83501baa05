#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// What the owner decides once, before append, and writes into the record: replay obeys (design
/// §4). To the byte: docs/storage-format.md.
namespace headrace::ps {

/// One bit for each row of a push, over its blocks in order: whether the row learns. Where every
/// row does, a record carries no decisions.
class admission_bits {
 public:
  admission_bits() = default;
  explicit admission_bits(std::size_t rows) : bits_((rows + 7) / 8), rows_(rows) {}

  void admit(std::size_t row) { bits_[row / 8] |= std::byte{1} << (row % 8); }
  std::size_t rows() const { return rows_; }
  std::size_t admitted() const;
  /// Empty: every row.
  std::span<const std::byte> bytes() const { return bits_; }

 private:
  friend result<admission_bits> decode_admissions(std::span<const std::byte>, std::size_t);
  std::vector<std::byte> bits_;
  std::size_t rows_ = 0;
};

frame encode_admissions(const admission_bits& bits);
/// Fails: corrupt (another format, not `rows` bits, or bits behind the last).
result<admission_bits> decode_admissions(std::span<const std::byte> bytes, std::size_t rows);

/// Rows that go at once, by the owner's decision: payload of a record of kind `removal`.
struct removal {
  enum class why : std::uint8_t { expired = 1, forgotten = 2 };
  why reason = why::forgotten;
  table_id table;
  std::vector<std::uint64_t> keys;  // strictly ascending
  friend bool operator==(const removal&, const removal&) = default;
};

frame encode_removal(const removal& what);
/// Fails: corrupt.
result<removal> decode_removal(std::span<const std::byte> bytes);

}  // namespace headrace::ps
