#include "actors/transport/peer_credit.hpp"

#include "actors/transport/context.hpp"
#include "actors/transport/link.hpp"
#include "actors/transport/test_peers.hpp"
#include "actors/transport/zmq_frame.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"

#include <gtest/gtest.h>
#include <zmq.hpp>

#include <algorithm>

namespace headrace::actors {
namespace {

TEST(PeerCredit, GivesBackEverythingOnAnyThread) {
  auto all = std::make_shared<byte_budget>(1'000'000);
  auto credit = std::make_shared<peer_credit>(frame{}, all, 1'000, 8);
  for (int round = 0; round < 200; ++round) {
    std::vector<peer_credit::token> held;
    while (credit->has_room(100)) held.push_back(credit->take_request(100));
    EXPECT_EQ(held.size(), 8U);
    held.push_back(credit->take_answer(5'000));
    EXPECT_FALSE(credit->has_room(0));
    std::jthread([away = std::move(held)]() mutable { away.clear(); }).join();
    EXPECT_TRUE(credit->has_room(1'000'000)) << "nothing is in flight";
    EXPECT_TRUE(all->take(1'000'000));
    all->give_back(1'000'000);
  }
}

TEST(Router, DropsAndCountsWhatAllPeersTogetherSendBeyondTheBound) {
  transport_context context;
  busy_shards shards;
  router_options how;
  how.peer_bytes_max = std::size_t{1} << 40;
  auto server = router::open(context, {"inproc://bounded"}, shards.handler(), how);
  ASSERT_TRUE(server.ok());
  auto client = link::open(context, "inproc://bounded", [](const schemas::envelope&, frame) {});
  ASSERT_TRUE(client.ok());
  const frame big = bytes_of(std::size_t{48} << 20, 1);  // shared, so that only the count grows
  for (std::uint64_t i = 1; i <= 12; ++i) (*client)->send(request(i, 1), {big});
  ASSERT_TRUE(eventually([&] { return (*server)->count().messages == 12; }));
  (*server)->stop();
  EXPECT_EQ(shards.count(), 10U);  // 512 MiB / 48 MiB
  EXPECT_EQ((*server)->count().overloaded, 2U);
  EXPECT_EQ((*server)->count().refused, 0U);
  shards.forget();
}

TEST(Router, APeerBeyondItsBytesIsToldSoAndServedAgainWhenTheyAreBack) {
  transport_context context;
  busy_shards shards;
  auto server = router::open(context, {"inproc://credit"}, shards.handler());
  ASSERT_TRUE(server.ok());
  inbox box;
  auto client = link::open(context, "inproc://credit", box.receiver());
  ASSERT_TRUE(client.ok());
  const frame big = bytes_of(std::size_t{24} << 20, 1);
  for (std::uint64_t i = 1; i <= 3; ++i) (*client)->send(request(i, 1), {big});
  ASSERT_TRUE(box.wait_for(1));  // the third is beyond 64 MiB
  const auto ack = schemas::decode_push_ack(box.got_[0].second);
  ASSERT_TRUE(ack.ok());
  EXPECT_EQ(box.got_[0].first.request_id, 3U);
  EXPECT_EQ(ack->status, errc::overloaded);
  EXPECT_EQ(ack->shard, shard_id{0});
  EXPECT_EQ(ack->retry_after_ms, router_options{}.retry_after_ms);
  EXPECT_EQ((*server)->count().refused, 1U);
  shards.forget();
  (*client)->send(request(4, 1), {big});
  EXPECT_TRUE(eventually([&] { return shards.count() == 1; }));
  shards.forget();
  (*client)->stop();
}

TEST(Router, APeerBeyondItsRequestsIsAnsweredForEachSectionOfWhatItAsked) {
  transport_context context;
  busy_shards shards;
  router_options how;
  how.peer_requests_max = 4;
  auto server = router::open(context, {"inproc://requests"}, shards.handler(), how);
  ASSERT_TRUE(server.ok());
  inbox box;
  auto client = link::open(context, "inproc://requests", box.receiver());
  ASSERT_TRUE(client.ok());
  const std::vector<frame> two{bytes_of(64, 1), bytes_of(64, 2)};
  for (std::uint64_t i = 1; i <= 4; ++i) (*client)->send(request(i, 2), two);
  (*client)->send(request(5, 2, schemas::message_kind::pull), two);
  (*client)->send(request(6, 2, schemas::message_kind::digest), two);
  ASSERT_TRUE(box.wait_for(2));
  ASSERT_TRUE(eventually([&] { return (*server)->count().messages == 6; }));
  EXPECT_EQ((*server)->count().refused, 4U);
  EXPECT_EQ(shards.count(), 8U);
  ASSERT_EQ(box.count(), 2U) << "who asks for a digest asks again by itself";
  for (std::uint32_t i = 0; i < 2; ++i) {
    const auto reply = schemas::decode_pull_reply(box.got_[i].second);
    ASSERT_TRUE(reply.ok());
    EXPECT_EQ(reply->status, errc::overloaded);
    EXPECT_EQ(reply->shard, shard_id{i});
    EXPECT_EQ(box.got_[i].first.first_section, i);
  }
  shards.answer_one();  // half of a request: it is still in flight
  (*client)->send(request(7, 1), {two[0]});
  ASSERT_TRUE(box.wait_for(4));
  EXPECT_EQ((*server)->count().refused, 5U);
  shards.answer_one();
  (*client)->send(request(8, 1), {two[0]});
  EXPECT_TRUE(eventually([&] { return shards.count() == 7; }));
  shards.forget();
  (*client)->stop();
}

TEST(Router, OneRequestOfAnySizeIsTakenFromAPeerWithNothingInFlight) {
  transport_context context;
  busy_shards shards;
  router_options how;
  how.peer_bytes_max = 1'000;
  auto server = router::open(context, {"inproc://large"}, shards.handler(), how);
  ASSERT_TRUE(server.ok());
  inbox box;
  auto client = link::open(context, "inproc://large", box.receiver());
  ASSERT_TRUE(client.ok());
  (*client)->send(request(1, 1), {bytes_of(100'000, 1)});
  (*client)->send(request(2, 1), {bytes_of(8, 1)});
  ASSERT_TRUE(box.wait_for(1));
  EXPECT_EQ(box.got_[0].first.request_id, 2U);
  EXPECT_EQ(shards.count(), 1U);
  shards.forget();
  (*client)->stop();
}

TEST(Router, AnswersThatAPeerDoesNotReadUseUpItsOwnCreditOnly) {
  transport_context context;
  const frame big = bytes_of(std::size_t{1} << 20, 1);
  auto server =
      router::open(context, {"tcp://127.0.0.1:*"}, [&](section_job job) { job.answer(big); });
  ASSERT_TRUE(server.ok());
  zmq::context_t raw_context;
  zmq::socket_t deaf(raw_context, zmq::socket_type::dealer);
  deaf.set(zmq::sockopt::linger, 0);
  deaf.set(zmq::sockopt::rcvhwm, 1);
  deaf.connect((*server)->endpoints()[0]);
  std::uint64_t sent = 0;
  ASSERT_TRUE(eventually([&] {
    deaf.send(to_message(schemas::encode(request(++sent, 1))), zmq::send_flags::sndmore);
    deaf.send(to_message(bytes_of(64, 2)), zmq::send_flags::none);
    return (*server)->count().refused > 0;
  }));
  EXPECT_EQ((*server)->count().undeliverable, 0U);
  inbox box;
  auto client = link::open(context, (*server)->endpoints()[0], box.receiver());
  ASSERT_TRUE(client.ok());
  for (std::uint64_t i = 1; i <= 100; ++i) {
    (*client)->send(request(i, 1), {bytes_of(8, 3)});
    ASSERT_TRUE(box.wait_for(i));
    EXPECT_EQ(box.got_.back().second.size(), big.size()) << i;
  }
  (*client)->stop();
  (*server)->stop();
}

// ZeroMQ's ROUTER takes one message of each connection in turn: what the credit relies on.
TEST(Router, PeersWithRequestsWaitingAreServedInTurn) {
  transport_context context;
  std::mutex gate;
  std::unique_lock closed(gate);  // the router's thread waits here while requests pile up
  std::vector<std::byte> order;
  auto server = router::open(context, {"inproc://turns"}, [&](section_job job) {
    const std::lock_guard open(gate);
    order.push_back(job.section.bytes()[0]);
  });
  ASSERT_TRUE(server.ok());
  // Over inproc a message is in the router's queue when send returns.
  auto& native = *static_cast<zmq::context_t*>(context.native());
  const auto connect = [&] {
    zmq::socket_t peer(native, zmq::socket_type::dealer);
    peer.set(zmq::sockopt::linger, 0);
    peer.connect("inproc://turns");
    return peer;
  };
  zmq::socket_t flood = connect();
  zmq::socket_t quiet = connect();
  const auto send = [](zmq::socket_t& peer, std::uint64_t id, unsigned char mark) {
    peer.send(to_message(schemas::encode(request(id, 1))), zmq::send_flags::sndmore);
    peer.send(to_message(bytes_of(8, mark)), zmq::send_flags::none);
  };
  constexpr std::size_t many = 1'000;
  constexpr std::size_t few = 10;
  for (std::uint64_t i = 1; i <= many; ++i) send(flood, i, 1);
  for (std::uint64_t i = 1; i <= few; ++i) send(quiet, i, 2);
  closed.unlock();
  ASSERT_TRUE(eventually([&] { return (*server)->count().messages == many + few; }));
  (*server)->stop();
  ASSERT_EQ(order.size(), many + few);
  const auto last_quiet = std::find(order.rbegin(), order.rend(), std::byte{2});
  EXPECT_LE(order.rend() - last_quiet, 3 * static_cast<std::ptrdiff_t>(few))
      << "the quiet peer waited for the flood";
}

}  // namespace
}  // namespace headrace::actors
