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

}  // namespace headrace::tests
