#include "ps/table/row_slab.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace headrace::ps {
namespace {

constexpr std::size_t slab_bytes_max = std::size_t{64} << 20;
constexpr std::size_t few_bytes = std::size_t{32} << 10;
// A 32-bit row number plus one must fit the index's 32 bits.
constexpr std::uint32_t rows_max = UINT32_MAX - 1;

std::size_t stride_of(std::size_t payload_bytes) {
  return (sizeof(row_header) + payload_bytes + 7) / 8 * 8;
}

}  // namespace

row_slab::row_slab(std::size_t payload_bytes)
    : stride_(stride_of(payload_bytes)),
      shift_(static_cast<unsigned>(std::countr_zero(std::bit_floor(slab_bytes_max / stride_)))),
      mask_((1U << shift_) - 1),
      few_rows_(static_cast<std::uint32_t>(few_bytes / stride_)) {}

std::uint32_t row_slab::make(std::uint64_t key, bool reuse) {
  if (reuse && !free_.empty()) {
    const std::uint32_t made = free_.back();
    free_.pop_back();
    std::memset(static_cast<void*>(at(made)), 0, stride_);
    at(made)->key = key;
    return made;
  }
  CHECK(rows_ < rows_max);
  if (rows_ < few_rows_) {
    if (rows_ == 0) few_ = huge_region(few_rows_ * stride_);
  } else if (rows_ >> shift_ == slabs_.size()) {
    slabs_.emplace_back(stride_ << shift_);
  }
  const std::uint32_t made = rows_++;
  at(made)->key = key;  // the rest is as the kernel gave it: zero
  return made;
}

void row_slab::free(std::uint32_t row) {
  at(row)->flags = row_flag::free_slot;
  free_.push_back(row);
}

std::size_t row_slab::bytes() const {
  if (rows_ <= few_rows_) return few_.size();
  const std::size_t last = static_cast<std::size_t>(rows_ - 1) & mask_;
  const std::size_t used = (last + 1) * stride_;
  const std::size_t pages = (used + huge_region::page_bytes - 1) / huge_region::page_bytes;
  const std::size_t tail = std::min(pages * huge_region::page_bytes, slabs_.back().size());
  return few_.size() + (slabs_.size() - 1) * slabs_.front().size() + tail;
}

}  // namespace headrace::ps
