#include "tests/support/allocation_count.hpp"

#include <cstdlib>
#include <new>

namespace {
thread_local std::size_t allocations = 0;
}

namespace headrace::tests {
allocation_count::allocation_count() : before_(allocations) {}
std::size_t allocation_count::made() const { return allocations - before_; }
}  // namespace headrace::tests

// The other forms (arrays, nothrow) call this one; aligned ones are not counted.
void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
