#pragma once

#include "ps/table/huge_region.hpp"
#include "ps/table/row_header.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::ps {

/// Rows of one width, numbered 0, 1, 2 … in slabs of 2^k rows. A row never moves; the number of a
/// freed one is given out again.
///
/// Stride is the header's 32 bytes and the payload, rounded up to 8. The first rows lie in 32 KiB
/// of their own, so that a small table is small and quickly made; slabs hold up to 64 MiB, and only
/// the pages that rows were made on take memory. Single-threaded.
class row_slab {
 public:
  explicit row_slab(std::size_t payload_bytes);

  /// A row, zeroed but for its key; a freed number where there is one and `reuse` allows. At most
  /// 2^32 − 2 rows.
  std::uint32_t make(std::uint64_t key, bool reuse = true);
  /// The row is nobody's any more; its header says so (row_flag::free_slot).
  void free(std::uint32_t row);
  row_header* at(std::uint32_t row) const {
    const huge_region& of = row < few_rows_ ? few_ : slabs_[row >> shift_];
    return reinterpret_cast<row_header*>(of.data() + (row & mask_) * stride_);
  }

  /// Numbers given out so far, freed ones included.
  std::uint32_t rows() const { return rows_; }
  std::uint32_t live() const { return rows_ - static_cast<std::uint32_t>(free_.size()); }
  bool is_free(std::uint32_t row) const { return (at(row)->flags & row_flag::free_slot) != 0; }
  std::size_t stride() const { return stride_; }
  /// Memory touched by the rows made so far, in whole pages.
  std::size_t bytes() const;

 private:
  std::size_t stride_;
  unsigned shift_;
  std::uint32_t mask_;
  std::uint32_t few_rows_;
  std::uint32_t rows_ = 0;
  huge_region few_;                 // holds rows below few_rows_
  std::vector<huge_region> slabs_;  // hold the others; the head of the first is never touched
  std::vector<std::uint32_t> free_;
};

}  // namespace headrace::ps
