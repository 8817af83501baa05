#pragma once

#include <string_view>

namespace headrace {

/// Prints file, line and the failed condition to standard error and aborts.
[[noreturn]] void check_failed(std::string_view condition, std::string_view file, int line);

}  // namespace headrace

/// States what must hold if the program is right; stays on in release builds. One condition each.
/// Bad input is never a CHECK: it is a `result` (base/result.hpp).
#define CHECK(condition)                               \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::headrace::check_failed(#condition, __FILE__, __LINE__))
