#pragma once

#include "ps/table/huge_region.hpp"
#include "ps/table/row_header.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::ps {

/// Rows of one width, numbered 0, 1, 2 … in slabs of 2^k rows. A row never moves and is never
/// freed.
///
/// Stride is the header's 32 bytes and the floats, rounded up to 8. Slabs hold up to 64 MiB, and
/// only the pages that rows were made on take memory. Single-threaded.
class row_slab {
 public:
  explicit row_slab(std::size_t floats_per_row);

  /// The next row: zeroed but for its key. At most 2^32 − 2 rows.
  std::uint32_t make(std::uint64_t key);
  row_header* at(std::uint32_t row) const {
    return reinterpret_cast<row_header*>(slabs_[row >> shift_].data() + (row & mask_) * stride_);
  }

  std::uint32_t rows() const { return rows_; }
  std::size_t stride() const { return stride_; }
  /// Memory touched by the rows made so far, in whole pages.
  std::size_t bytes() const;

 private:
  std::size_t stride_;
  unsigned shift_;
  std::uint32_t mask_;
  std::uint32_t rows_ = 0;
  std::vector<huge_region> slabs_;
};

}  // namespace headrace::ps
