#include "bench/torch/torch_peer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::bench {
namespace {

using testing::HasSubstr;

/// What a script in the shell's language says takes PyTorch's place: `sh -c SCRIPT`.
result<torch_peer> shell(std::string_view script, std::vector<std::string> arguments = {}) {
  return torch_peer::start(
      {.python = "/bin/sh", .script = script, .arguments = std::move(arguments)});
}

TEST(TorchPeer, SaysWhyThereIsNone) {
  const auto none = torch_peer::start({.python = "/nowhere/python3"});
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, errc::unavailable);
  const auto silent = torch_peer::start({.python = "/bin/true"});
  ASSERT_FALSE(silent.ok());
  EXPECT_THAT(silent.error().detail, HasSubstr("before it was ready"));
  const auto absent = shell("echo absent no module");
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.error().code, errc::unavailable);
  EXPECT_THAT(absent.error().detail, HasSubstr("/bin/sh: no module"));
}

TEST(TorchPeer, AnswersEachWordWithItsNumber) {
  auto peer = shell(
      "echo ready PyTorch 1.13 $0; while read word; do echo ${word}5 more words; done", {"blas"});
  ASSERT_TRUE(peer.ok()) << describe(peer.error());
  EXPECT_EQ(peer->words(), "1.13 blas");
  EXPECT_EQ(peer->ask("1").value(), 15.0);
  EXPECT_EQ(peer->ask().value(), 5.0);
  EXPECT_EQ(peer->ask("0.").value(), 0.5);
}

TEST(TorchPeer, FailsWhereItEndsOrAnswersNoNumberAboveZero) {
  auto gone = shell("echo ready PyTorch 1; read word");
  ASSERT_TRUE(gone.ok());
  EXPECT_EQ(gone->ask().error().code, errc::io_error);
  auto idle = shell("echo ready PyTorch 1; read word; echo 0; read word; echo words; read word");
  ASSERT_TRUE(idle.ok());
  EXPECT_FALSE(idle->ask().ok());
  EXPECT_FALSE(idle->ask().ok());
}

}  // namespace
}  // namespace headrace::bench
