#include "tests/support/allocation_count.hpp"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

// A sanitizer's own operator new stays: its nothrow form would not fit our delete. There nothing is
// counted.
#if defined(__has_feature)
#define HEADRACE_HAS_FEATURE(x) __has_feature(x)
#else
#define HEADRACE_HAS_FEATURE(x) 0
#endif
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !HEADRACE_HAS_FEATURE(address_sanitizer) && !HEADRACE_HAS_FEATURE(thread_sanitizer)
#define HEADRACE_OWN_NEW 1
#else
#define HEADRACE_OWN_NEW 0
#endif

namespace {
thread_local std::size_t allocations = 0;
std::atomic<std::size_t> bytes_most = SIZE_MAX;  // relaxed: whoever sets it starts what it is about
}  // namespace

namespace headrace::tests {
allocation_count::allocation_count() : before_(allocations) {}
std::size_t allocation_count::made() const { return allocations - before_; }

allocation_limit::allocation_limit(std::size_t bytes_max) { bytes_most = bytes_max; }
allocation_limit::~allocation_limit() { bytes_most = SIZE_MAX; }
bool allocation_limit::works() { return HEADRACE_OWN_NEW != 0; }
}  // namespace headrace::tests

#if HEADRACE_OWN_NEW

// The other forms (arrays, nothrow) call this one; aligned ones are not counted.
void* operator new(std::size_t bytes) {
  ++allocations;
  if (bytes > bytes_most.load(std::memory_order_relaxed)) throw std::bad_alloc();
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

#endif
