#include "base/check.hpp"
#include "kernels/abi/entry.hpp"

#include <string>

// In a C library a CHECK that fails must not end the caller's process: this definition stands
// before the one of base/check.cpp when the library is linked, and `abi::entry` catches what it
// throws.
namespace headrace {

void check_failed(std::string_view condition, std::string_view file, int line) {
  const std::string_view name = file.substr(file.rfind('/') + 1);  // npos + 1 is 0
  throw kernels::abi::check_violation{"CHECK failed: " + std::string(condition) + " (" +
                                      std::string(name) + ":" + std::to_string(line) + ")"};
}

}  // namespace headrace
