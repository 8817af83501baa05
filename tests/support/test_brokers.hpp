#pragma once

#include "tests/support/child_process.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <arpa/inet.h>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

/// Real brokers as processes of a test's own: on loopback or a socket file, gone with the object.
namespace headrace::tests {

/// Where `name` lies in PATH or among the system's servers; empty when it is not installed.
inline std::string find_server(const std::string& name) {
  std::string folders = std::getenv("PATH") == nullptr ? "" : std::getenv("PATH");
  folders += ":/usr/sbin:/usr/bin";
  for (std::size_t from = 0; from < folders.size();) {
    const auto end = std::min(folders.find(':', from), folders.size());
    const auto path = folders.substr(from, end - from) + "/" + name;
    if (::access(path.c_str(), X_OK) == 0) return path;
    from = end + 1;
  }
  return {};
}

/// A port of loopback that was free a moment ago.
inline int free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(socket);
  return ntohs(address.sin_port);
}

/// redis-server with its append-only file in a folder of its own, on a Unix socket.
class redis_server {
 public:
  explicit redis_server(std::vector<std::string> more = {}) : more_(std::move(more)) {}
  std::string endpoint() const { return "unix:" + folder_ / "socket"; }
  void start() {
    std::vector<std::string> words{find_server("redis-server"),
                                   "--port",
                                   "0",
                                   "--unixsocket",
                                   folder_ / "socket",
                                   "--dir",
                                   folder_.path(),
                                   "--appendonly",
                                   "yes",
                                   "--appendfsync",
                                   "no",  // "everysec" may answer first, and lose it when killed
                                   "--save",
                                   ""};
    words.insert(words.end(), more_.begin(), more_.end());
    process_ = std::make_unique<child_process>(words);
    ASSERT_TRUE(process_->wait_for_text("ready to accept connections", std::chrono::seconds(10)))
        << process_->output() << process_->errors();
  }
  void kill() { process_.reset(); }  // SIGKILL

 private:
  temporary_folder folder_;
  std::vector<std::string> more_;
  std::unique_ptr<child_process> process_;
};

/// nats-server with JetStream in a folder of its own.
class nats_server {
 public:
  explicit nats_server(std::vector<std::string> more = {}) : more_(std::move(more)) {}
  std::string url() const { return "nats://127.0.0.1:" + std::to_string(port_); }
  void start() {
    std::vector<std::string> words{find_server("nats-server"),
                                   "-a",
                                   "127.0.0.1",
                                   "-p",
                                   std::to_string(port_),
                                   "-js",
                                   "-sd",
                                   folder_.path()};
    words.insert(words.end(), more_.begin(), more_.end());
    process_ = std::make_unique<child_process>(words);
    ASSERT_TRUE(process_->wait_for_text("Server is ready", std::chrono::seconds(10)))
        << process_->errors();
  }
  void kill() { process_.reset(); }  // SIGKILL

 private:
  temporary_folder folder_;
  std::vector<std::string> more_;
  int port_ = free_port();
  std::unique_ptr<child_process> process_;
};

/// tests/support/mock_kafka.cpp, which speaks Kafka's protocol in a process of its own.
class mock_kafka {
 public:
  mock_kafka() : fifo_(folder_ / "commands") {
    EXPECT_EQ(::mkfifo(fifo_.c_str(), 0600), 0);
    process_ = std::make_unique<child_process>(
        std::vector<std::string>{std::getenv("HEADRACE_MOCK_KAFKA"), "1", fifo_});
    EXPECT_TRUE(process_->wait_for_text("\n", std::chrono::seconds(10))) << process_->errors();
    commands_.open(fifo_);
    const auto line = process_->output();
    const auto from = line.find(' ') + 1;
    bootstraps_ = line.substr(from, line.find('\n') - from);
  }
  const std::string& bootstraps() const { return bootstraps_; }
  void tell(const std::string& command) {
    commands_ << command << std::endl;
    EXPECT_TRUE(
        process_->wait_for_text("done " + std::to_string(++told_) + "\n", std::chrono::seconds(10)))
        << command << ": " << process_->output();
  }

 private:
  temporary_folder folder_;
  std::string fifo_;
  std::unique_ptr<child_process> process_;
  std::ofstream commands_;
  std::string bootstraps_;
  std::size_t told_ = 0;
};

}  // namespace headrace::tests
