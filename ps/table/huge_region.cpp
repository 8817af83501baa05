#include "ps/table/huge_region.hpp"

#include "base/check.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <sys/mman.h>
#include <utility>

namespace headrace::ps {
namespace {

constexpr std::size_t small_page = 4096;
constexpr std::size_t heap_max = std::size_t{64}
                                 << 10;  // a mapping of their own costs more than they hold

std::size_t round_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

void unmap(std::byte* from, std::size_t bytes) {
  if (bytes > 0) CHECK(::munmap(from, bytes) == 0);
}

std::byte* map(std::size_t bytes) {
  void* made = ::mmap(
      nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (made == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(made);
}

std::byte* take_from_heap(std::size_t bytes) {
  void* made = std::aligned_alloc(small_page, bytes);
  if (made == nullptr) throw std::bad_alloc();
  return static_cast<std::byte*>(std::memset(made, 0, bytes));
}

}  // namespace

huge_region::huge_region(std::size_t bytes) {
  CHECK(bytes > 0);
  if (bytes < page_bytes) {
    size_ = round_up(bytes, small_page);
    data_ = size_ <= heap_max ? take_from_heap(size_) : map(size_);
    return;
  }
  // One page more than needed, then both ends are cut back to the boundary.
  size_ = round_up(bytes, page_bytes);
  std::byte* wide = map(size_ + page_bytes);
  const auto at = reinterpret_cast<std::uintptr_t>(wide);
  const std::size_t lead = round_up(at, page_bytes) - at;
  data_ = wide + lead;
  unmap(wide, lead);
  unmap(data_ + size_, page_bytes - lead);
  ::madvise(data_, size_, MADV_HUGEPAGE);  // a hint: without it everything works, only slower
}

huge_region::~huge_region() {
  if (size_ > heap_max) {
    unmap(data_, size_);
  } else {
    std::free(data_);
  }
}

huge_region::huge_region(huge_region&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

huge_region& huge_region::operator=(huge_region&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace headrace::ps
