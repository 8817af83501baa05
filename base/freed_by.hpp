#pragma once

namespace headrace {

/// Deletes what a C library made with the library's own function, for std::unique_ptr.
template <auto Free>
struct freed_by {
  template <class Thing>
  void operator()(Thing* thing) const {
    Free(thing);
  }
};

}  // namespace headrace
