#include "bench/ingest/redis_server.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

extern char** environ;

namespace headrace::bench {
namespace {

constexpr std::chrono::seconds patience{10};

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return to;
}

/// A port that is free now: Redis cannot choose one itself.
result<std::uint16_t> free_port() {
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto at = loopback(0);
  socklen_t size = sizeof at;
  const bool found = ::bind(probe, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 &&
                     ::getsockname(probe, reinterpret_cast<sockaddr*>(&at), &size) == 0;
  ::close(probe);
  if (!found) return error{errc::io_error, "no free port on loopback"};
  return ntohs(at.sin_port);
}

/// Connects and asks; true once it answers.
bool answers(std::uint16_t port) {
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto to = loopback(port);
  char answer[8] = {};
  constexpr std::string_view ping = "PING\r\n";
  const bool good = ::connect(probe, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 &&
                    ::send(probe, ping.data(), ping.size(), MSG_NOSIGNAL) > 0 &&
                    ::recv(probe, answer, sizeof answer, 0) >= 5 &&
                    std::string_view(answer, 5) == "+PONG";
  ::close(probe);
  return good;
}

/// Standard output goes to `output`, or nowhere.
result<pid_t> spawn(std::vector<std::string> words, int output) {
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  if (output >= 0) {
    posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  }
  pid_t pid = -1;
  const int failure = ::posix_spawnp(&pid, argv[0], &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (failure != 0) return error{errc::not_found, words[0] + ": " + std::strerror(failure)};
  return pid;
}

}  // namespace

result<redis_server> redis_server::start(const std::string& program,
                                         const std::filesystem::path& folder) {
  const auto port = free_port();
  if (!port) return port.error();
  auto pid = spawn({program,
                    "--port",
                    std::to_string(*port),
                    "--bind",
                    "127.0.0.1",
                    "--dir",
                    folder.string(),
                    "--appendonly",
                    "yes",
                    "--appendfsync",
                    "everysec",
                    "--auto-aof-rewrite-percentage",
                    "0",
                    "--save",
                    "",
                    "--loglevel",
                    "warning"},
                   -1);
  if (!pid) return pid.error();
  redis_server made;
  made.pid_ = *pid;
  made.port_ = *port;
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (!answers(*port)) {
    const bool ended = ::waitpid(*pid, nullptr, WNOHANG) == *pid;
    if (ended) made.pid_ = -1;
    if (ended || std::chrono::steady_clock::now() > give_up)
      return error{errc::unavailable, program + " does not serve on port " + std::to_string(*port)};
    ::poll(nullptr, 0, 10);
  }
  return made;
}

redis_server::redis_server(redis_server&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), port_(other.port_) {}

redis_server::~redis_server() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

result<std::string> redis_version(const std::string& program) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return error{errc::io_error, "cannot make a pipe"};
  const auto pid = spawn({program, "--version"}, ends[1]);
  ::close(ends[1]);
  std::string text;
  char piece[256];
  for (ssize_t got = 0; (got = ::read(ends[0], piece, sizeof piece)) > 0;)
    text.append(piece, static_cast<std::size_t>(got));
  ::close(ends[0]);
  if (!pid) return pid.error();
  ::waitpid(*pid, nullptr, 0);
  const auto at = text.find("v=");
  if (at == std::string::npos) return error{errc::not_found, program + " is no redis-server"};
  return text.substr(at + 2, text.find(' ', at) - at - 2);
}

}  // namespace headrace::bench
