#include "base/check.hpp"

#include <cstdio>
#include <cstdlib>

namespace headrace {

void check_failed(std::string_view condition, std::string_view file, int line) {
  std::fprintf(stderr,
               "headrace: CHECK failed: %.*s (%.*s:%d)\n",
               static_cast<int>(condition.size()),
               condition.data(),
               static_cast<int>(file.size()),
               file.data(),
               line);
  std::abort();
}

}  // namespace headrace
