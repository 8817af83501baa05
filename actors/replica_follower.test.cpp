#include "actors/replica_follower.hpp"

#include "actors/control_client.hpp"
#include "actors/server_node.hpp"
#include "actors/system_config.hpp"
#include "actors/test_node.hpp"
#include "actors/transport/link.hpp"
#include "base/random.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"

#include <caf/actor_system.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

/// A node of real shards on loopback, a replica that follows it, and pushes meanwhile.
namespace headrace::actors {
namespace {

using namespace std::chrono_literals;
using schemas::message_kind;

constexpr auto patience = 60s;
constexpr std::uint64_t fingerprint = 0xF00D;
constexpr std::uint64_t keys_in_use = 3'000;

schemas::job_schema two_tables() {
  auto schema = counting_schema();
  schema.tables[0].dim = 16;
  schema.tables[0].optimizer.kind = schemas::optimizer_kind::adagrad;
  schema.tables[0].init = {.seed = 7, .scale = 0.01F};
  auto narrow = counting_schema().tables[0];
  narrow.id = table_id{1};
  narrow.name = "narrow";
  narrow.dim = 2;
  schema.tables.push_back(narrow);
  return schema;
}

/// True once `holds` is; false where it is not in time.
bool wait_for(const std::function<bool()>& holds) {
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::yield();
  }
  return true;
}

class AReplicaFollows : public ::testing::Test {
 protected:
  AReplicaFollows() {
    for (auto& disk : disks_) disk = std::make_shared<storage::memory_log::contents>();
    start_node("tcp://127.0.0.1:*");
  }
  ~AReplicaFollows() override { follower_ = nullptr; }

  /// Logs and rows outlive the node: what a disk is to a process.
  void start_node(const std::string& endpoint) {
    server_node::options how;
    how.endpoints = {endpoint};
    how.schema = schema_;
    how.job_fingerprint = fingerprint;
    how.flush_interval_ms = 0;
    how.on_failure = [](const error& why) { ADD_FAILURE() << describe(why); };
    how.opener = [this](shard_id id) -> open_shard {
      return [this, id](
                 ps::durable_shard::delivery deliver,
                 std::unique_ptr<ps::background> io) -> result<std::unique_ptr<ps::durable_shard>> {
        ps::durable_shard::parts parts;
        parts.state = std::make_unique<ps::shard>(id, schema_, ps::shard_limits{}, epoch{1});
        parts.log = std::make_unique<storage::memory_log>(disks_[id.value]);
        parts.rows = &rows_;
        parts.time = &time_;
        parts.io = std::move(io);
        parts.deliver = std::move(deliver);
        return ps::durable_shard::open(std::move(parts));
      };
    };
    auto node = server_node::start(system_, transport_, std::move(how));
    ASSERT_TRUE(node.ok()) << describe(node.error());
    node_ = std::move(*node);
    endpoint_ = node_->endpoints().front();
    auto client = control_client::open(transport_, endpoint_, "test");
    ASSERT_TRUE(client.ok()) << describe(client.error());
    client_ = std::move(*client);
  }
  void stop_node() {
    client_ = nullptr;
    node_ = nullptr;
  }
  void follow(std::uint64_t job = fingerprint, std::uint32_t interval_ms = 10) {
    replica_ = std::make_shared<serve::replica>(schema_, schemas::delta_codecs(schema_), 9);
    replica_follower::parts from;
    from.into = replica_;
    from.job_fingerprint = job;
    from.endpoint = endpoint_;
    from.sender = "replica";
    from.connect = [this](request_path::receiver receive) -> result<std::unique_ptr<request_path>> {
      auto opened = link::open(transport_, endpoint_, std::move(receive));
      if (!opened) return opened.error();
      return std::unique_ptr<request_path>(std::move(*opened));
    };
    from.interval_ms = interval_ms;
    auto started = replica_follower::start(std::move(from), time_);
    ASSERT_TRUE(started.ok()) << describe(started.error());
    follower_ = std::move(*started);
  }

  /// A push to each shard of random rows of both tables.
  void push(std::size_t rows) {
    for (std::uint32_t s = 0; s < shards; ++s) {
      std::vector<std::vector<std::uint64_t>> keys(2);
      std::vector<std::vector<float>> values(2);
      schemas::push_section section;
      section.shard = shard_id{s};
      section.source = {"clicks", 1};
      section.prev = batch_number{batches_[s]++};
      section.batch = batch_number{batches_[s]};
      section.pulled_version = versions_[s];
      section.accepted_ms = time_.now_ms();
      for (std::uint32_t t = 0; t < 2; ++t) {
        std::set<std::uint64_t> drawn;
        while (drawn.size() < rows) drawn.insert(key_on(shard_id{s}, random_.next_below(range_)));
        keys[t].assign(drawn.begin(), drawn.end());
        for (std::size_t i = 0; i < rows * schema_.tables[t].dim; ++i)
          values[t].push_back(static_cast<float>(random_.next_unit()) - 0.5F);
        schemas::row_block block;
        block.table = table_id{t};
        block.dim = schema_.tables[t].dim;
        block.keys = keys[t];
        block.values = std::as_bytes(std::span(values[t]));
        section.blocks.push_back(block);
      }
      const auto bytes =
          client_->ask(message_kind::push, section.shard, schemas::encode(section), patience);
      ASSERT_TRUE(bytes.ok()) << describe(bytes.error());
      const auto ack = schemas::decode_push_ack(*bytes);
      ASSERT_EQ(ack->status, errc::ok) << ack->detail;
      versions_[s] = ack->version;
      accepted_ms_[s] = section.accepted_ms;
    }
  }
  std::uint64_t version() const { return versions_[0] + versions_[1]; }
  bool is_there() const {
    return replica_->stamp().whole && replica_->stamp().version == version();
  }
  /// Every row is the one that a pull gives, within half a step of int8.
  void expect_rows_of_the_shards() {
    for (std::uint32_t s = 0; s < shards; ++s) {
      std::vector<std::uint64_t> keys;
      for (std::uint64_t key = 0; key < 2 * keys_in_use; ++key) {
        if (schemas::shard_of(row_key{key}, shards) == shard_id{s}) keys.push_back(key);
      }
      for (std::uint32_t t = 0; t < 2; ++t) {
        schemas::pull_section section;
        section.shard = shard_id{s};
        section.blocks.push_back({table_id{t}, schemas::value_codec::fp32, keys});
        const auto bytes =
            client_->ask(message_kind::pull, section.shard, schemas::encode(section), patience);
        ASSERT_TRUE(bytes.ok()) << describe(bytes.error());
        const auto reply = schemas::decode_pull_reply(*bytes);
        ASSERT_EQ(reply->status, errc::ok) << reply->detail;
        const auto expected = reply->blocks.at(0).fp32_values();
        std::vector<float> held(expected.size());
        const auto read = replica_->read(table_id{t}, keys, held);
        ASSERT_TRUE(read.ok());
        const std::size_t dim = schema_.tables[t].dim;
        for (std::size_t i = 0; i < keys.size(); ++i) {
          float most = 0.0F;
          for (std::size_t c = 0; c < dim; ++c)
            most = std::max(most, std::fabs(expected[i * dim + c]));
          const float bound = t == 0 ? most / 254.0F * 1.01F + 1e-6F : 0.0F;
          for (std::size_t c = 0; c < dim; ++c)
            ASSERT_NEAR(held[i * dim + c], expected[i * dim + c], bound) << "key " << keys[i];
        }
      }
    }
  }

  schemas::job_schema schema_ = two_tables();
  system_clock time_;
  random_stream random_{7};
  std::uint64_t range_ = keys_in_use;  // of keys that are pushed
  std::array<std::shared_ptr<storage::memory_log::contents>, shards> disks_;
  storage::memory_row_store rows_;
  system_config config_;
  caf::actor_system system_{config_};
  transport_context transport_;
  std::unique_ptr<server_node> node_;
  std::unique_ptr<control_client> client_;
  std::string endpoint_;
  std::array<std::uint64_t, shards> batches_{};
  std::array<std::uint64_t, shards> versions_{};
  std::array<std::uint64_t, shards> accepted_ms_{};
  std::shared_ptr<serve::replica> replica_;
  std::unique_ptr<replica_follower> follower_;
};

TEST_F(AReplicaFollows, PushesAreSeenAndAServerThatComesBackIsCaughtUpWith) {
  push(200);
  follow();
  for (int i = 0; i < 40; ++i) {
    push(100);
    if (HasFatalFailure()) return;
  }
  ASSERT_TRUE(wait_for([&] { return is_there(); })) << follower_->count().trouble;
  expect_rows_of_the_shards();
  // Nothing that was accepted is not in: the stamp is that of the newest push.
  EXPECT_TRUE(wait_for(
      [&] { return replica_->stamp().accepted_ms == *std::ranges::min_element(accepted_ms_); }));
  const auto before = follower_->count();
  EXPECT_EQ(before.sessions, shards);
  EXPECT_EQ(before.refused, 0U);
  EXPECT_GT(before.rows, 0U);
  EXPECT_GT(before.heard_ms, 0U);
  EXPECT_TRUE(before.trouble.empty()) << before.trouble;

  stop_node();
  const std::size_t held = replica_->rows();
  start_node(endpoint_);
  for (int i = 0; i < 10; ++i) {
    push(100);
    if (HasFatalFailure()) return;
  }
  ASSERT_TRUE(wait_for([&] {
    return is_there() && !replica_->state(shard_id{0}).installing &&
           !replica_->state(shard_id{1}).installing;
  })) << follower_->count().trouble;
  expect_rows_of_the_shards();
  EXPECT_GE(replica_->rows(), held);
  EXPECT_GT(follower_->count().sessions, before.sessions);
}

TEST_F(AReplicaFollows, AnotherJobsReplicaIsToldSo) {
  push(10);
  follow(fingerprint + 1);
  ASSERT_TRUE(wait_for([&] { return !follower_->count().trouble.empty(); }));
  EXPECT_NE(follower_->count().trouble.find("wrong_job: server and replica"), std::string::npos)
      << follower_->count().trouble;
  EXPECT_FALSE(replica_->stamp().whole);
}

// Figures for docs/deltas.md: HEADRACE_MEASURE=1 prints them.
TEST_F(AReplicaFollows, Figures) {
  if (std::getenv("HEADRACE_MEASURE") == nullptr) GTEST_SKIP() << "HEADRACE_MEASURE is not set";
  using milliseconds = std::chrono::duration<double, std::milli>;
  const auto now = [] { return std::chrono::steady_clock::now(); };
  range_ = 4'000'000;
  for (int i = 0; i < 8; ++i) push(30'000);
  auto begun = now();
  follow();
  ASSERT_TRUE(wait_for([&] { return is_there(); }));
  const auto first = follower_->count();
  const double first_ms = milliseconds(now() - begun).count();
  std::printf("a session of %.0f k rows: %.0f ms, %.2f M rows/s, %.1f bytes a row\n",
              static_cast<double>(first.rows) / 1e3,
              first_ms,
              static_cast<double>(first.rows) / first_ms / 1e3,
              static_cast<double>(first.bytes) / static_cast<double>(first.rows));
  for (const std::uint32_t interval_ms : {0U, 50U}) {
    follower_ = nullptr;
    follow(fingerprint, interval_ms);
    ASSERT_TRUE(wait_for([&] { return is_there(); }));
    std::vector<double> waits_ms;
    for (int i = 0; i < 200; ++i) {
      push(1'000);
      begun = now();
      ASSERT_TRUE(wait_for([&] { return is_there(); }));
      waits_ms.push_back(milliseconds(now() - begun).count());
    }
    std::ranges::sort(waits_ms);
    std::printf(
        "interval %u ms, 4,000 rows a time, acknowledged to visible: p50 %.2f ms, p99 %.2f ms\n",
        interval_ms,
        waits_ms[waits_ms.size() / 2],
        waits_ms[waits_ms.size() * 99 / 100]);
  }
}

}  // namespace
}  // namespace headrace::actors
