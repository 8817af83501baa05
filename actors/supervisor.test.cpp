#include "actors/supervisor.hpp"

#include "actors/system_config.hpp"

#include <caf/actor_system.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/send.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

/// When the supervisor starts shards again, on CAF's deterministic scheduler: the shards of these
/// tests never open.
namespace headrace::actors {
namespace {

using std::chrono::milliseconds;

TEST(RestartPolicy, WaitsTwiceAsLongEachTimeUpToTheLongest) {
  restart_limits limits;
  limits.restarts_max = 100;
  restart_policy policy(limits, 0);
  std::uint64_t now = 1'000;
  std::uint32_t nominal = 10;
  for (int i = 0; i < 30; ++i) {
    const auto wait = policy.failed(now);
    ASSERT_TRUE(wait.has_value());
    EXPECT_LE(*wait, nominal) << i;
    EXPECT_GE(*wait, nominal - nominal / 2) << i;
    now += 100;
    nominal = std::min<std::uint32_t>(2 * nominal, 5'000);
  }
}

TEST(RestartPolicy, GivesUpWithOneMoreThanTheLimitWithinTheWindow) {
  restart_policy policy({}, 0);
  for (std::uint64_t i = 0; i < 5; ++i) EXPECT_TRUE(policy.failed(i * 10'000).has_value());
  EXPECT_FALSE(policy.failed(59'999).has_value());
}

TEST(RestartPolicy, TheWindowSlides) {
  restart_policy policy({}, 0);
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    EXPECT_TRUE(policy.failed(i * 12'000).has_value()) << i << ": five in any 60 s";
  }
  restart_policy faster({}, 0);
  std::uint64_t failures = 0;
  while (faster.failed(failures * 11'999).has_value()) ++failures;
  EXPECT_EQ(failures, 5U);
}

TEST(RestartPolicy, BeginsAgainWithTheFirstWaitAfterAQuietWindow) {
  restart_policy policy({}, 0);
  std::uint64_t now = 0;
  for (int i = 0; i < 20; ++i) EXPECT_GT(*policy.failed(now += 15'000), 0U);
  EXPECT_GE(*policy.failed(now += 59'999), 2'500U) << "it was not quiet for a whole window";
  EXPECT_LE(*policy.failed(now += 60'000), 10U);
}

TEST(RestartPolicy, ShardsThatFailTogetherWaitDifferentlyAndRunsWaitTheSame) {
  restart_limits limits;
  limits.first_wait_ms = 1'000;
  std::vector<std::uint32_t> waits;
  for (std::uint64_t child = 0; child < 16; ++child) {
    waits.push_back(*restart_policy(limits, child).failed(0));
    EXPECT_EQ(waits.back(), *restart_policy(limits, child).failed(0));
  }
  EXPECT_GT(*std::max_element(waits.begin(), waits.end()),
            *std::min_element(waits.begin(), waits.end()) + 100);
  limits.seed = 2;
  EXPECT_NE(*restart_policy(limits, 0).failed(0), waits[0]);
}

struct deterministic_config : system_config {
  deterministic_config() { set("scheduler.policy", caf::atom("testing")); }
};

class Supervisor : public ::testing::Test {
 protected:
  Supervisor() : system_(config_) {}
  ~Supervisor() override {
    caf::anon_send_exit(supervisor_, caf::exit_reason::user_shutdown);
    scheduler().run();
  }

  caf::scheduler::test_coordinator& scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler());
  }
  void start(errc failure, const restart_limits& limits = {}) {
    supervisor_options options;
    options.shards = 1;
    options.restarts = limits;
    options.opener = [this, failure](shard_id) -> open_shard {
      return [this, failure](const auto&, const auto&) {
        opened_ms_.push_back(now_ms_);
        return error{failure, "it does not open"};
      };
    };
    options.on_failure = [this](const error& why) { failures_.push_back(why); };
    options.on_restart = [this](shard_id) { ++restarts_; };
    supervisor_ = spawn_supervisor(system_, std::move(options), routes_);
    scheduler().run();
  }
  void pass(std::uint64_t ms) {
    for (; ms > 0; --ms) {
      ++now_ms_;
      scheduler().advance_time(milliseconds(1));
      scheduler().run();
    }
  }

  deterministic_config config_;
  caf::actor_system system_;
  routing_table routes_{1};
  caf::actor supervisor_;
  std::uint64_t now_ms_ = 0;
  std::vector<std::uint64_t> opened_ms_;
  std::vector<error> failures_;
  int restarts_ = 0;
};

TEST_F(Supervisor, StartsAShardAgainAfterTheWaitThatItsPolicySays) {
  start(errc::io_error);
  EXPECT_EQ(opened_ms_.size(), 1U) << "the first restart must wait, too";
  pass(2'000);
  restart_policy same({}, 0);
  std::vector<std::uint64_t> expected{0};
  for (int i = 0; i < 5; ++i) expected.push_back(expected.back() + *same.failed(expected.back()));
  EXPECT_EQ(opened_ms_, expected);
}

TEST_F(Supervisor, GivesUpOnceAndSaysWhy) {
  start(errc::io_error);
  pass(500);
  ASSERT_EQ(failures_.size(), 1U);
  EXPECT_EQ(failures_[0].code, errc::io_error);
  EXPECT_EQ(failures_[0].detail, "it does not open");
  pass(70'000);
  EXPECT_EQ(opened_ms_.size(), 6U);
  EXPECT_EQ(restarts_, 5);
  EXPECT_EQ(failures_.size(), 1U);
}

TEST_F(Supervisor, NeverRestartsDamage) {
  start(errc::corrupt);
  pass(10'000);
  EXPECT_EQ(opened_ms_.size(), 1U);
  ASSERT_EQ(failures_.size(), 1U);
  EXPECT_EQ(failures_[0].code, errc::corrupt);
}

TEST_F(Supervisor, WithFewFailuresInTheWindowItGoesOnForEver) {
  restart_limits limits;
  limits.restarts_max = 3;
  limits.window_ms = 100;
  limits.first_wait_ms = 80;
  limits.longest_wait_ms = 80;
  start(errc::io_error, limits);
  pass(10'000);
  EXPECT_GT(opened_ms_.size(), 120U);
  EXPECT_TRUE(failures_.empty());
}

TEST_F(Supervisor, StopsAtOnceWhileARestartWaits) {
  restart_limits limits;
  limits.first_wait_ms = 5'000;
  start(errc::io_error, limits);
  caf::anon_send_exit(supervisor_, caf::exit_reason::user_shutdown);
  scheduler().run();
  pass(6'000);
  EXPECT_EQ(opened_ms_.size(), 1U) << "nothing is started behind a stop";
  EXPECT_TRUE(failures_.empty());
}

}  // namespace
}  // namespace headrace::actors
