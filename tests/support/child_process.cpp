#include "tests/support/child_process.hpp"

#include "base/check.hpp"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace headrace::tests {
namespace {

constexpr std::chrono::milliseconds poll_interval{2};

std::string read_all(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string new_file() {
  std::string name = std::filesystem::temp_directory_path() / "headrace-output-XXXXXX";
  const int file = ::mkstemp(name.data());
  CHECK(file >= 0);
  ::close(file);
  return name;
}

}  // namespace

child_process::child_process(std::vector<std::string> arguments,
                             std::vector<std::string> environment)
    : out_path_(new_file()), error_path_(new_file()) {
  pid_ = ::fork();
  CHECK(pid_ >= 0);
  if (pid_ > 0) return;
  const int out = ::open(out_path_.c_str(), O_WRONLY | O_TRUNC);
  const int errors = ::open(error_path_.c_str(), O_WRONLY | O_TRUNC);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(errors, STDERR_FILENO);
  ::close(STDIN_FILENO);
  for (auto& entry : environment) ::putenv(entry.data());
  std::vector<char*> raw;
  for (auto& argument : arguments) raw.push_back(argument.data());
  raw.push_back(nullptr);
  ::execv(raw[0], raw.data());
  ::_exit(127);
}

child_process::~child_process() {
  if (!status_) {
    signal(SIGKILL);
    (void)wait_for(std::chrono::seconds(10));
  }
  ::unlink(out_path_.c_str());
  ::unlink(error_path_.c_str());
}

void child_process::signal(int number) const {
  if (!status_) ::kill(pid_, number);
}

std::optional<int> child_process::wait_for(std::chrono::milliseconds deadline) {
  const auto give_up = std::chrono::steady_clock::now() + deadline;
  while (!status_) {
    int raw = 0;
    if (::waitpid(pid_, &raw, WNOHANG) == pid_) {
      status_ = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    } else if (std::chrono::steady_clock::now() > give_up) {
      break;
    } else {
      std::this_thread::sleep_for(poll_interval);
    }
  }
  return status_;
}

bool child_process::wait_for_text(const std::string& text, std::chrono::milliseconds deadline) {
  const auto give_up = std::chrono::steady_clock::now() + deadline;
  const auto there = [&] {
    return errors().find(text) != std::string::npos || output().find(text) != std::string::npos;
  };
  while (!there()) {
    if (wait_for(poll_interval)) return there();
    if (std::chrono::steady_clock::now() > give_up) return false;
  }
  return true;
}

std::string child_process::output() const { return read_all(out_path_); }
std::string child_process::errors() const { return read_all(error_path_); }

finished run_program(std::vector<std::string> arguments,
                     std::chrono::milliseconds deadline,
                     std::vector<std::string> environment) {
  child_process program(std::move(arguments), std::move(environment));
  const auto status = program.wait_for(deadline);
  return {status.value_or(-1), program.output(), program.errors()};
}

temporary_folder::temporary_folder() {
  path_ = std::filesystem::temp_directory_path() / "headrace-test-XXXXXX";
  CHECK(::mkdtemp(path_.data()) != nullptr);
}
temporary_folder::~temporary_folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string json_field(const std::string& json, const std::string& key) {
  const auto at = json.find('"' + key + "\":");
  if (at == std::string::npos) return {};
  auto from = at + key.size() + 3;
  while (from < json.size() && json[from] == ' ') ++from;
  if (json[from] == '"') return json.substr(from + 1, json.find('"', from + 1) - from - 1);
  return json.substr(from, json.find_first_of(",}\n", from) - from);
}

std::string headrace_binary() {
  const char* path = std::getenv("HEADRACE_BINARY");
  CHECK(path != nullptr);
  return path;
}

std::optional<std::string> data_folder() {
  const char* path = std::getenv("HEADRACE_DATA");
  if (path == nullptr || !std::filesystem::is_directory(path)) return std::nullopt;
  return path;
}

unsigned long long test_seed() {
  if (const char* given = std::getenv("HEADRACE_SEED")) return std::strtoull(given, nullptr, 10);
  return static_cast<unsigned long long>(
      std::chrono::steady_clock::now().time_since_epoch().count());
}

}  // namespace headrace::tests
