#include "bench/torch/torch_peer.hpp"

#include "base/parse_number.hpp"

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <spawn.h>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

extern char** environ;

namespace headrace::bench {
namespace {

constexpr std::string_view ready = "ready PyTorch ";
constexpr std::string_view absent = "absent ";

}  // namespace

result<torch_peer> torch_peer::start(const how& way) {
  std::vector<std::string> words = {way.python, "-c", std::string(way.script)};
  words.insert(words.end(), way.arguments.begin(), way.arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int to_child[2];
  int from_child[2];
  if (::pipe2(to_child, O_CLOEXEC) != 0)
    return error{errc::io_error, std::string("cannot make a pipe: ") + std::strerror(errno)};
  torch_peer peer;
  peer.input_ = to_child[1];
  if (::pipe2(from_child, O_CLOEXEC) != 0) {
    ::close(to_child[0]);
    return error{errc::io_error, std::string("cannot make a pipe: ") + std::strerror(errno)};
  }
  peer.output_ = from_child[0];
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, to_child[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, from_child[1], STDOUT_FILENO);
  const int failure =
      ::posix_spawn(&peer.pid_, way.python.c_str(), &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  ::close(to_child[0]);
  ::close(from_child[1]);
  if (failure != 0) {
    peer.pid_ = -1;
    return error{errc::unavailable, way.python + ": " + std::strerror(failure)};
  }
  const std::string line = peer.read_line();
  if (line.starts_with(absent))
    return error{errc::unavailable, way.python + ": " + line.substr(absent.size())};
  if (!line.starts_with(ready))
    return error{errc::unavailable, way.python + " ended before it was ready"};
  peer.words_ = line.substr(ready.size());
  return peer;
}

torch_peer::torch_peer(torch_peer&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      input_(std::exchange(other.input_, -1)),
      output_(std::exchange(other.output_, -1)),
      words_(std::move(other.words_)) {}

torch_peer::~torch_peer() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  for (const int end : {input_, output_}) {
    if (end >= 0) ::close(end);
  }
}

std::string torch_peer::read_line() {
  std::string line;
  char c = 0;
  while (::read(output_, &c, 1) == 1 && c != '\n') line.push_back(c);
  return line;
}

result<double> torch_peer::ask(std::string_view word) {
  const std::string asked = std::string(word) + "\n";
  if (::write(input_, asked.data(), asked.size()) != static_cast<ssize_t>(asked.size()))
    return error{errc::io_error, std::string("PyTorch has ended: ") + std::strerror(errno)};
  const std::string line = read_line();
  const auto number = parse_number<double>(std::string_view(line).substr(0, line.find(' ')));
  if (!number || *number <= 0) return error{errc::io_error, "PyTorch ended in a round"};
  return *number;
}

}  // namespace headrace::bench
