#include "actors/control_client.hpp"

#include "actors/server_node.hpp"
#include "actors/system_config.hpp"
#include "actors/test_node.hpp"
#include "schemas/push.hpp"

#include <caf/actor_system.hpp>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <vector>

/// What an operator decides about a node that serves: forget rows, release sources.
namespace headrace::actors {
namespace {

using namespace std::chrono_literals;
using schemas::message_kind;

constexpr auto patience = 60s;

/// A node over logs and rows in memory that outlive it, and a client of it.
class Decisions : public ::testing::Test {
 protected:
  Decisions() { start(); }
  void start() {
    client_.reset();
    node_.reset();
    server_node::options how;
    how.endpoints = {"tcp://127.0.0.1:*"};
    how.schema = counting_schema();
    how.flush_interval_ms = 0;
    how.on_failure = [](const error&) {};  // some tests stop it on a disk that fails
    how.opener = [this](shard_id id) { return disks_.opener(id); };
    auto node = server_node::start(system_, transport_, std::move(how));
    ASSERT_TRUE(node.ok()) << describe(node.error());
    node_ = std::move(*node);
    auto client = control_client::open(transport_, node_->endpoints().front(), "test");
    ASSERT_TRUE(client.ok()) << describe(client.error());
    client_ = std::move(*client);
  }
  /// Adds `what` to one row.
  errc push(std::uint64_t key, float what) {
    const std::uint32_t count = 1;
    schemas::push_section section;
    section.shard = schemas::shard_of(row_key{key}, shards);
    section.source = {"clicks", 1};
    section.prev = batch_number{batches_[section.shard.value]++};
    section.batch = batch_number{batches_[section.shard.value]};
    schemas::row_block block;
    block.table = table_id{0};
    block.dim = 1;
    block.keys = std::span(&key, 1);
    block.counts = std::span(&count, 1);
    block.values = std::as_bytes(std::span(&what, 1));
    section.blocks.push_back(block);
    const auto bytes =
        client_->ask(message_kind::push, section.shard, schemas::encode(section), patience);
    return bytes ? schemas::decode_push_ack(*bytes)->status : bytes.error().code;
  }
  bool is_absent(std::uint64_t key) {
    schemas::pull_section section;
    section.shard = schemas::shard_of(row_key{key}, shards);
    section.blocks.push_back({table_id{0}, schemas::value_codec::fp32, std::span(&key, 1)});
    const auto bytes =
        client_->ask(message_kind::pull, section.shard, schemas::encode(section), patience);
    if (!bytes) return ADD_FAILURE() << describe(bytes.error()), false;
    return schemas::decode_pull_reply(*bytes)->blocks.at(0).is_absent(0);
  }
  /// Eight pushes of NaN to the row: shut out on its shard.
  void explode(std::uint64_t key) {
    for (int i = 0; i < 8; ++i) EXPECT_EQ(push(key, NAN), errc::not_finite) << i;
    EXPECT_EQ(push(key, 1.0F), errc::quarantined);
  }
  std::vector<bool> release(const std::string& source) {
    const auto replies = client_->release(source, shards, patience);
    if (!replies) return ADD_FAILURE() << describe(replies.error()), std::vector<bool>{};
    std::vector<bool> released;
    for (const auto& reply : *replies) released.push_back(reply.released);
    return released;
  }

  system_config config_;
  caf::actor_system system_{config_};
  transport_context transport_;
  memory_node disks_;
  std::array<std::uint64_t, shards> batches_{};
  std::unique_ptr<server_node> node_;
  std::unique_ptr<control_client> client_;
};

TEST_F(Decisions, ForgottenRowsAreGoneOthersStay) {
  const shard_id at{1};
  const std::uint64_t first = key_on(at);
  const std::uint64_t second = key_on(at, first + 1);
  const std::uint64_t never = key_on(at, second + 1);
  ASSERT_EQ(push(first, 1.0F), errc::ok);
  ASSERT_EQ(push(second, 1.0F), errc::ok);
  const auto gone = client_->forget({at, table_id{0}, false, {first, never}}, patience);
  ASSERT_TRUE(gone.ok()) << describe(gone.error());
  EXPECT_EQ(gone->found, std::vector<std::uint64_t>{first});
  EXPECT_EQ(gone->lsn, lsn{3});
  EXPECT_TRUE(is_absent(first));
  EXPECT_FALSE(is_absent(second));
  start();
  EXPECT_TRUE(is_absent(first)) << "a restart brought it back";
  EXPECT_FALSE(is_absent(second));
}

TEST_F(Decisions, ADryRunOnlyLooks) {
  const shard_id at{0};
  const std::uint64_t key = key_on(at);
  ASSERT_EQ(push(key, 1.0F), errc::ok);
  const auto seen = client_->forget({at, table_id{0}, true, {key}}, patience);
  ASSERT_TRUE(seen.ok()) << describe(seen.error());
  EXPECT_EQ(seen->found, std::vector<std::uint64_t>{key});
  EXPECT_EQ(seen->lsn, lsn{});
  EXPECT_FALSE(is_absent(key));
  EXPECT_EQ(disks_.disks[0]->records.size(), 1U);
}

TEST_F(Decisions, WhatCannotBeForgottenIsNamed) {
  const shard_id at{0};
  const std::uint64_t key = key_on(at);
  const auto code = [&](const schemas::forget_request& what) {
    const auto reply = client_->forget(what, patience);
    return reply ? errc::ok : reply.error().code;
  };
  EXPECT_EQ(code({at, table_id{7}, false, {key}}), errc::unknown_table);
  EXPECT_EQ(code({at, table_id{0}, false, {key, key}}), errc::bad_keys);
  EXPECT_EQ(code({at, table_id{0}, true, {key_on(shard_id{1})}}), errc::bad_keys);
  EXPECT_TRUE(disks_.disks[0]->records.empty());
}

TEST_F(Decisions, AReleasedSourceIsLetInAgain) {
  const std::uint64_t key = key_on(shard_id{1});
  explode(key);
  start();
  EXPECT_EQ(push(key, 1.0F), errc::quarantined);
  EXPECT_EQ(release("clicks"), (std::vector<bool>{false, true}));
  EXPECT_EQ(push(key, 1.0F), errc::ok);
  EXPECT_EQ(release("clicks"), (std::vector<bool>{false, false}));
}

TEST_F(Decisions, AReleaseSurvivesARestartThoughNothingWasLearnedSinceTheLastFlush) {
  const std::uint64_t key = key_on(shard_id{1});
  explode(key);
  ASSERT_TRUE(client_->flush(shards, patience).ok());
  EXPECT_EQ(release("clicks"), (std::vector<bool>{false, true}));
  disks_.rows.fail_next(
      errc::io_error);  // what stopping would write: the answer came after the flush
  start();
  EXPECT_EQ(push(key, 1.0F), errc::ok);
}

TEST_F(Decisions, AReleaseThatCannotBeKeptSaysSoUntilItCan) {
  const std::uint64_t key = key_on(shard_id{0});
  explode(key);
  ASSERT_TRUE(client_->flush(shards, patience).ok());
  disks_.rows.fail_next(errc::disk_full);
  const auto failed = client_->release("clicks", shards, patience);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, errc::disk_full);
  EXPECT_EQ(release("clicks"), (std::vector<bool>{false, false})) << "let in before";
  start();
  EXPECT_EQ(push(key, 1.0F), errc::ok) << "the second one wrote it down";
}

}  // namespace
}  // namespace headrace::actors
