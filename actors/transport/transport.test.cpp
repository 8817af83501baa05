#include "actors/transport/context.hpp"
#include "actors/transport/link.hpp"
#include "actors/transport/router.hpp"
#include "actors/transport/test_peers.hpp"
#include "actors/transport/zmq_frame.hpp"

#include <gtest/gtest.h>
#include <zmq.hpp>

#include <algorithm>
#include <string>

namespace headrace::actors {
namespace {

class Transport : public ::testing::TestWithParam<const char*> {};

TEST_P(Transport, CarriesEverySectionThereAndBackWhole) {
  const socket_path file("whole");
  const std::string endpoint = GetParam() == std::string("ipc") ? file.endpoint() : GetParam();
  transport_context context;
  auto server = router::open(context, {endpoint}, echo);
  ASSERT_TRUE(server.ok()) << describe(server.error());
  inbox box;
  auto client = link::open(
      context, (*server)->endpoints()[0], [&](const schemas::envelope& head, frame section) {
        box.put(head, std::move(section));
      });
  ASSERT_TRUE(client.ok());
  // Sizes on both sides of ZeroMQ's inline, unaligned and zero-copy ranges.
  const std::vector<std::size_t> sizes{8, 32, 40, 512, 8176, 8192, 300'000};
  std::vector<frame> sections;
  for (const std::size_t size : sizes)
    sections.push_back(bytes_of(size, static_cast<unsigned char>(size % 251)));
  (*client)->send(request(7, sizes.size()), sections);
  ASSERT_TRUE(box.wait_for(sizes.size()));
  (*client)->stop();
  for (const auto& [head, section] : box.got_) {
    EXPECT_EQ(head.request_id, 7U);
    EXPECT_TRUE(head.reply);
    EXPECT_TRUE(frame::is_aligned(section.bytes()));
    const auto& sent = sections[head.first_section];
    EXPECT_TRUE(std::ranges::equal(section.bytes(), sent.bytes())) << head.first_section;
  }
}

INSTANTIATE_TEST_SUITE_P(Endpoints,
                         Transport,
                         ::testing::Values("inproc://transport-test", "tcp://127.0.0.1:*", "ipc"));

TEST(Router, RefusesAndCountsWhatIsNotAMessage) {
  transport_context context;
  auto server = router::open(
      context, {"tcp://127.0.0.1:*"}, [](section_job job) { job.answer(job.section); });
  ASSERT_TRUE(server.ok());
  zmq::context_t raw_context;
  zmq::socket_t raw(raw_context, zmq::socket_type::dealer);
  raw.set(zmq::sockopt::linger, 0);
  raw.connect((*server)->endpoints()[0]);
  raw.send(zmq::str_buffer("garbage"), zmq::send_flags::none);
  raw.send(zmq::str_buffer("garbage"), zmq::send_flags::sndmore);
  raw.send(zmq::str_buffer("more"), zmq::send_flags::none);
  // Two sections announced, one sent.
  raw.send(to_message(schemas::encode(request(1, 2))), zmq::send_flags::sndmore);
  raw.send(to_message(bytes_of(64, 1)), zmq::send_flags::none);
  // Behind them a good one: its answer says that all before were looked at.
  raw.send(to_message(schemas::encode(request(2, 1))), zmq::send_flags::sndmore);
  raw.send(to_message(bytes_of(64, 2)), zmq::send_flags::none);
  zmq::message_t answer;
  raw.set(zmq::sockopt::rcvtimeo, 20'000);
  ASSERT_TRUE(raw.recv(answer, zmq::recv_flags::none).has_value());
  EXPECT_EQ((*server)->count().malformed, 3U);
  EXPECT_EQ((*server)->count().messages, 1U);
}

TEST(Router, RefusesToListenBeyondLoopback) {
  transport_context context;
  for (const char* endpoint :
       {"tcp://0.0.0.0:7000", "tcp://*:7000", "tcp://192.0.2.1:7000", "udp://127.0.0.1:7000"}) {
    const auto server = router::open(context, {endpoint}, [](section_job) {});
    ASSERT_FALSE(server.ok()) << endpoint;
    EXPECT_EQ(server.error().code, errc::bad_config);
    EXPECT_NE(server.error().detail.find(endpoint), std::string::npos);
  }
}

TEST(Router, NamesAPortInUse) {
  transport_context context;
  const auto first = router::open(context, {"tcp://127.0.0.1:*"}, [](section_job) {});
  ASSERT_TRUE(first.ok());
  const auto second = router::open(context, {(*first)->endpoints()[0]}, [](section_job) {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, errc::in_use);
  EXPECT_NE(second.error().detail.find("server.listen"), std::string::npos);
}

TEST(Router, APeerThatDoesNotReadStopsNobodyElse) {
  transport_context context;
  const frame big = bytes_of(64 * 1024, 1);
  auto server =
      router::open(context, {"tcp://127.0.0.1:*"}, [&](section_job job) { job.answer(big); });
  ASSERT_TRUE(server.ok());
  zmq::context_t raw_context;
  zmq::socket_t deaf(raw_context, zmq::socket_type::dealer);
  deaf.set(zmq::sockopt::linger, 0);
  deaf.set(zmq::sockopt::sndhwm, 0);
  deaf.connect((*server)->endpoints()[0]);
  for (std::uint64_t i = 1; i <= 6'000; ++i) {
    deaf.send(to_message(schemas::encode(request(i, 1))), zmq::send_flags::sndmore);
    deaf.send(to_message(bytes_of(8, 2)), zmq::send_flags::none);
  }
  // Its answers are dropped once its queue is full; until then the next lines prove nothing.
  ASSERT_TRUE(eventually([&] { return (*server)->count().undeliverable > 0; }));
  inbox box;
  auto client = link::open(
      context, (*server)->endpoints()[0], [&](const schemas::envelope& head, frame section) {
        box.put(head, std::move(section));
      });
  ASSERT_TRUE(client.ok());
  (*client)->send(request(1, 1), {bytes_of(8, 3)});
  EXPECT_TRUE(box.wait_for(1));
  (*client)->stop();
  (*server)->stop();  // returns although the deaf peer still does not read
}

TEST(Router, AnswersToAPeerThatIsGoneAreCounted) {
  transport_context context;
  auto server = router::open(context, {"inproc://gone"}, [](section_job) {});
  ASSERT_TRUE(server.ok());
  (*server)->reply(
      {bytes_of(5, 9), 1, 0}, schemas::message_kind::push, shard_id{0}, bytes_of(8, 0));
  (*server)->stop();  // sends what is in the outbox first
  EXPECT_EQ((*server)->count().undeliverable, 1U);
}

}  // namespace
}  // namespace headrace::actors
