#include "storage/io_pool.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <functional>
#include <latch>
#include <mutex>
#include <pthread.h>
#include <set>
#include <string>
#include <vector>

namespace headrace::storage {
namespace {

TEST(IoPool, BeginsTasksInTheOrderTheyWereGiven) {
  std::vector<int> order;
  {
    io_pool pool(1);
    for (int i = 0; i < 1'000; ++i) pool.run([&order, i] { order.push_back(i); });
  }
  ASSERT_EQ(order.size(), 1'000U);
  for (int i = 0; i < 1'000; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(IoPool, FinishesWhatIsQueuedBeforeItEnds) {
  std::atomic<int> done{0};
  {
    std::latch started(3);  // outlives the threads that look at it
    io_pool pool(3);
    for (int i = 0; i < 3; ++i) {
      pool.run([&] {
        started.arrive_and_wait();  // all three threads are busy, the rest waits in the queue
        done.fetch_add(1);
      });
    }
    for (int i = 0; i < 500; ++i) pool.run([&] { done.fetch_add(1); });
  }
  EXPECT_EQ(done.load(), 503);
}

TEST(IoPool, TakesTasksFromTasksWhileItEnds) {
  std::atomic<int> done{0};
  std::function<void(int)> chain;
  {
    io_pool pool(2);
    chain = [&](int left) {
      done.fetch_add(1);
      if (left > 0) pool.run([&chain, left] { chain(left - 1); });
    };
    for (int i = 0; i < 4; ++i) pool.run([&chain] { chain(50); });
  }
  EXPECT_EQ(done.load(), 4 * 51);
}

TEST(IoPool, NamesItsThreads) {
  std::mutex mutex;
  std::set<std::string> names;
  {
    std::latch both(2);
    io_pool pool(2);
    for (int i = 0; i < 2; ++i) {
      pool.run([&] {
        std::array<char, 16> name{};
        ::pthread_getname_np(::pthread_self(), name.data(), name.size());
        both.arrive_and_wait();
        const std::lock_guard lock(mutex);
        names.insert(name.data());
      });
    }
  }
  EXPECT_EQ(names, (std::set<std::string>{"io-0", "io-1"}));
}

TEST(IoPool, SharesEachPieceOnceAndReturnsWhenAllAreDone) {
  io_pool pool(3);
  for (std::size_t count : {0U, 1U, 2U, 7U, 500U}) {
    std::vector<int> calls(count);  // pieces are different elements: no two threads share one
    pool.share(count, [&](std::size_t i) { ++calls[i]; });
    EXPECT_EQ(calls, std::vector<int>(count, 1)) << count;
  }
}

// All threads are inside a task that shares: nobody but the callers is there to do the pieces.
TEST(IoPool, SharesFromItsOwnTasksWithoutWaitingForever) {
  std::atomic<int> pieces{0};
  {
    std::latch busy(2);
    io_pool pool(2);
    for (int i = 0; i < 2; ++i) {
      pool.run([&] {
        busy.arrive_and_wait();
        pool.share(64, [&](std::size_t) { pieces.fetch_add(1); });
      });
    }
  }
  EXPECT_EQ(pieces.load(), 128);
}

}  // namespace
}  // namespace headrace::storage
