#pragma once

#include <cstddef>

namespace headrace::tests {

/// Allocations through operator new that this thread made since. A test that uses it links
/// allocation_count.cpp, which replaces operator new.
class allocation_count {
 public:
  allocation_count();
  std::size_t made() const;

 private:
  std::size_t before_;
};

/// While it lives, operator new throws bad_alloc where more than `bytes_max` are asked for, in
/// every thread. One at a time; does nothing under a sanitizer.
class allocation_limit {
 public:
  explicit allocation_limit(std::size_t bytes_max);
  ~allocation_limit();
  allocation_limit(const allocation_limit&) = delete;
  allocation_limit& operator=(const allocation_limit&) = delete;
  static bool works();
};

}  // namespace headrace::tests
