#include "actors/transport/ipc_socket.hpp"

#include "actors/transport/context.hpp"
#include "actors/transport/link.hpp"
#include "actors/transport/test_peers.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace headrace::actors {
namespace {

TEST(Ipc, TheSocketIsForItsOwnerAloneAndGoesWithTheServer) {
  const socket_path file("mode");
  transport_context context;
  auto server = router::open(context, {file.endpoint()}, echo);
  ASSERT_TRUE(server.ok()) << describe(server.error());
  EXPECT_EQ((*server)->endpoints()[0], file.endpoint());
  struct stat found {};
  ASSERT_EQ(::stat(file.path().c_str(), &found), 0);
  EXPECT_TRUE(S_ISSOCK(found.st_mode));
  EXPECT_EQ(found.st_mode & 0777U, 0600U);
  (*server)->stop();
  EXPECT_FALSE(std::filesystem::exists(file.path()));
}

TEST(Ipc, ALiveServerIsRefusedAndNotDisturbed) {
  const socket_path file("live");
  transport_context context;
  auto first = router::open(context, {file.endpoint()}, echo);
  ASSERT_TRUE(first.ok()) << describe(first.error());
  const auto second = router::open(context, {file.endpoint()}, echo);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, errc::in_use);
  EXPECT_NE(second.error().detail.find(file.path()), std::string::npos);
  inbox box;
  auto client = link::open(context, file.endpoint(), box.receiver());
  ASSERT_TRUE(client.ok());
  (*client)->send(request(1, 1), {bytes_of(64, 1)});
  EXPECT_TRUE(box.wait_for(1)) << "the first server must still be reached";
  (*client)->stop();
}

TEST(Ipc, TheSocketOfAServerThatWasKilledIsReplaced) {
  const socket_path file("stale");
  const pid_t child = ::fork();
  if (child == 0) {  // listens and is killed, as a server is: the file stays
    auto made = ipc_socket::listen(file.endpoint());
    if (made.ok()) ::raise(SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_TRUE(std::filesystem::exists(file.path()));
  transport_context context;
  auto server = router::open(context, {file.endpoint()}, echo);
  ASSERT_TRUE(server.ok()) << describe(server.error());
  inbox box;
  auto client = link::open(context, file.endpoint(), box.receiver());
  ASSERT_TRUE(client.ok());
  (*client)->send(request(1, 1), {bytes_of(64, 1)});
  EXPECT_TRUE(box.wait_for(1));
  (*client)->stop();
}

TEST(Ipc, AFileThatIsNoSocketIsLeftAlone) {
  const socket_path file("file");
  std::ofstream(file.path()) << "precious";
  transport_context context;
  const auto server = router::open(context, {file.endpoint()}, echo);
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(server.error().code, errc::bad_config);
  EXPECT_EQ(std::filesystem::file_size(file.path()), 8U);
}

TEST(Ipc, ASocketThatIsNotOursAnyMoreIsLeftAlone) {
  const socket_path file("other");
  transport_context context;
  auto first = router::open(context, {file.endpoint()}, echo);
  ASSERT_TRUE(first.ok());
  std::filesystem::remove(file.path());
  auto second = router::open(context, {file.endpoint()}, echo);
  ASSERT_TRUE(second.ok()) << describe(second.error());
  (*first)->stop();
  EXPECT_TRUE(std::filesystem::exists(file.path()));
}

TEST(Ipc, RefusesPathsNoServerCanListenOn) {
  const std::string long_path = "ipc:///tmp/" + std::string(103, 'x');
  for (const std::string& endpoint : {std::string("ipc://relative"),
                                      std::string("ipc://@abstract"),
                                      std::string("ipc://*"),
                                      std::string("ipc://"),
                                      std::string("ipc:///tmp/"),
                                      long_path}) {
    const auto checked = check_listen_endpoint(endpoint);
    ASSERT_FALSE(checked.ok()) << endpoint;
    EXPECT_EQ(checked.error().code, errc::bad_config);
    EXPECT_NE(checked.error().detail.find(endpoint), std::string::npos);
  }
  transport_context context;
  const auto missing = router::open(context, {"ipc:///tmp/headrace-no-folder/socket"}, echo);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, errc::bad_config);
}

TEST(Ipc, AClientReturnsWhenTheServerDoes) {
  const socket_path file("return");
  transport_context context;
  inbox box;
  auto client = link::open(context, file.endpoint(), box.receiver());  // nobody is there yet
  ASSERT_TRUE(client.ok());
  for (std::size_t life = 1; life <= 2; ++life) {
    auto server = router::open(context, {file.endpoint()}, echo);
    ASSERT_TRUE(server.ok()) << describe(server.error());
    std::uint64_t id = 0;
    // A request that was under way when the connection went is lost: asked again, as workers do.
    EXPECT_TRUE(eventually([&] {
      (*client)->send(request(++id, 1), {bytes_of(64, 1)});
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      return box.count() >= life * 3;
    }));
    (*server)->stop();
  }
  (*client)->stop();
}

}  // namespace
}  // namespace headrace::actors
