#pragma once

#include "base/check.hpp"
#include "storage/file_io.hpp"
#include "storage/s3_object_store.hpp"
#include "storage/temporary_folder.hpp"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <optional>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace headrace::storage {

/// tests/support/s3_server.py on a loopback port of its own choice, for as long as this object
/// lives. It verifies signatures, payload hashes and clocks. For tests and benches.
class s3_test_server {
 public:
  static constexpr const char* key = "AKIAHEADRACETEST";
  static constexpr const char* secret = "a+secret/with=characters that need care";

  /// Nothing where python3 does not start it.
  static std::optional<s3_test_server> start(const std::vector<std::string>& flags = {},
                                             const std::string& token = "") {
    s3_test_server server;
    server.folder_ = std::make_unique<temporary_folder>();
    int out[2];
    int in[2];
    CHECK(::pipe2(out, O_CLOEXEC) == 0);
    CHECK(::pipe2(in, O_CLOEXEC) == 0);
    const file_handle reads(out[0]);
    file_handle writes(out[1]);
    const file_handle child_in(in[0]);
    server.stdin_ = file_handle(in[1]);
    if (!server.spawn(flags, token, in[0], out[1])) return std::nullopt;
    writes.reset();
    std::string line;
    for (char c = 0; ::read(reads.get(), &c, 1) == 1 && c != '\n';) line += c;
    const std::string before = "listening on ";
    if (!line.starts_with(before)) return std::nullopt;
    server.port_ = line.substr(before.size());
    return server;
  }
  s3_test_server(s3_test_server&& other) noexcept
      : folder_(std::move(other.folder_)),
        port_(std::move(other.port_)),
        stdin_(std::move(other.stdin_)),
        pid_(std::exchange(other.pid_, -1)) {}
  s3_test_server& operator=(s3_test_server&&) = delete;
  ~s3_test_server() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  std::string endpoint() const { return "http://127.0.0.1:" + port_; }
  /// Settings that it accepts, with waits short enough for a test.
  s3_settings settings() const {
    s3_settings how;
    how.bucket = "ckpt";
    how.prefix = "a job/";
    how.endpoint = endpoint();
    how.credentials = {key, secret, "", "us-east-1"};
    how.limits.stall = std::chrono::seconds(1);
    how.attempts = 3;
    how.backoff = std::chrono::milliseconds(1);
    return how;
  }
  /// What the next requests meet (see the script).
  void fail_next(const std::string& faults) const {
    std::ofstream(folder_->path() / "faults") << faults;
  }
  /// Lines "METHOD /bucket/name STATUS" since the last call.
  std::vector<std::string> take_requests() {
    const auto path = folder_->path() / "requests.log";
    std::vector<std::string> lines;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    file.close();
    std::filesystem::remove(path);
    return lines;
  }
  /// The folders of the server's data and headers: file names are percent-encoded object names.
  std::filesystem::path data() const { return folder_->path() / "data"; }
  std::filesystem::path meta() const { return folder_->path() / "meta"; }

 private:
  s3_test_server() = default;

  bool spawn(const std::vector<std::string>& flags, const std::string& token, int in, int out) {
    std::vector<std::string> words{"python3",
                                   HEADRACE_SOURCE_ROOT "/tests/support/s3_server.py",
                                   "--root",
                                   folder_->path().string(),
                                   "--with-stdin"};
    words.insert(words.end(), flags.begin(), flags.end());
    std::vector<std::string> variables{std::string("S3_SERVER_KEY=") + key,
                                       std::string("S3_SERVER_SECRET=") + secret,
                                       "S3_SERVER_TOKEN=" + token};
    for (char** entry = environ; *entry != nullptr; ++entry) variables.emplace_back(*entry);
    const auto raw = [](std::vector<std::string>& texts) {
      std::vector<char*> pointers;
      for (auto& text : texts) pointers.push_back(text.data());
      pointers.push_back(nullptr);
      return pointers;
    };
    ::posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    const int failed = ::posix_spawnp(
        &pid_, "python3", &actions, nullptr, raw(words).data(), raw(variables).data());
    ::posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) pid_ = -1;
    return failed == 0;
  }

  std::unique_ptr<temporary_folder> folder_;
  std::string port_;
  file_handle stdin_;  // open: it ends with this process, however that ends
  ::pid_t pid_ = -1;
};

}  // namespace headrace::storage
