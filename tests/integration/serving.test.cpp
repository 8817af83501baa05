#include "tests/support/serving.hpp"

#include "tests/integration/live_run.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/process_facts.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

/// `headrace serve` beside `headrace server` and `headrace worker`: what is asked for is what was
/// learned, whoever of them is killed.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = live_patience;
constexpr int users = 20;
constexpr int ads = 15;

/// `headrace serve`, and where it answers; empty when it did not start.
struct answering {
  answering(const std::string& job,
            const std::string& connect,
            const std::string& http = "http://127.0.0.1:0",
            std::vector<std::string> more = {})
      : process(arguments(job, connect, http, std::move(more))) {
    if (!process.wait_for_text("predictions at ", patience)) return;
    const std::string said = process.output();
    const auto from = said.find("http://");
    base = said.substr(from, said.find("/v1/", from) - from);
  }
  static std::vector<std::string> arguments(const std::string& job,
                                            const std::string& connect,
                                            const std::string& http,
                                            std::vector<std::string> more = {}) {
    std::vector<std::string> all{
        headrace_binary(), "serve", job, "--connect", connect, "--http", http};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  child_process process;
  std::string base;
};

finished get(const std::string& url) {
  return run_program(
      {"/usr/bin/curl", "-sS", "--max-time", "20", "-w", " status=%{http_code}", url}, patience);
}

bool is_ready(const std::string& base) {
  return get(base + "/readyz").output.find("status=200") != std::string::npos;
}

std::uint64_t whole(const std::string& json, const std::string& key) {
  return std::strtoull(json_field(json, key).c_str(), nullptr, 10);
}

class Serving : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_curl()) GTEST_SKIP() << "no curl: ./dev setup peers";
    write_events();
  }

  // A user clicks an ad where both are even or both odd, nine times of ten.
  void write_events() const {
    std::ofstream out(folder_ / "clicks.csv");
    out << "click,user,ad\n";
    std::uint32_t draw = 12'345;
    const auto next = [&](std::uint32_t below) {
      draw = draw * 1'664'525U + 1'013'904'223U;
      return (draw >> 8) % below;
    };
    for (int i = 0; i < 6'000; ++i) {
      const auto user = next(users);
      const auto ad = next(ads);
      const bool likes = user % 2 == ad % 2;
      out << ((likes == (next(10) > 0)) ? 1 : 0) << ",u" << user << ",a" << ad << '\n';
    }
  }
  std::string job(const std::string& more = {}) const {
    const std::string file = folder_ / "clicks.toml";
    std::ofstream(file) << "[job]\nname = \"clicks\"\n[source]\nuri = \"file://"
                        << folder_ / "clicks.csv"
                        << "\"\nlabel = \"click > 0\"\n[features.user]\n[features.ad]\n"
                           "[model]\narch = \"fm\"\ndim = 8\n[train]\nbatch_max = 16\n"
                           "[serve]\ninterval = \"5ms\"\n[durability]\nlog = \"os\"\n"
                        << more;
    return file;
  }
  std::vector<std::string> learning(const std::string& job, const std::string& endpoint) const {
    return {headrace_binary(),
            "worker",
            job,
            "--state",
            folder_ / "learner",
            "--connect",
            endpoint,
            "--json"};
  }
  finished ask(const std::string& base, const std::string& path, const std::string& body) const {
    return post(base + path, body, folder_);
  }
  /// Of one user and one ad; its version goes into `version`.
  double predict(const std::string& base,
                 int user,
                 int ad,
                 std::uint64_t* version = nullptr) const {
    const auto answer = ask(base,
                            "/v1/models/clicks:predict",
                            R"({"instances":[{"user":"u)" + std::to_string(user) + R"(","ad":"a)" +
                                std::to_string(ad) + "\"}]}");
    EXPECT_NE(answer.output.find("status=200"), std::string::npos) << answer.output;
    if (version != nullptr) *version = whole(answer.output, "model_version");
    const std::string click = json_field(answer.output, "click");
    return click.empty() ? NAN : std::atof(click.c_str());
  }
  std::uint64_t version(const std::string& base) const {
    std::uint64_t now = 0;
    predict(base, 0, 0, &now);
    return now;
  }
  /// The largest |value| of the row of an id.
  double largest(const std::string& base, const std::string& feature, const std::string& id) const {
    const auto answer = ask(base,
                            "/v1/embeddings/embedding:lookup",
                            R"({"feature":")" + feature + R"(","ids":[")" + id + "\"]}");
    const auto from = answer.output.find("\"rows\":[[");
    EXPECT_NE(from, std::string::npos) << answer.output;
    if (from == std::string::npos) return NAN;
    const auto at = from + 9;
    std::istringstream values(answer.output.substr(at, answer.output.find(']', at) - at));
    double most = 0;
    for (std::string value; std::getline(values, value, ',');)
      most = std::max(most, std::abs(std::atof(value.c_str())));
    return most;
  }

  temporary_folder folder_;
};

double logit(double p) { return std::log(p / (1 - p)); }

// All shards' versions, as the server says.
std::uint64_t server_version(const std::string& endpoint) {
  const auto said =
      run_program({headrace_binary(), "status", "--connect", endpoint, "--json"}, patience);
  std::uint64_t sum = 0;
  const std::string key = "\"version\":";
  for (auto at = said.output.find(key); at != std::string::npos; at = said.output.find(key, at + 1))
    sum += std::strtoull(said.output.c_str() + at + key.size(), nullptr, 10);
  return sum;
}

TEST_F(Serving, PredictsWhatTheTrainerDoesAtTheSameVersion) {
  const std::string file = job();
  serving server(file, folder_ / "rows");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  answering serve(file, server.endpoint);
  ASSERT_NE(serve.base, "") << serve.process.errors();
  ASSERT_TRUE(eventually([&] { return is_ready(serve.base); }, patience)) << serve.process.errors();
  const double before = predict(serve.base, 2, 4);
  EXPECT_NEAR(before, 0.5, 0.1) << "nothing is learned yet";

  const auto learned = run_program(learning(file, server.endpoint), patience);
  ASSERT_EQ(learned.status, 0) << learned.errors;
  const std::uint64_t head = server_version(server.endpoint);
  ASSERT_GT(head, 0U);
  ASSERT_TRUE(eventually([&] { return version(serve.base) == head; }, patience))
      << version(serve.base) << " is not " << head << serve.process.errors();
  EXPECT_GT(predict(serve.base, 2, 4), before);
  EXPECT_GT(predict(serve.base, 2, 4), predict(serve.base, 2, 5));

  // The trainer's own rows, read from what the server leaves; the replica goes on without it.
  server.process.signal(SIGTERM);
  ASSERT_EQ(server.process.wait_for(patience), 0) << server.process.errors();
  for (const auto& [user, ad] : std::vector<std::pair<int, int>>{{0, 0}, {3, 8}, {7, 14}}) {
    const std::string one = folder_ / "one.csv";
    std::ofstream(one) << "click,user,ad\n1,u" << user << ",a" << ad << '\n';
    const auto scored = run_program(
        {headrace_binary(), "eval", "--state", folder_ / "rows", "--data", one, "--json"},
        patience);
    ASSERT_EQ(scored.status, 0) << scored.errors;
    const double trainers = std::exp(-std::atof(json_field(scored.output, "logloss").c_str()));
    std::uint64_t at = 0;
    const double replicas = predict(serve.base, user, ad, &at);
    EXPECT_EQ(at, head);
    // A row is int8: off by half a step of its largest value. Products of both rows' vectors add.
    const double u = largest(serve.base, "user", "u" + std::to_string(user));
    const double a = largest(serve.base, "ad", "a" + std::to_string(ad));
    const double u_off = u / 254 * 1.01;
    const double a_off = a / 254 * 1.01;
    const double bound = u_off + a_off + 8 * (u * a_off + a * u_off + u_off * a_off) + 1e-4;
    EXPECT_NEAR(logit(replicas), logit(trainers), bound) << "u" << user << " a" << ad;
  }
  serve.process.signal(SIGINT);
  EXPECT_EQ(serve.process.wait_for(patience), 0) << serve.process.errors();
  EXPECT_NE(serve.process.output().find("stopped, "), std::string::npos);
}

TEST_F(Serving, KillsAreWaitedForAndNoVersionGoesBack) {
  const std::string file = job();
  auto server = std::make_unique<serving>(file, folder_ / "rows");
  ASSERT_NE(server->endpoint, "") << server->process.errors();
  const std::string endpoint = server->endpoint;
  auto serve = std::make_unique<answering>(file, endpoint);
  ASSERT_NE(serve->base, "") << serve->process.errors();
  auto command = learning(file, endpoint);
  command.insert(command.end(), {"--set", "source.duration=3s"});
  child_process worker(command);
  std::uint64_t newest = 0;
  const auto grows_to = [&](std::uint64_t least) {
    return eventually(
        [&] {
          if (!is_ready(serve->base)) return false;
          const std::uint64_t now = version(serve->base);
          EXPECT_GE(now, newest);
          newest = std::max(newest, now);
          return now >= least;
        },
        patience);
  };
  ASSERT_TRUE(grows_to(20)) << serve->process.errors();

  server->process.signal(SIGKILL);
  ASSERT_EQ(server->process.wait_for(patience), 128 + SIGKILL);
  EXPECT_GE(version(serve->base), newest) << "a replica without a server serves what it has";
  server = std::make_unique<serving>(file, folder_ / "rows", endpoint);
  ASSERT_EQ(server->endpoint, endpoint) << server->process.errors();
  ASSERT_TRUE(grows_to(newest + 20)) << serve->process.errors();

  const std::string http = serve->base;
  serve->process.signal(SIGKILL);
  ASSERT_EQ(serve->process.wait_for(patience), 128 + SIGKILL);
  serve = std::make_unique<answering>(file, endpoint, http);
  ASSERT_EQ(serve->base, http) << serve->process.errors();
  ASSERT_TRUE(grows_to(newest + 1)) << serve->process.errors();

  ASSERT_EQ(worker.wait_for(patience), 0) << worker.errors();
  EXPECT_EQ(json_field(worker.output(), "samples"), "6000");
  const std::uint64_t head = server_version(endpoint);
  EXPECT_TRUE(grows_to(head)) << serve->process.errors();
  EXPECT_EQ(newest, head);
  const auto metrics = get(serve->base + "/metrics");
  EXPECT_NE(metrics.output.find("headrace_replica_version " + std::to_string(head)),
            std::string::npos)
      << metrics.output;
}

TEST_F(Serving, WhatIsWrongIsSaidInALine) {
  const std::string file = job();
  serving server(file, folder_ / "rows");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  const auto failure = [&](std::vector<std::string> more, const std::string& http) {
    return run_program(answering::arguments(file, server.endpoint, http, std::move(more)),
                       patience);
  };
  const auto other = failure({"--set", "model.dim=4"}, "http://127.0.0.1:0");
  EXPECT_EQ(other.status, 1);
  EXPECT_NE(other.errors.find("different job files"), std::string::npos) << other.errors;
  const auto wide = failure({}, "http://0.0.0.0:80");
  EXPECT_EQ(wide.status, 2);
  EXPECT_NE(wide.errors.find("loopback"), std::string::npos) << wide.errors;
  EXPECT_EQ(failure({"--threads", "0"}, "http://127.0.0.1:0").status, 2);
  EXPECT_EQ(failure({"--state", "x"}, "http://127.0.0.1:0").status, 2) << "it keeps nothing";

  answering serve(file, server.endpoint);
  ASSERT_NE(serve.base, "") << serve.process.errors();
  const auto second = failure({}, serve.base);
  EXPECT_EQ(second.status, 1);
  EXPECT_NE(second.errors.find("is taken"), std::string::npos) << second.errors;
  EXPECT_EQ(std::ranges::count(second.errors, '\n'), 1) << second.errors;
}

TEST_F(Serving, AServerThatIsNotThereYetIsWaitedFor) {
  const std::string file = job();
  const std::string endpoint = "ipc://" + (folder_ / "shards");
  answering serve(file, endpoint);
  ASSERT_NE(serve.base, "") << serve.process.errors();
  EXPECT_EQ(get(serve.base + "/healthz").output, "{\"status\":\"ok\"}\n status=200");
  const auto early = get(serve.base + "/readyz");
  EXPECT_NE(early.output.find("status=503"), std::string::npos) << early.output;
  EXPECT_NE(early.output.find("not every row has come yet"), std::string::npos) << early.output;
  const auto asked =
      ask(serve.base, "/v1/models/clicks:predict", R"({"instances":[{"user":"u"}]})");
  EXPECT_NE(asked.output.find("status=503"), std::string::npos) << asked.output;
  serving server(file, folder_ / "rows", endpoint);
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  EXPECT_TRUE(serve.process.wait_for_text("ready, model version 0", patience))
      << serve.process.errors();
}

TEST_F(Serving, ARunAnswersWhileItLearns) {
  const std::string file = job();
  child_process run({headrace_binary(),
                     "run",
                     file,
                     "--state",
                     folder_ / "state",
                     "--json",
                     "--serve",
                     "http://127.0.0.1:0",
                     "--set",
                     "source.duration=2s"});
  ASSERT_TRUE(run.wait_for_text("/v1/models/clicks", patience)) << run.errors();
  const std::string said = run.errors();
  const auto from = said.find("http://127.0.0.1:");
  const std::string base = said.substr(from, said.find("/v1/", from) - from);
  ASSERT_TRUE(eventually([&] { return is_ready(base); }, patience)) << run.errors();
  const std::uint64_t first = version(base);
  EXPECT_TRUE(eventually([&] { return version(base) > first; }, 1s)) << "stays at " << first;
  const auto status = get(base + "/v1/status");
  EXPECT_EQ(json_field(status.output, "job"), "clicks") << status.output;
  EXPECT_EQ(json_field(status.output, "ready"), "true") << status.output;
  ASSERT_EQ(run.wait_for(patience), 0) << run.errors();
  EXPECT_EQ(json_field(run.output(), "samples"), "6000");
}

}  // namespace
}  // namespace headrace::tests
