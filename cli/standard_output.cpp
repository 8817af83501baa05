#include "cli/standard_output.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <poll.h>
#include <string>
#include <unistd.h>

namespace headrace::cli {

void expect_closed_output() { std::signal(SIGPIPE, SIG_IGN); }

result<void> write_output(std::string_view text) {
  const bool wrote = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (wrote && std::fflush(stdout) == 0) return {};
  if (errno == EPIPE) return error{errc::cancelled, "standard output was closed"};
  return error{errc::io_error, std::string("cannot write: ") + std::strerror(errno)};
}

bool output_is_closed() {
  ::pollfd out{STDOUT_FILENO, 0, 0};
  return ::poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

}  // namespace headrace::cli
