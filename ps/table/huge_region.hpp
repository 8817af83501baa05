#pragma once

#include <cstddef>

namespace headrace::ps {

/// Zeroed memory, on huge pages where it is large enough for one; from the heap where it is small.
///
/// Pages come on first touch, so an untouched tail costs nothing. Random rows on huge pages are
/// read 2.1 times as fast as on 4 KiB pages (notes/stack.md §4.1). Throws std::bad_alloc like any
/// container.
class huge_region {
 public:
  static constexpr std::size_t page_bytes = std::size_t{2} << 20;

  huge_region() = default;
  explicit huge_region(std::size_t bytes);
  ~huge_region();
  huge_region(huge_region&& other) noexcept;
  huge_region& operator=(huge_region&& other) noexcept;

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;  // on a huge-page boundary when `size_` holds a page
  std::size_t size_ = 0;
};

}  // namespace headrace::ps
