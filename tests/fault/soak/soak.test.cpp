#include "base/random.hpp"
#include "tests/fault/soak/slope.hpp"
#include "tests/support/faulty_disk.hpp"
#include "tests/support/process_facts.hpp"
#include "tests/support/serving.hpp"
#include "tests/support/small_job.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

/// A server and a worker under a Zipf load for minutes, with a fault every so often: nothing grows,
/// and at the end everything was learned once.
///
///     HEADRACE_HEAVY=1 soak_test            2 minutes
///     HEADRACE_SOAK_MINUTES=30 soak_test
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr auto patience = 180s;
constexpr auto look_interval = 500ms;
constexpr double megabyte = 1e6;

int minutes() {
  if (const char* given = std::getenv("HEADRACE_SOAK_MINUTES"))
    return std::max(std::atoi(given), 1);
  return by_weight(0, 2);
}

/// What one of the two processes looked like over all its lives.
struct watched {
  explicit watched(std::string called) : name(std::move(called)) {}

  std::string name;
  std::uint64_t life = 0;
  clock::time_point born;
  std::vector<sighting> resident;
  std::vector<sighting> threads;
  std::vector<sighting> descriptors;

  void begin_life() {
    ++life;
    born = clock::now();
  }
  // Younger processes still fill their buffers.
  void look(pid_t process, clock::time_point start, std::chrono::seconds warm_up) {
    const auto now = clock::now();
    if (now - born < warm_up) return;
    const process_facts facts = facts_of(process);
    if (facts.resident_bytes == 0) return;
    const double seconds = std::chrono::duration<double>(now - start).count();
    resident.push_back({life, seconds, static_cast<double>(facts.resident_bytes)});
    threads.push_back({life, seconds, static_cast<double>(facts.threads)});
    descriptors.push_back({life, seconds, static_cast<double>(facts.descriptors)});
  }
};

// Over those seen between two shares of the whole time.
double highest(const std::vector<sighting>& seen, double from = 0, double to = 1) {
  double most = 0;
  if (seen.empty()) return most;
  const double end = seen.back().seconds;
  for (const auto& one : seen) {
    if (one.seconds >= from * end && one.seconds <= to * end) most = std::max(most, one.value);
  }
  return most;
}

enum class fault : std::uint8_t {
  kill_server,
  kill_worker,
  stop_server,
  stop_worker,
  slow_disk,
  full_disk
};
constexpr std::size_t first_mild_fault = 2;
constexpr std::size_t fault_kinds = 6;

class Soak : public testing::Test {
 protected:
  void start_server() {
    const std::string address = endpoint_.empty() ? "tcp://127.0.0.1:*" : endpoint_;
    server_ = std::make_unique<serving>(job_, folder_ / "server", address, disk_->environment());
    ASSERT_NE(server_->endpoint, "") << server_->process.errors();
    endpoint_ = server_->endpoint;
    watched_server_.begin_life();
  }
  void start_worker() {
    worker_ = std::make_unique<child_process>(worker_command(job_, folder_ / "worker", endpoint_),
                                              disk_->environment());
    watched_worker_.begin_life();
  }

  // Watches both for `length`; false when the worker ended.
  bool watch_for(clock::duration length) {
    const auto end = clock::now() + length;
    while (clock::now() < end) {
      if (worker_->wait_for(look_interval)) return false;
      watched_server_.look(server_->process.pid(), start_, warm_up_);
      watched_worker_.look(worker_->pid(), start_, warm_up_);
    }
    return true;
  }

  void strike(fault kind, random_stream& draw) {
    const auto moment = std::chrono::milliseconds(200 + draw.next_below(2'000));
    switch (kind) {
      case fault::kill_server:
        server_->process.signal(SIGKILL);
        ASSERT_EQ(server_->process.wait_for(patience), 128 + SIGKILL) << server_->process.errors();
        return start_server();
      case fault::kill_worker:
        worker_->signal(SIGKILL);
        ASSERT_EQ(worker_->wait_for(patience), 128 + SIGKILL);
        return start_worker();
      case fault::stop_server:
        server_->process.signal(SIGSTOP);
        watch_for(moment);
        return server_->process.signal(SIGCONT);
      case fault::stop_worker:
        worker_->signal(SIGSTOP);
        watch_for(moment);
        return worker_->signal(SIGCONT);
      case fault::slow_disk:
        (*disk_)->write_delay_ms = 5;
        (*disk_)->sync_delay_ms = 50;
        watch_for(3s);
        (*disk_)->write_delay_ms = 0;
        (*disk_)->sync_delay_ms = 0;
        return;
      case fault::full_disk:
        (*disk_)->disk_full_from = 1;
        watch_for(moment);
        (*disk_)->disk_full_from = 0;
        return;
    }
  }

  void report(const watched& process, double limit) const {
    const double growth = slope_within_lives(process.resident) * 60 / megabyte;
    std::cout << process.name << ": " << process.life << " lives, "
              << highest(process.resident) / megabyte << " MB at most, " << growth
              << " MB/min, threads " << highest(process.threads) << ", descriptors "
              << highest(process.descriptors) << " at most\n";
    EXPECT_LT(growth, limit) << process.name;
    // A few come and go with compactions and connections; a leak goes on for ever.
    EXPECT_LE(highest(process.threads, 0.5), highest(process.threads, 0, 0.5) + 4) << process.name;
    EXPECT_LE(highest(process.descriptors, 0.5), highest(process.descriptors, 0, 0.5) + 24)
        << process.name;
  }

  temporary_folder folder_;
  std::string job_;
  std::string endpoint_;
  std::unique_ptr<faulty_disk> disk_;
  std::unique_ptr<serving> server_;
  std::unique_ptr<child_process> worker_;
  watched watched_server_{"server"};
  watched watched_worker_{"worker"};
  clock::time_point start_ = clock::now();
  std::chrono::seconds warm_up_{minutes() < 10 ? 20 : 60};
};

TEST_F(Soak, NothingGrowsUnderFaultsAndEverythingIsLearnedOnce) {
  const int length = minutes();
  if (length == 0) GTEST_SKIP() << "minutes long: set HEADRACE_HEAVY=1 or HEADRACE_SOAK_MINUTES";
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::cout << "HEADRACE_SEED=" << seed << "\n";
  random_stream draw(seed);
  small_job wanted;
  wanted.name = "soak";
  wanted.duration = std::chrono::minutes(length);
  // Each flush leaves a block of a file that is gone in the row store's cache, which is bounded but
  // takes long to fill: as many flushes as a real job makes would take hours to show anything.
  wanted.flush_interval = "5s";
  wanted.rows = static_cast<std::uint64_t>(wanted.duration.count()) * 1'000;
  wanted.events = folder_ / "events.csv";
  write_zipf_events(wanted.events, wanted.rows, seed);
  job_ = wanted.write(folder_);
  disk_ = std::make_unique<faulty_disk>(folder_.path());
  start_server();
  if (HasFatalFailure()) return;
  start_worker();
  const auto end = clock::now() + wanted.duration;
  const auto pause = length < 10 ? 10s : 20s;
  int faults = 0;
  std::uint64_t files_early = 0;
  // Every kind in turn, in an order drawn anew each round; in the long form processes are killed in
  // every third round only, so that they live long enough to show what grows.
  std::vector<fault> order;
  int round = 0;
  while (clock::now() + pause < end && watch_for(pause)) {
    if (order.empty()) {
      const bool kills = length < 10 || round++ % 3 == 0;
      for (std::size_t i = kills ? 0 : first_mild_fault; i < fault_kinds; ++i)
        order.push_back(static_cast<fault>(i));
      for (std::size_t i = order.size(); i > 1; --i)
        std::swap(order[i - 1], order[draw.next_below(i)]);
    }
    strike(order.back(), draw);
    if (HasFatalFailure()) return;
    order.pop_back();
    if (++faults == 2) files_early = facts_of(folder_.path()).files;
  }
  ASSERT_EQ(worker_->wait_for(patience + wanted.duration), 0) << worker_->errors();
  const std::uint64_t files = facts_of(folder_.path()).files;
  server_->process.signal(SIGTERM);
  ASSERT_EQ(server_->process.wait_for(patience), 0) << server_->process.errors();
  std::cout << faults << " faults, " << files << " files, " << files_early << " of them early\n";
  EXPECT_GE(faults, length * 2);
  EXPECT_LT(files, files_early + 100);
  // A slope over seconds of a young process is noise: the short form only finds what leaks fast.
  const double limit = length < 10 ? 20.0 : 1.0;
  report(watched_server_, limit);
  report(watched_worker_, limit);

  const auto calm = calm_run(job_, folder_ / "calm");
  ASSERT_EQ(calm.status, 0) << calm.errors;
  std::string why;
  const std::string expected = audited(folder_ / "calm", why);
  const std::string inspected = audited(folder_ / "server", why);
  ASSERT_NE(inspected, "") << why;
  EXPECT_EQ(json_field(inspected, "digest_weights"), json_field(expected, "digest_weights"));
}

}  // namespace
}  // namespace headrace::tests
