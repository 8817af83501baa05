#include "bench/rows64/arguments.hpp"
#include "bench/rows64/half_rows.hpp"
#include "bench/rows64/kill.hpp"
#include "bench/rows64/ledger.hpp"
#include "bench/rows64/load.hpp"
#include "bench/rows64/report.hpp"
#include "bench/rows64/server.hpp"
#include "bench/rows64/shard_part.hpp"
#include "bench/rows64/workload.hpp"
#include "kernels/runtime/half.hpp"
#include "schemas/value_codec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unistd.h>
#include <vector>

namespace headrace::bench {
namespace {

using schemas::optimizer_kind;
using schemas::value_codec;

constexpr std::uint32_t few_rows = 3'000;

TEST(Rows64Workload, DrawsDistinctAscendingKeysWithTheTopBitClear) {
  for (const auto& batch : make_pool(512, few_rows)) {
    ASSERT_EQ(batch.rows(), 512U);
    EXPECT_EQ(std::adjacent_find(batch.keys.begin(), batch.keys.end(), std::greater_equal<>{}),
              batch.keys.end());
    EXPECT_EQ(batch.keys.back() >> 63, 0U);
  }
}

TEST(Rows64Workload, IsTheSameEveryTime) {
  const auto pool = make_pool(512);
  const auto again = make_pool(512);
  for (std::size_t i = 0; i < pool.size(); ++i) {
    EXPECT_EQ(pool[i].keys, again[i].keys);
    EXPECT_EQ(pool[i].values, again[i].values);
  }
}

TEST(Rows64Workload, PrefillsEveryRankOnce) {
  std::set<std::uint32_t> ranks;
  for (const auto& batch : make_prefill(few_rows)) {
    EXPECT_EQ(std::adjacent_find(batch.keys.begin(), batch.keys.end(), std::greater_equal<>{}),
              batch.keys.end());
    ranks.insert(batch.ranks.begin(), batch.ranks.end());
  }
  EXPECT_EQ(ranks.size(), few_rows);
  EXPECT_EQ(*ranks.begin(), 1U);
  EXPECT_EQ(*ranks.rbegin(), few_rows);
}

TEST(Rows64Workload, HasIntegerValuesWithTheLargestAt127) {
  for (const auto& batch : make_pool(64, few_rows)) {
    for (std::size_t i = 0; i < batch.rows(); ++i) {
      EXPECT_EQ(std::fabs(batch.row(i)[0]), 127.0F);
      for (const float value : batch.row(i).subspan(1)) {
        EXPECT_EQ(value, std::nearbyint(value));
        EXPECT_LE(std::fabs(value), 4.0F);
      }
    }
  }
}

/// What one request after another leaves in a server.
class Rows64Servers : public testing::TestWithParam<rows64_peer> {
 protected:
  std::vector<row_batch> pool_ = make_pool(256, few_rows);
  std::vector<row_batch> prefill_ = make_prefill(few_rows);
  actors::transport_context context_;
  std::filesystem::path folder_ = std::filesystem::path(testing::TempDir()) /
                                  ("headrace-rows64-test-" + std::to_string(::getpid()));
  std::unique_ptr<server> server_;

  std::unique_ptr<peer_client> start(rows64_options options) {
    options.dir = folder_;
    std::filesystem::create_directories(folder_);
    if (GetParam() == rows64_peer::plain) {
      server_ = start_plain_server(listen_endpoint(options, rows64_peer::plain));
      return connect_plain(context_, server_->endpoint());
    }
    return start_product(options);
  }
  std::unique_ptr<product_peer> start_product(const rows64_options& options) {
    start_server(options, folder_);
    return connect_product(context_, server_->endpoint(), pool_, options);
  }
  void start_server(rows64_options options, const std::filesystem::path& folder) {
    options.dir = folder;
    std::filesystem::create_directories(folder);
    const std::string listen = options.transport == rows64_transport::inproc
                                   ? "inproc://rows64-test"
                                   : listen_endpoint(options, rows64_peer::headrace);
    auto started = start_product_server(context_, listen, folder, options);
    ASSERT_TRUE(started.ok()) << started.error().detail;
    server_ = std::move(*started);
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }
};

TEST_P(Rows64Servers, HoldTheSumOfEverythingPushed) {
  rows64_options options;
  options.seconds = 0.05;
  auto client = start(options);
  ledger done(prefill_, pool_, rows64_optimizer(optimizer_kind::add));
  ASSERT_TRUE(run_prefill(*client, prefill_).ok());
  const auto point = run_load(*client, pool_, options, done);
  ASSERT_TRUE(point.ok()) << point.error().detail;
  EXPECT_GT(point->rows_per_second, 0.0);
  done.close();
  const auto right = verify(*client, prefill_, value_codec::fp32, done);
  EXPECT_TRUE(right.ok()) << right.error().detail;
  EXPECT_EQ(done.checked(), few_rows);
}

TEST_P(Rows64Servers, AreReachedByASocketFile) {
  rows64_options options;
  options.transport = rows64_transport::ipc;
  options.seconds = 0.05;
  options.op = rows64_op::pull;
  auto client = start(options);
  EXPECT_EQ(server_->endpoint().rfind("ipc://", 0), 0U);
  ledger done(prefill_, pool_, rows64_optimizer(optimizer_kind::add));
  ASSERT_TRUE(run_prefill(*client, prefill_).ok());
  ASSERT_TRUE(run_load(*client, pool_, options, done).ok());
  done.close();
  EXPECT_TRUE(verify(*client, pool_, value_codec::fp32, done).ok());
}

TEST_P(Rows64Servers, AreCaughtWhenAPushIsMissing) {
  const rows64_options options;
  auto client = start(options);
  ledger done(prefill_, pool_, rows64_optimizer(optimizer_kind::add));
  ASSERT_TRUE(run_prefill(*client, prefill_).ok());
  done.pushed(3);  // it never was
  done.close();
  EXPECT_FALSE(verify(*client, prefill_, value_codec::fp32, done).ok());
}

INSTANTIATE_TEST_SUITE_P(Peers,
                         Rows64Servers,
                         testing::Values(rows64_peer::headrace, rows64_peer::plain),
                         [](const auto& peer) { return std::string(name(peer.param)); });

class Rows64Product : public Rows64Servers {};

TEST_P(Rows64Product, LosesNothingInAnyCodecOnTwoShards) {
  for (const auto codec :
       {value_codec::fp32, value_codec::int8, value_codec::fp16, value_codec::bf16}) {
    SCOPED_TRACE(schemas::name(codec));
    TearDown();
    rows64_options options;
    options.shards = 2;
    options.codec = codec;
    auto client = start(options);
    ledger done(prefill_, pool_, rows64_optimizer(optimizer_kind::add));
    ASSERT_TRUE(run_prefill(*client, prefill_).ok());
    for (std::size_t i = 0; i < pool_.size(); ++i) {
      client->send_push(pool_[i], codec);
      const auto answered = client->wait();
      ASSERT_TRUE(answered.ok()) << answered.error().detail;
      done.pushed(i);
    }
    done.close();
    EXPECT_TRUE(verify(*client, prefill_, value_codec::fp32, done).ok());
    EXPECT_TRUE(verify(*client, pool_, codec, done).ok());
  }
}

/// Pushes, then another server takes the place of the first, which may do what the test says.
class Rows64Kill : public Rows64Servers {
 protected:
  result<survival> kill(const std::function<void()>& restart) {
    options_.transport = rows64_transport::ipc;
    client_ = start_product(options_);
    EXPECT_TRUE(run_prefill(*client_, prefill_).ok());
    return kill_in_flight(*client_, pool_, options_, done_, [&]() -> result<std::string> {
      server_.reset();
      restart();
      return server_->endpoint();
    });
  }

  rows64_options options_;
  ledger done_{prefill_, pool_, rows64_optimizer(optimizer_kind::add)};
  std::unique_ptr<product_peer> client_;
};

TEST_P(Rows64Kill, FindsEveryPushOnceBehindAServerThatReadsItsLog) {
  options_.shards = 2;
  const auto survived = kill([&] { start_server(options_, folder_); });
  ASSERT_TRUE(survived.ok()) << survived.error().detail;
  EXPECT_EQ(survived->in_flight, options_.depth);
  EXPECT_EQ(survived->acknowledged, prefill_.size() + 64);
  EXPECT_EQ(survived->lost, 0U);
  EXPECT_EQ(survived->applied_twice, 0U);
  EXPECT_EQ(done_.pushes(), 64 + options_.depth);
  done_.close();
  EXPECT_TRUE(verify(*client_, prefill_, value_codec::fp32, done_).ok());
}

TEST_P(Rows64Kill, CountsWhatAServerLost) {
  const auto survived = kill([&] { start_server(options_, folder_ / "empty"); });
  ASSERT_FALSE(survived.ok());
  EXPECT_EQ(survived.error().code, errc::corrupt);
  const std::string all = std::to_string(prefill_.size() + 64);
  EXPECT_THAT(survived.error().detail,
              testing::HasSubstr(all + " of " + all + " acknowledged pushes lost"));
}

TEST_P(Rows64Kill, CountsWhatWasAppliedTwice) {
  const auto survived = kill([&] {
    start_server(options_, folder_);
    // As a server would that takes a push for a new one.
    auto other = connect_product(context_, server_->endpoint(), pool_, options_, "other");
    other->send_push(pool_[0], value_codec::fp32);
    ASSERT_TRUE(other->wait().ok());
  });
  ASSERT_FALSE(survived.ok());
  EXPECT_THAT(survived.error().detail, testing::HasSubstr("1 applied twice"));
}

TEST(Rows64Options, RefuseAKillThatCouldProveNothing) {
  rows64_options options;
  options.kill = true;
  EXPECT_TRUE(check(options).ok());
  for (const auto& spoil : std::vector<std::function<void(rows64_options&)>>{
           [](auto& o) { o.op = rows64_op::pull; },
           [](auto& o) { o.transport = rows64_transport::inproc; },
           [](auto& o) { o.durable = schemas::log_mode::none; },
           [](auto& o) { o.optimizer = optimizer_kind::adagrad; }}) {
    rows64_options spoiled = options;
    spoil(spoiled);
    ASSERT_FALSE(check(spoiled).ok());
    EXPECT_EQ(check(spoiled).error().code, errc::bad_config);
    spoiled.kill = false;
    EXPECT_TRUE(check(spoiled).ok());
  }
}

TEST(Rows64Parts, BringEveryRowBackToItsPlaceInEveryCodec) {
  const row_batch batch = make_pool(256, few_rows)[0];
  for (const auto codec :
       {value_codec::fp32, value_codec::int8, value_codec::fp16, value_codec::bf16}) {
    SCOPED_TRACE(schemas::name(codec));
    std::vector<float> rows(batch.values.size(), -1.0F);
    for (auto& part : split(batch, 3)) {
      encode_values(part, codec);
      const auto pushed = block_of(part, codec);
      EXPECT_EQ(pushed.values.size(), part.keys.size() * row_dim * schemas::value_bytes(codec));
      schemas::pulled_block pulled;
      pulled.dim = row_dim;
      pulled.codec = codec;
      pulled.rows = static_cast<std::uint32_t>(part.keys.size());
      pulled.values = pushed.values;
      pulled.scales = pushed.scales;
      copy_block(pulled, part, rows);
    }
    EXPECT_EQ(rows, batch.values);
  }
}

TEST(Rows64Halves, AreExactForWhatIsPushedAndWithinHalfAStepForTheRest) {
  for (int i = -256; i <= 256; ++i) {
    const auto value = static_cast<float>(i);
    EXPECT_EQ(from_bf16(to_bf16(value)), value);
    EXPECT_EQ(kernels::half_to_float(to_fp16(value)), value);
  }
  EXPECT_EQ(from_bf16(to_bf16(257.0F)), 256.0F) << "a tie goes to the even one";
  EXPECT_EQ(from_bf16(to_bf16(259.0F)), 260.0F);
  EXPECT_EQ(kernels::half_to_float(to_fp16(2049.0F)), 2048.0F);
  EXPECT_EQ(kernels::half_to_float(to_fp16(2051.0F)), 2052.0F);
  for (float value = 0x1.0p-14F; value < 60'000.0F; value *= 1.01F) {
    EXPECT_LE(std::fabs(from_bf16(to_bf16(value)) - value), value * 0x1.0p-8F);
    EXPECT_LE(std::fabs(kernels::half_to_float(to_fp16(value)) - value), value * 0x1.0p-11F);
  }
}

TEST_P(Rows64Product, AgreesWithTheReferenceOnAdagradToTheBit) {
  rows64_options options;
  options.optimizer = optimizer_kind::adagrad;
  auto client = start(options);
  ledger done(prefill_, pool_, rows64_optimizer(options.optimizer));
  ASSERT_TRUE(run_prefill(*client, prefill_).ok());
  for (std::size_t i = 0; i < pool_.size(); ++i) {
    client->send_push(pool_[i], value_codec::fp32);
    ASSERT_TRUE(client->wait().ok());
    done.pushed(i);
  }
  done.close();
  const auto right = verify(*client, prefill_, value_codec::fp32, done);
  EXPECT_TRUE(right.ok()) << right.error().detail;
  EXPECT_GE(done.checked(), few_rows / 64);
}

INSTANTIATE_TEST_SUITE_P(Product,
                         Rows64Product,
                         testing::Values(rows64_peer::headrace),
                         [](const auto&) { return std::string("headrace"); });
INSTANTIATE_TEST_SUITE_P(Product,
                         Rows64Kill,
                         testing::Values(rows64_peer::headrace),
                         [](const auto&) { return std::string("headrace"); });

TEST(Rows64Report, NamesEveryFieldOfTheContract) {
  rows64_points points;
  for (const double rate : {1e6, 3e6, 2e6}) {
    points.headrace.push_back({2 * rate, 1.0, 2.0});
    points.empty.push_back({4 * rate, 1.0, 2.0});
    points.plain.push_back({rate, 1.0, 2.0});
  }
  points.verified_rows = 7;
  EXPECT_THAT(to_json({}, points), testing::Not(testing::HasSubstr("kills")));
  points.kills.push_back({100, 8, 0, 0, 250.0});
  points.kills.push_back({300, 8, 0, 0, 350.0});
  const std::string json = to_json({}, points);
  for (const char* field : {"\"rows_per_second\":4000000",
                            "\"p50_ms\":1",
                            "\"p99_ms\":2",
                            "\"empty_handler_rows_per_second\":8000000",
                            "\"plain_server_rows_per_second\":2000000",
                            "\"ratio_to_plain_server\":2",
                            "\"verified_rows\":7",
                            "\"kills\":2",
                            "\"acknowledged_pushes\":400",
                            "\"pushes_lost\":0",
                            "\"pushes_applied_twice\":0",
                            "\"pushes_sent_again\":16",
                            "\"restart_ms\":300"}) {
    EXPECT_THAT(json, testing::HasSubstr(field));
  }
}

}  // namespace
}  // namespace headrace::bench
