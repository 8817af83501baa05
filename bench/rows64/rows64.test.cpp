#include "bench/rows64/arguments.hpp"
#include "bench/rows64/ledger.hpp"
#include "bench/rows64/load.hpp"
#include "bench/rows64/report.hpp"
#include "bench/rows64/server.hpp"
#include "bench/rows64/workload.hpp"

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

  std::unique_ptr<peer_client> start(const rows64_options& options) {
    std::filesystem::create_directories(folder_);
    if (GetParam() == rows64_peer::plain) {
      server_ = start_plain_server();
      return connect_plain(context_, server_->endpoint());
    }
    auto started = start_product_server(context_, "inproc://rows64-test", folder_, options);
    EXPECT_TRUE(started.ok()) << started.error().detail;
    server_ = std::move(*started);
    return connect_product(context_, server_->endpoint(), pool_, options);
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

TEST_P(Rows64Product, LosesNothingInInt8OnTwoShards) {
  rows64_options options;
  options.shards = 2;
  options.codec = value_codec::int8;
  auto client = start(options);
  ledger done(prefill_, pool_, rows64_optimizer(optimizer_kind::add));
  ASSERT_TRUE(run_prefill(*client, prefill_).ok());
  for (std::size_t i = 0; i < pool_.size(); ++i) {
    client->send_push(pool_[i], value_codec::int8);
    ASSERT_TRUE(client->wait().ok());
    done.pushed(i);
  }
  done.close();
  EXPECT_TRUE(verify(*client, prefill_, value_codec::fp32, done).ok());
  EXPECT_TRUE(verify(*client, pool_, value_codec::int8, done).ok());
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

TEST(Rows64Report, NamesEveryFieldOfTheContract) {
  rows64_points points;
  for (const double rate : {1e6, 3e6, 2e6}) {
    points.headrace.push_back({2 * rate, 1.0, 2.0});
    points.empty.push_back({4 * rate, 1.0, 2.0});
    points.plain.push_back({rate, 1.0, 2.0});
  }
  points.verified_rows = 7;
  const std::string json = to_json({}, points);
  for (const char* field : {"\"rows_per_second\":4000000",
                            "\"p50_ms\":1",
                            "\"p99_ms\":2",
                            "\"empty_handler_rows_per_second\":8000000",
                            "\"plain_server_rows_per_second\":2000000",
                            "\"ratio_to_plain_server\":2",
                            "\"verified_rows\":7"}) {
    EXPECT_THAT(json, testing::HasSubstr(field));
  }
}

}  // namespace
}  // namespace headrace::bench
