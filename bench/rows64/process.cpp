#include "bench/rows64/process.hpp"

#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <malloc.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

extern char** environ;

namespace headrace::bench {
namespace {

int status_of(int raw) { return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw); }

/// Pipes between parent and child, closed on exec but for the ends given to the child.
struct pipes {
  int to_child[2] = {-1, -1};
  int from_child[2] = {-1, -1};

  bool open() { return ::pipe2(to_child, O_CLOEXEC) == 0 && ::pipe2(from_child, O_CLOEXEC) == 0; }
};

}  // namespace

result<child> child::start(std::vector<std::string> arguments, how way) {
  arguments.insert(arguments.begin(), "headrace");
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  pipes made;
  if (way.piped) {
    if (!made.open())
      return error{errc::io_error, std::string("cannot make a pipe: ") + std::strerror(errno)};
    posix_spawn_file_actions_adddup2(&files, made.to_child[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, made.from_child[1], STDOUT_FILENO);
  }
  if (way.own_session) posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  child started;
  const int failure =
      ::posix_spawn(&started.pid_, "/proc/self/exe", &files, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (way.piped) {
    ::close(made.to_child[0]);
    ::close(made.from_child[1]);
    started.input_ = made.to_child[1];
    started.output_ = made.from_child[0];
  }
  if (failure != 0)
    return error{errc::io_error, std::string("cannot start a process: ") + std::strerror(failure)};
  started.own_session_ = way.own_session;
  return started;
}

child::child(child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      own_session_(other.own_session_),
      input_(std::exchange(other.input_, -1)),
      output_(std::exchange(other.output_, -1)) {}

child::~child() { kill(); }

std::string child::read_line() {
  std::string line;
  char c = 0;
  while (::read(output_, &c, 1) == 1 && c != '\n') line.push_back(c);
  return line;
}

void child::write_line(const std::string& line) {
  const std::string bytes = line + "\n";
  // A child that has ended must not end us: the signal is taken away from the default for the
  // write.
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  (void)!::write(input_, bytes.data(), bytes.size());
  ::signal(SIGPIPE, before);
}

void child::kill() {
  if (pid_ > 0) {
    ::kill(own_session_ ? -pid_ : pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  for (int* end : {&input_, &output_}) {
    if (*end >= 0) ::close(std::exchange(*end, -1));
  }
}

std::optional<int> child::ended() {
  int raw = 0;
  if (pid_ <= 0 || ::waitpid(pid_, &raw, WNOHANG) != pid_) return std::nullopt;
  pid_ = -1;
  return status_of(raw);
}

void end_with_parent() { ::prctl(PR_SET_PDEATHSIG, SIGKILL); }

std::string raise_autogroup_weight() {
  std::ifstream enabled("/proc/sys/kernel/sched_autogroup_enabled");
  int on = 0;
  if (!(enabled >> on) || on == 0) return "no autogroups: scheduler weight left alone";
  std::ofstream weight("/proc/self/autogroup");
  weight << "-20" << std::flush;
  return weight ? "autogroup raised to -20" : "autogroup left at 0 (not permitted to raise it)";
}

void keep_large_blocks() {
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

}  // namespace headrace::bench
