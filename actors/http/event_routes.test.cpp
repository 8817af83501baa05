#include "actors/http/event_routes.hpp"

#include "actors/http/event_answer.hpp"
#include "actors/http/test_http_client.hpp"
#include "tests/support/child_process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace headrace::actors {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// Stands where event_intake does: takes batches when it is woken, and answers them by `answer` at
/// once, or when told.
class kept_batches {
 public:
  event_routes::way_in way_in() {
    return {[this](worker::event_intake::request asked) {
              const std::lock_guard hold(lock_);
              put_.push_back(std::move(asked));
            },
            [this] { wake(); }};
  }
  void answer_with(schemas::event_ack ack) { answer_ = std::move(ack); }
  void hold() { holds_ = true; }
  bool wait_for_held(std::size_t count) {
    std::unique_lock hold(lock_);
    return changed_.wait_for(hold, 10s, [&] { return held_.size() >= count; });
  }
  void answer_held(std::size_t at, std::uint32_t accepted) {
    schemas::event_ack ack;
    ack.accepted = accepted;
    held_[at](ack);
  }
  std::vector<schemas::event_batch> seen() {
    const std::lock_guard hold(lock_);
    return seen_;
  }

 private:
  void wake() {
    std::deque<worker::event_intake::request> woken_for;
    {
      const std::lock_guard hold(lock_);
      woken_for.swap(put_);
    }
    for (auto& each : woken_for) take(each);
  }
  void take(worker::event_intake::request& asked) {
    auto batch = schemas::decode_event_batch(asked.batch);
    std::unique_lock hold(lock_);
    if (!batch) {
      schemas::event_ack bad;
      bad.status = errc::malformed;
      bad.detail = batch.error().detail;
      return asked.done(std::move(bad));
    }
    seen_.push_back(*batch);
    schemas::event_ack ack = answer_;
    if (ack.status == errc::ok && ack.refused == 0) {
      ack.accepted = static_cast<std::uint32_t>(batch->events.size());
    }
    if (holds_) {
      held_.push_back(std::move(asked.done));
      changed_.notify_all();
      return;
    }
    hold.unlock();
    asked.done(std::move(ack));
  }

  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<worker::event_intake::request> put_;
  std::vector<schemas::event_batch> seen_;
  std::vector<worker::event_intake::on_ack> held_;
  schemas::event_ack answer_;
  bool holds_ = false;
};

class EventRoutes : public testing::Test {
 protected:
  EventRoutes() : EventRoutes(event_routes::settings{}) {}
  explicit EventRoutes(event_routes::settings how)
      : routes_(
            kept_.way_in(),
            [this](const event_routes::claim& who) -> result<void> {
              producer_ = who.producer;
              if (who.token == "wrong") return error{errc::unauthorized, "no such token"};
              if (who.token == "fast") return error{errc::overloaded, "slower, please"};
              return {};
            },
            time_,
            how) {
    auto made = http_server::open({"127.0.0.1:0"}, routes_.routes());
    EXPECT_TRUE(made.ok());
    server_ = std::move(*made);
  }
  ~EventRoutes() override { server_->stop(); }

  std::string where() const { return server_->endpoints()[0]; }
  test_http_client::answer push(const std::string& body, const std::string& fields = "") {
    test_http_client client(where());
    const auto answer = client.ask(post("/v1/events", body, fields));
    EXPECT_TRUE(answer.has_value());
    return answer.value_or(test_http_client::answer{});
  }
  // By the program, from a file; the answer's body and, behind it, its status.
  std::string push_with_curl(const std::vector<std::string>& options, const std::string& file) {
    std::vector<std::string> words{"/usr/bin/curl", "-s", "-m", "20", "-w", "%{http_code}"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--data-binary", "@" + file, "http://" + where() + "/v1/events"});
    const auto done = tests::run_program(words, 30s);
    EXPECT_EQ(done.status, 0) << done.errors;
    return done.output;
  }

  manual_clock time_;
  kept_batches kept_;
  std::string producer_;
  event_routes routes_;
  std::unique_ptr<http_server> server_;
};

const std::string one_event = R"({"id":"e1","key":"r7","time":5,"features":{"price":3.5}})";

std::string line_of(int i) {
  return R"({"id":"e)" + std::to_string(i) +
         R"(","time":5})"
         "\n";
}
std::string lines(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += line_of(i);
  return out;
}

TEST_F(EventRoutes, AnEventIsAnsweredWhenItsBatchIs) {
  const auto answer = push(one_event, "X-Headrace-Producer: shop\r\n");
  EXPECT_EQ(answer.status, 200U);
  EXPECT_EQ(answer.body, "{\"accepted\":1,\"duplicates\":0,\"refused\":0,\"refusals\":[]}\n");
  ASSERT_EQ(kept_.seen().size(), 1U);
  EXPECT_EQ(kept_.seen()[0].producer, "shop");
  EXPECT_EQ(kept_.seen()[0].events[0].id, "e1");
  EXPECT_EQ(producer_, "shop");
}

TEST_F(EventRoutes, EveryFormOfJsonIsTaken) {
  EXPECT_EQ(push("[" + one_event + "]", "Content-Type: application/json\r\n").status, 200U);
  EXPECT_EQ(push(lines(3), "Content-Type: application/x-ndjson\r\n").status, 200U);
  EXPECT_EQ(push(lines(3), "Content-Type: application/x-www-form-urlencoded\r\n").status, 200U);
  EXPECT_EQ(push(R"({"producer":"web","events":[)" + one_event + "]}").status, 200U);
  const auto seen = kept_.seen();
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_EQ(seen[1].events.size(), 3U);
  EXPECT_EQ(seen[2].events.size(), 3U);
  EXPECT_EQ(seen[3].producer, "web");
}

TEST_F(EventRoutes, AFrameIsHandedOnAsItCame) {
  schemas::event_batch_builder builder;
  builder.begin("native");
  builder.event("e1", "r1", 7);
  const frame batch = builder.finish();
  const std::string body(reinterpret_cast<const char*>(batch.bytes().data()), batch.size());
  EXPECT_EQ(push(body, "Content-Type: application/x-capnp\r\n").status, 200U);
  EXPECT_EQ(kept_.seen()[0].producer, "native");
  const auto bad = push("no frame", "Content-Type: application/x-capnp\r\n");
  EXPECT_EQ(bad.status, 400U);
  EXPECT_THAT(bad.body, HasSubstr("\"code\":\"malformed\""));
}

TEST_F(EventRoutes, AnswersOfTheLogBecomeStatuses) {
  const std::pair<errc, unsigned> pairs[] = {{errc::overloaded, 429U},
                                             {errc::unauthorized, 401U},
                                             {errc::quarantined, 403U},
                                             {errc::too_large, 413U},
                                             {errc::malformed, 400U},
                                             {errc::disk_full, 503U},
                                             {errc::io_error, 503U},
                                             {errc::unavailable, 503U}};
  for (const auto& [code, status] : pairs) {
    schemas::event_ack ack;
    ack.status = code;
    ack.detail = "because";
    ack.retry_after_ms = 1'001;
    kept_.answer_with(ack);
    const auto answer = push(one_event);
    EXPECT_EQ(answer.status, status);
    EXPECT_THAT(answer.body,
                HasSubstr("{\"error\":\"because\",\"code\":\"" + std::string(name(code))));
    EXPECT_EQ(answer.fields.count("retry-after"), status == 429 || status == 503 ? 1U : 0U);
    if (status == 429) {
      EXPECT_EQ(answer.fields.at("retry-after"), "2");
    }
  }
}

TEST_F(EventRoutes, WhereNothingOfABatchIsTakenTheFieldIsNamed) {
  schemas::event_ack ack;
  ack.refused = 1;
  ack.refusals = {{0, schemas::event_fault::wrong_type, "price: a number is needed"}};
  kept_.answer_with(ack);
  const auto refused = push(one_event);
  EXPECT_EQ(refused.status, 400U);
  EXPECT_EQ(
      refused.body,
      "{\"error\":\"price: a number is needed\",\"accepted\":0,\"duplicates\":0,\"refused\":1,"
      "\"refusals\":[{\"event\":0,\"fault\":\"wrong_type\","
      "\"detail\":\"price: a number is needed\"}]}\n");
  ack.accepted = 1;
  kept_.answer_with(ack);
  EXPECT_EQ(push(lines(2)).status, 200U);
}

TEST_F(EventRoutes, PlacesCountInTheTextAlsoBehindLinesThatAreNoEvents) {
  schemas::event_ack ack;
  ack.accepted = 1;
  ack.refused = 1;
  ack.refusals = {{1, schemas::event_fault::bad_time, "time: too far ahead"}};
  kept_.answer_with(ack);
  // Places: 0 event 0, 1 and 2 no JSON, 3 event 1.
  const auto answer = push(line_of(0) + "nonsense\n{\"id\":7\n" + line_of(1));
  EXPECT_EQ(answer.status, 200U);
  EXPECT_THAT(answer.body, HasSubstr("\"accepted\":1,\"duplicates\":0,\"refused\":3"));
  EXPECT_THAT(answer.body, HasSubstr("[{\"event\":1,\"fault\":\"malformed\""));
  EXPECT_THAT(answer.body, HasSubstr("{\"event\":2,\"fault\":\"malformed\""));
  EXPECT_THAT(answer.body, HasSubstr("{\"event\":3,\"fault\":\"bad_time\""));
  EXPECT_EQ(routes_.count().unread, 2U);
}

TEST_F(EventRoutes, OfManyRefusalsTheFirstAreToldAndAllAreCounted) {
  schemas::event_ack ack;
  ack.accepted = 1;
  ack.refused = 1;
  ack.refusals = {{1, schemas::event_fault::bad_time, "time: too far ahead"}};
  kept_.answer_with(ack);
  std::string nonsense;
  for (int i = 0; i < 40'000; ++i) nonsense += "nonsense\n";
  // Behind 15 lines of nonsense the refusal of the batch is the last that is told.
  const std::string before = line_of(0) + nonsense.substr(0, 9 * 15) + line_of(1);
  const auto told = push(before + nonsense);
  EXPECT_THAT(told.body, HasSubstr("\"accepted\":1,\"duplicates\":0,\"refused\":40016,"));
  EXPECT_THAT(told.body, HasSubstr("{\"event\":16,\"fault\":\"bad_time\""));
  EXPECT_THAT(told.body, testing::Not(HasSubstr("{\"event\":17,")));
  // One more, and it is not.
  const auto left_out = push(line_of(0) + nonsense.substr(0, 9 * 16) + line_of(1) + nonsense);
  EXPECT_THAT(left_out.body, HasSubstr("\"refused\":40017,"));
  EXPECT_THAT(left_out.body, HasSubstr("{\"event\":16,\"fault\":\"malformed\""));
  EXPECT_THAT(left_out.body, testing::Not(HasSubstr("bad_time")));
}

TEST(EventAnswer, KeepsToItsRoomWhateverItTells) {
  schemas::event_ack ack;
  ack.refused = 16;
  for (std::uint32_t i = 0; i < 16; ++i)
    ack.refusals.push_back({i, schemas::event_fault::wrong_type, std::string(1'000, '\x01')});
  const auto refused = answer_of(ack);
  EXPECT_EQ(refused.status, 400U);
  EXPECT_LT(refused.body.size(), event_answer_bytes_max - 299) << "the rest is for its head";
  EXPECT_THAT(refused.body, HasSubstr("[{\"event\":0,"));
  for (auto& each : ack.refusals) each.detail = std::string(50, 'x');
  EXPECT_THAT(answer_of(ack).body, HasSubstr("{\"event\":15,"));
  EXPECT_LT(answer_of(error{errc::malformed, std::string(9'000, '\x01')}).body.size(),
            event_answer_bytes_max - 299);
}

TEST_F(EventRoutes, WhatCannotBeReadIsRefusedWithoutABatch) {
  for (const std::string body : {"", "[1", "[{]"}) EXPECT_EQ(push(body).status, 400U) << body;
  EXPECT_EQ(push("x", "Content-Type: text/csv\r\n").status, 415U);
  EXPECT_EQ(push("x", "Content-Encoding: br\r\n").status, 415U);
  EXPECT_EQ(push("x", "Content-Encoding: gzip\r\n").status, 400U);
  EXPECT_EQ(push(one_event, "X-Headrace-Producer: " + std::string(65, 'p') + "\r\n").status, 400U);
  EXPECT_TRUE(kept_.seen().empty());
  EXPECT_EQ(routes_.count().offered, 0U);
  EXPECT_EQ(routes_.count().refused, 7U);
}

TEST_F(EventRoutes, TokensAreAskedBeforeTheBodyIsRead) {
  const auto wrong = push("[1", "Authorization: Bearer wrong\r\n");
  EXPECT_EQ(wrong.status, 401U);
  EXPECT_EQ(wrong.fields.at("www-authenticate"), "Bearer");
  const auto fast = push("[1", "Authorization: Bearer fast\r\n");
  EXPECT_EQ(fast.status, 429U);
  EXPECT_EQ(fast.fields.at("retry-after"), "1");
}

TEST_F(EventRoutes, NothingOfABodyIsWaitedForOrKeptWhoseTokenIsWrong) {
  const std::string head = "POST /v1/events HTTP/1.1\r\nHost: h\r\n";
  const std::string wrong = "Authorization: Bearer wrong\r\n";
  for (const std::string body : {"Content-Length: 16000000\r\n\r\n",
                                 "Transfer-Encoding: chunked\r\n\r\n",
                                 "Expect: 100-continue\r\nContent-Length: 16000000\r\n\r\n"}) {
    test_http_client client(where());
    const auto answer = client.ask(head + wrong + body);
    ASSERT_TRUE(answer) << body;
    EXPECT_EQ(answer->status, 401U) << body;
    EXPECT_EQ(answer->fields.at("connection"), "close") << body;
    EXPECT_TRUE(client.send(std::string(100'000, ' '))) << "what was under way resets nothing";
    client.end_sending();
    EXPECT_TRUE(client.ended()) << body;
  }
  test_http_client asks(where());
  const auto other = asks.ask(head + "Content-Type: text/csv\r\nContent-Length: 16000000\r\n\r\n");
  ASSERT_TRUE(other);
  EXPECT_EQ(other->status, 415U);
  EXPECT_EQ(server_->count().requests, 0U);
  EXPECT_EQ(routes_.count().refused, 4U);
  EXPECT_TRUE(kept_.seen().empty());
}

TEST_F(EventRoutes, BatchesAreOfferedInTheOrderOfTheirRequests) {
  kept_.hold();
  test_http_client client(where());
  // A large one, which is read elsewhere, and small ones behind it.
  ASSERT_TRUE(client.send(post("/v1/events", lines(2'000)) + post("/v1/events", lines(1)) +
                          post("/v1/events", lines(3))));
  ASSERT_TRUE(kept_.wait_for_held(3));
  const auto seen = kept_.seen();
  EXPECT_EQ(seen[0].events.size(), 2'000U);
  EXPECT_EQ(seen[1].events.size(), 1U);
  EXPECT_EQ(seen[2].events.size(), 3U);
  for (const std::size_t at : {2U, 0U, 1U}) kept_.answer_held(at, static_cast<std::uint32_t>(at));
  for (int at = 0; at < 3; ++at) {
    EXPECT_THAT(client.read()->body, HasSubstr("\"accepted\":" + std::to_string(at)));
  }
  EXPECT_GE(routes_.count().handed_over, 1U);
}

TEST(EventRoutesThatFail, AnswerAndGoOn) {
  manual_clock time;
  std::atomic<int> left{4};  // calls that fail
  std::atomic<bool> admits{true};
  event_routes routes({[&](worker::event_intake::request asked) {
                         if (left-- > 0) throw std::bad_alloc();
                         schemas::event_ack ack;
                         ack.accepted = 1;
                         asked.done(std::move(ack));
                       },
                       [] {}},
                      [&](const event_routes::claim&) -> result<void> {
                        if (!admits) throw std::bad_alloc();
                        return {};
                      },
                      time,
                      {});
  auto server = http_server::open({"127.0.0.1:0"}, routes.routes());
  ASSERT_TRUE(server.ok());
  test_http_client client((*server)->endpoints()[0]);
  // Read on the server's thread, and on the one for large bodies.
  for (const int events : {1, 2'000, 1, 2'000}) {
    const auto failed = client.ask(post("/v1/events", lines(events)));
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->status, 500U);
  }
  EXPECT_EQ(client.ask(post("/v1/events", lines(2'000)))->status, 200U);
  EXPECT_EQ(client.ask(post("/v1/events", lines(1)))->status, 200U);
  admits = false;
  const auto refused = client.ask(post("/v1/events", lines(1)));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 500U);
  (*server)->stop();
}

class SmallEventRoutes : public EventRoutes {
 protected:
  SmallEventRoutes() : EventRoutes({.body_bytes_max = 2'000, .unpacked_bytes_max = 100'000}) {}
};

TEST_F(SmallEventRoutes, SizesAreBoundedBeforeAndAfterUnpacking) {
  EXPECT_EQ(push(std::string(2'001, ' ')).status, 413U);
  if (!std::filesystem::exists("/usr/bin/zstd") || !std::filesystem::exists("/usr/bin/curl")) {
    GTEST_SKIP() << "zstd and curl are needed for the rest: ./dev setup peers";
  }
  const tests::temporary_folder folder;
  for (const std::string name : {"gzip", "zstd"}) {
    const std::string file = folder / ("bomb." + name);
    std::ofstream(file) << std::string(100'001, ' ');
    const auto packed = tests::run_program(
        {"/usr/bin/zstd", "-q", "--rm", "--format=" + name, file, "-o", file + ".packed"}, 10s);
    ASSERT_EQ(packed.status, 0) << packed.errors;
    EXPECT_THAT(push_with_curl({"-H", "Content-Encoding: " + name}, file + ".packed"),
                HasSubstr("413"));
  }
}

TEST_F(EventRoutes, CurlPushesPackedAndInChunksAndAsksFirst) {
  if (!std::filesystem::exists("/usr/bin/zstd") || !std::filesystem::exists("/usr/bin/curl")) {
    GTEST_SKIP() << "zstd and curl are needed: ./dev setup peers";
  }
  const tests::temporary_folder folder;
  const std::string plain = folder / "events";
  std::ofstream(plain) << lines(30'000);  // beyond 1 MB curl asks before it sends
  const std::string taken =
      "{\"accepted\":30000,\"duplicates\":0,\"refused\":0,\"refusals\":[]}\n200";
  for (const std::string name : {"gzip", "zstd"}) {
    const std::string packed = plain + "." + name;
    ASSERT_EQ(tests::run_program(
                  {"/usr/bin/zstd", "-q", "-k", "--format=" + name, plain, "-o", packed}, 10s)
                  .status,
              0);
    EXPECT_EQ(push_with_curl({"-H", "Content-Encoding: " + name}, packed), taken) << name;
  }
  EXPECT_EQ(push_with_curl({"-H", "Transfer-Encoding: chunked"}, plain), taken);
  EXPECT_EQ(push_with_curl({"-H", "Expect: 100-continue"}, plain), taken);
  EXPECT_EQ(push_with_curl({"--http1.0"}, plain), taken);
  EXPECT_EQ(kept_.seen().size(), 5U);
}

}  // namespace
}  // namespace headrace::actors
