#include "cli/verbs.hpp"

#include <cstdio>
#include <string>

namespace headrace::cli {

int report_error(const error& failure) {
  std::string line = failure.detail.empty() ? std::string(name(failure.code)) : failure.detail;
  for (char& c : line) {
    if (c == '\n') c = ' ';
  }
  std::fprintf(stderr, "headrace: %s\n", line.c_str());
  return failure.code == errc::bad_config ? exit_usage : exit_failed;
}

}  // namespace headrace::cli
