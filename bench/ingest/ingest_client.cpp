#include "bench/ingest/ingest.hpp"
#include "bench/ingest/load.hpp"
#include "bench/rows64/own_session.hpp"
#include "bench/rows64/process.hpp"

#include <cstdio>
#include <poll.h>
#include <string>
#include <unistd.h>

namespace headrace::bench {
namespace {

using namespace std::chrono_literals;

void wait_for_line() {
  char c = 0;
  while (::read(STDIN_FILENO, &c, 1) == 1 && c != '\n') {
  }
}

bool is_told_to_end() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  return ::poll(&input, 1, 0) > 0;
}

result<std::unique_ptr<ingest_sender>> open_sender(const ingest_options& options) {
  switch (options.peer) {
    case ingest_peer::headrace:
      return open_headrace_sender(options);
    case ingest_peer::http_json:
    case ingest_peer::http_single:
      return open_http_sender(options);
    case ingest_peer::redis:
      return open_redis_sender(options);
  }
  return error{errc::bad_config, "no such peer"};
}

result<client_result> push_all(ingest_sender& sender, std::uint64_t batches) {
  for (std::uint64_t i = 0; i < batches;) {
    const auto sent = sender.send(i, 20ms);
    if (!sent) return sent.error();
    if (*sent) {
      ++i;
    } else if (is_told_to_end()) {
      return sender.look();
    }
  }
  if (auto finished = sender.finish(); !finished) return finished.error();
  return sender.look();
}

}  // namespace

int run_ingest_client(const ingest_options& options) {
  end_with_parent();
  keep_large_blocks();
  auto sender = open_sender(options);
  if (!sender) return complain("ingest", sender.error());
  std::puts("ready");
  std::fflush(stdout);
  wait_for_line();
  const auto found = push_all(**sender, options.batches_of_client());
  if (!found) return complain("ingest", found.error());
  std::printf("%s\n", to_line(*found).c_str());
  std::fflush(stdout);
  ::_exit(0);  // what was not acknowledged is not waited for
}

}  // namespace headrace::bench
