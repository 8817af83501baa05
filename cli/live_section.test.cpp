#include "cli/job/live_section.hpp"

#include "cli/event_tokens.hpp"
#include "cli/job/job_file.hpp"
#include "cli/job/model_section.hpp"
#include "cli/verb_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

namespace headrace::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using worker::arrival;

std::string job_of(const std::string& uri, const std::string& more = "") {
  return "[job]\nname = \"clicks\"\n[source]\nuri = \"" + uri + "\"\nlabel = \"click > 0\"\n" +
         more + "[features.user]\n[features.ad]\n";
}

std::string joining_job(const std::string& join) {
  return "[job]\nname = \"clicks\"\n[source]\nuri = \"http://127.0.0.1:8081\"\n[join]\n" + join +
         "[features.user]\n[features.ad]\n";
}

job good(const std::string& text, const std::vector<std::string>& overrides = {}) {
  auto made = parse_job(text, "job.toml", overrides);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : describe(made.error()));
  return made.ok() ? std::move(*made) : job{};
}

std::string failure(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const auto made = parse_job(text, "job.toml", overrides);
  if (made.ok()) return "no failure";
  EXPECT_EQ(made.error().code, errc::bad_config);
  EXPECT_EQ(made.error().detail.find('\n'), std::string::npos);
  return made.error().detail;
}

TEST(LiveSection, OneUriIsEnoughToBePushed) {
  const job made = good(job_of("http://127.0.0.1:8081"));
  EXPECT_EQ(made.source.arrives, arrival::pushed);
  EXPECT_THAT(made.source.live.http, ElementsAre("127.0.0.1:8081"));
  EXPECT_THAT(made.source.live.zmq, IsEmpty());
  EXPECT_EQ(made.gate.gate.future_ms_max, 60'000U);
  EXPECT_EQ(made.gate.gate.duplicate_ids, std::uint64_t{1} << 20);
  EXPECT_FALSE(made.join.has_value());
  EXPECT_THAT(good(job_of("zmq://127.0.0.1:0")).source.live.zmq, ElementsAre("tcp://127.0.0.1:0"));
  EXPECT_THAT(good(job_of("zmq:///run/h/e.sock")).source.live.zmq,
              ElementsAre("ipc:///run/h/e.sock"));
}

TEST(LiveSection, ListenNamesMoreEndpointsBesideTheUri) {
  const job made =
      good(job_of("http://127.0.0.1:8081/",
                  "listen = [\"zmq://127.0.0.1:8082\", \"http://127.0.0.2:0\", \"zmq:///a/b\"]\n"));
  EXPECT_THAT(made.source.live.http, ElementsAre("127.0.0.1:8081", "127.0.0.2:0"));
  EXPECT_THAT(made.source.live.zmq, ElementsAre("tcp://127.0.0.1:8082", "ipc:///a/b"));
  EXPECT_THAT(failure(job_of("http://127.0.0.1:1", "listen = \"http://127.0.0.1:1\"\n")),
              HasSubstr("is there twice"));
}

TEST(LiveSection, RefusesEndpointsThatAreNotLoopbackOrNoEndpoints) {
  for (const char* uri : {"http://10.0.0.1:8081",
                          "http://0.0.0.0:1",
                          "http://127.0.0.1",
                          "http://127.0.0.1:65536",
                          "http://127.0.0.1:x",
                          "http://127.0.0.1:80/v1",
                          "http://u@127.0.0.1:80",
                          "http://",
                          "zmq://10.0.0.1:1",
                          "zmq://127.0.0.1",
                          "zmq://*:1",
                          "zmq://",
                          "kafka://",
                          "kafka://host",
                          "kafka://host:0",
                          "kafka://a:1,",
                          "nats://a:1,b",
                          "redis://a:1,b:2",
                          "redis://",
                          "amqp://a:1"}) {
    const std::string more =
        std::string_view(uri).starts_with("kafka") ? "topics = \"t\"\n"
        : std::string_view(uri).starts_with("nats") || std::string_view(uri).starts_with("redis")
            ? "stream = \"s\"\n"
            : "";
    EXPECT_THAT(failure(job_of(uri, more)), HasSubstr("job.toml:4: source.uri = ")) << uri;
  }
  EXPECT_THAT(failure(job_of("http://127.0.0.1:1", "listen = [\"kafka://a:1\"]\n")),
              HasSubstr("source.listen"));
}

TEST(LiveSection, ReadsWhereABrokersEventsAre) {
  const job kafka = good(job_of("kafka://a:9092,b:9093",
                                "topics = [\"clicks\", \"views\"]\ndead_letter = \"bad\"\n"
                                "user = \"u\"\npassword_env = \"KAFKA_PASSWORD\"\ntls = true\n"));
  EXPECT_EQ(kafka.source.arrives, arrival::kafka);
  EXPECT_EQ(kafka.source.live.brokers, "a:9092,b:9093");
  EXPECT_THAT(kafka.source.live.topics, ElementsAre("clicks", "views"));
  EXPECT_EQ(kafka.source.live.group, "clicks") << "the job's name";
  EXPECT_EQ(kafka.source.live.dead_letter, "bad");
  EXPECT_EQ(kafka.source.live.user, "u");
  EXPECT_EQ(kafka.source.live.password_env, "KAFKA_PASSWORD");
  EXPECT_TRUE(kafka.source.live.tls);

  const job nats = good(
      job_of("nats://a:4222,b:4222", "stream = \"CLICKS\"\nsubject = \"c.>\"\ngroup = \"g\"\n"));
  EXPECT_EQ(nats.source.arrives, arrival::jetstream);
  EXPECT_EQ(nats.source.live.brokers, "nats://a:4222,nats://b:4222");
  EXPECT_THAT(nats.source.live.topics, ElementsAre("CLICKS"));
  EXPECT_EQ(nats.source.live.subject, "c.>");
  EXPECT_EQ(nats.source.live.group, "g");

  const job redis = good(job_of("redis://127.0.0.1:6379", "stream = [\"a\", \"b\"]\n"));
  EXPECT_EQ(redis.source.arrives, arrival::redis);
  EXPECT_EQ(redis.source.live.brokers, "127.0.0.1:6379");
  EXPECT_THAT(redis.source.live.topics, ElementsAre("a", "b"));
  EXPECT_EQ(good(job_of("redis:///run/redis.sock", "stream = \"a\"\n")).source.live.brokers,
            "unix:/run/redis.sock");
}

TEST(LiveSection, RefusesABrokerWithoutANameToReadOrThatWouldReadItsDeadLetters) {
  EXPECT_THAT(failure(job_of("kafka://a:1")), HasSubstr("source.topics"));
  EXPECT_THAT(failure(job_of("nats://a:1")), HasSubstr("source.stream"));
  EXPECT_THAT(failure(job_of("nats://a:1", "stream = [\"a\", \"b\"]\n")), HasSubstr("one stream"));
  EXPECT_THAT(failure(job_of("redis://a:1")), HasSubstr("source.stream"));
  EXPECT_THAT(failure(job_of("kafka://a:1", "topics = [\"t\", \"t\"]\n")), HasSubstr("twice"));
  EXPECT_THAT(failure(job_of("kafka://a:1", "topics = \"t\"\ndead_letter = \"t\"\n")),
              HasSubstr("source.dead_letter"));
}

TEST(LiveSection, EveryLiveJobHasAPlaceForItsStatus) {
  const std::string kafka = job_of("kafka://a:1", "topics = \"t\"\n");
  EXPECT_THAT(good(job_of("http://127.0.0.1:8081")).http, ElementsAre("127.0.0.1:8081"));
  EXPECT_THAT(good(job_of("zmq://127.0.0.1:8082")).http, ElementsAre("127.0.0.1:7412"));
  EXPECT_THAT(good(job_of("/a.csv")).http, ElementsAre());
  const auto beside = [&](const std::string& listen) {
    const auto made = parse_job(kafka, "job.toml", {"server.listen=" + listen});
    EXPECT_TRUE(made.ok()) << describe(made.error());
    return made->http;
  };
  EXPECT_THAT(beside("tcp://127.0.0.1:7411"), ElementsAre("127.0.0.1:7412"));
  EXPECT_THAT(beside("tcp://127.0.0.1:65535"), ElementsAre("127.0.0.1:65534"));
  EXPECT_THAT(beside("tcp://127.0.0.1:0"), ElementsAre("127.0.0.1:0"));
  EXPECT_THAT(beside("ipc:///run/h"), ElementsAre("127.0.0.1:0"));
  const auto named = [](const std::string& uri, const std::string& status) {
    const bool pushed = uri.starts_with("http");
    return job_of(uri, (pushed ? "" : "topics = \"t\"\n") + ("status = \"" + status + "\"\n"));
  };
  EXPECT_THAT(good(named("kafka://a:1", "http://127.0.0.2:9/")).http, ElementsAre("127.0.0.2:9"));
  for (const char* status : {"http://10.0.0.1:1", "zmq://127.0.0.1:1", "127.0.0.1:1"}) {
    EXPECT_THAT(failure(named("kafka://a:1", status)), HasSubstr("source.status = ")) << status;
  }
  EXPECT_THAT(failure(named("http://127.0.0.1:1", "http://127.0.0.1:2")),
              HasSubstr("source.status = "));
}

TEST(LiveSection, RefusesKeysThatDoNotFitTheSource) {
  const std::string file = "file:///data/clicks.csv";
  const std::string http = "http://127.0.0.1:1";
  for (const auto& [uri, line, key] :
       {std::tuple{file, std::string("listen = \"http://127.0.0.1:1\""), "source.listen"},
        {file, "topics = \"t\"", "source.topics"},
        {file, "tls = true", "source.tls"},
        {file, "status = \"http://127.0.0.1:1\"", "source.status"},
        {http, "topics = \"t\"", "source.topics"},
        {http, "stream = \"s\"", "source.stream"},
        {http, "group = \"g\"", "source.group"},
        {http, "duration = \"1m\"", "source.duration"},
        {std::string("kafka://a:1"), "topics = \"t\"\nstream = \"s\"", "source.stream"},
        {std::string("redis://a:1"), "stream = \"s\"\nsubject = \"t\"", "source.subject"}}) {
    const std::string why = failure(job_of(uri, line + "\n"));
    EXPECT_THAT(why, HasSubstr(std::string(key) + " = "));
    EXPECT_THAT(why, HasSubstr("needs source.uri = ")) << uri;
  }
  EXPECT_THAT(failure(job_of(file, "[gate]\nneeds_id = true\n")),
              HasSubstr("job.toml:6: gate: needs live events"));
  EXPECT_THAT(failure(job_of("generate:planted", "[gate]\n")), HasSubstr("gate: needs live"));
  EXPECT_THAT(failure(job_of(http), {"replay.passes=2"}), HasSubstr("replay.passes"));
  EXPECT_THAT(failure(job_of(http), {"replay.shuffle=true"}), HasSubstr("replay.shuffle"));
  EXPECT_THAT(failure("[job]\nname = \"clicks\"\n[source]\nuri = \"/a.csv\"\n[join]\n"
                      "window = \"1m\"\nactions = \"click\"\n[features.user]\n"),
              HasSubstr("job.toml:5: join: needs live events"));
}

TEST(LiveSection, ColumnsOfLiveEventsHaveNames) {
  const std::string http = "http://127.0.0.1:1";
  EXPECT_THAT(failure(job_of(http), {"features.user.column=2"}), HasSubstr("features.user.column"));
  EXPECT_THAT(failure(job_of(http), {"source.label=3 > 0"}), HasSubstr("source.label"));
  const job made = good(job_of(http, "format = \"tsv\"\nheader = false\n"));
  EXPECT_EQ(made.source.features.size(), 2U) << "how a file is written does not count";
}

TEST(LiveSection, ReadsTheGate) {
  const job made = good(job_of("http://127.0.0.1:1",
                               "[gate]\nmax_future = \"5s\"\nmax_past = \"2h\"\nneeds_id = true\n"
                               "duplicate_ids = 1000\nschema_versions = [1, 3]\n"
                               "events_per_second = 500\nbytes_per_second = \"2MB\"\n"
                               "quarantine_share = 0.25\ntoken_env = \"TOKEN\"\n"));
  EXPECT_EQ(made.gate.gate.future_ms_max, 5'000U);
  EXPECT_EQ(made.gate.gate.past_ms_max, 7'200'000U);
  EXPECT_TRUE(made.gate.gate.needs_id);
  EXPECT_EQ(made.gate.gate.duplicate_ids, 1'000U);
  EXPECT_THAT(made.gate.gate.schema_versions, ElementsAre(1, 3));
  EXPECT_EQ(made.gate.producers.events_per_second, 500U);
  EXPECT_EQ(made.gate.producers.bytes_per_second, 2'000'000U);
  EXPECT_EQ(made.gate.producers.quarantine_share, 0.25);
  EXPECT_EQ(made.gate.token_env, "TOKEN");
}

TEST(LiveSection, RefusesWhatTheGateCannotBe) {
  const auto refused = [](const std::string& line) {
    return failure(job_of("http://127.0.0.1:1", "[gate]\n" + line + "\n"));
  };
  EXPECT_THAT(refused("max_future = \"1 year\""), HasSubstr("gate.max_future"));
  EXPECT_THAT(refused("duplicate_ids = -1"), HasSubstr("gate.duplicate_ids"));
  EXPECT_THAT(refused("duplicate_ids = 3000000000"), HasSubstr("gate.duplicate_ids"));
  EXPECT_THAT(refused("schema_versions = [\"a\"]"), HasSubstr("gate.schema_versions"));
  EXPECT_THAT(refused("quarantine_share = 1.5"), HasSubstr("gate.quarantine_share"));
  EXPECT_THAT(refused("token = \"secret\""), HasSubstr("unknown key gate.token"));
  EXPECT_THAT(refused("token_env = \"A\"\ntoken_file = \"/b\""), HasSubstr("gate.token_file"));
}

TEST(LiveSection, AJobThatJoinsHasItsActionsAsLabels) {
  const job made = good(joining_job(
      "window = \"10m\"\nout_of_order = \"5s\"\ncorrect = \"1h\"\nactions = [\"click\", \"buy\"]\n"
      "negative_share = 0.5\npending_max = 5000\nseed = 7\n"
      "memory = \"1MiB\"\n"));
  ASSERT_TRUE(made.join.has_value());
  EXPECT_THAT(made.join->actions, ElementsAre("click", "buy"));
  EXPECT_EQ(made.join->how.window_ms, 600'000U);
  EXPECT_EQ(made.join->how.out_of_order_ms, 5'000U);
  EXPECT_EQ(made.join->how.correct_ms, 3'600'000U);
  EXPECT_EQ(made.join->how.actions, 2U);
  EXPECT_EQ(made.join->how.negative_share, 0.5F);
  EXPECT_EQ(made.join->how.seed, 7U);
  EXPECT_EQ(made.join->how.pending_max, 5'000U);
  EXPECT_EQ(made.join->how.memory_bytes_max, std::uint64_t{1} << 20);
  EXPECT_THAT(labels_of(made.source), ElementsAre("click", "buy"));
}

TEST(LiveSection, RefusesWhatCannotBeJoined) {
  EXPECT_THAT(failure(joining_job("actions = \"click\"\n")), HasSubstr("join.window"));
  EXPECT_THAT(failure(joining_job("window = \"0s\"\nactions = \"click\"\n")),
              HasSubstr("join.window"));
  EXPECT_THAT(failure(joining_job("window = \"1m\"\n")), HasSubstr("join.actions"));
  EXPECT_THAT(failure(joining_job("window = \"1m\"\nactions = [\"a\", \"a\"]\n")),
              HasSubstr("twice"));
  EXPECT_THAT(failure(joining_job("window = \"1m\"\nactions = \"a\"\nnegative_share = 0.0\n")),
              HasSubstr("join.negative_share"));
  EXPECT_THAT(failure(joining_job("window = \"1m\"\nactions = \"a\"\nmemory = \"1kB\"\n")),
              HasSubstr("join.memory"));
  EXPECT_THAT(
      failure(joining_job("window = \"1m\"\nactions = \"a\"\n"), {"source.label=click > 0"}),
      HasSubstr("source.label = "));
  std::string many;
  for (int a = 0; a < 65; ++a) many += "\"a" + std::to_string(a) + "\", ";
  EXPECT_THAT(failure(joining_job("window = \"1m\"\nactions = [" + many + "]\n")),
              HasSubstr("1 … 64"));
}

TEST(LiveSection, TheResolvedTextIsTheSameJobAgain) {
  for (const std::string& text :
       {job_of("http://127.0.0.1:1", "listen = \"zmq://127.0.0.1:2\"\n[gate]\nneeds_id = true\n"),
        job_of("kafka://a:1", "topics = \"t\"\n"),
        job_of("nats://a:1", "stream = \"s\"\n"),
        job_of("redis://a:1", "stream = \"s\"\n"),
        joining_job("window = \"1m\"\nactions = \"click\"\n")}) {
    const job first = good(text);
    EXPECT_EQ(good(first.text).text, first.text);
  }
}

TEST(LiveSection, AJobOfAFileKnowsNothingOfAllThis) {
  const job made = good(job_of("file:///data/clicks.csv"));
  EXPECT_EQ(made.source.arrives, arrival::file);
  EXPECT_EQ(good(job_of("generate:planted")).source.arrives, arrival::generated);
  EXPECT_THAT(made.text, Not(HasSubstr("[gate]")));
  EXPECT_THAT(made.text, Not(HasSubstr("[join]")));
  EXPECT_THAT(made.text, Not(HasSubstr("topics")));
}

TEST(LiveSection, CheckingAJobOfLiveEventsWaitsForNone) {
  const auto told = check_job(good(joining_job("window = \"1m\"\nactions = \"click\"\n")), false);
  ASSERT_TRUE(told.ok()) << describe(told.error());
  EXPECT_THAT(*told, HasSubstr("http://127.0.0.1:8081, live"));
  EXPECT_THAT(*told, HasSubstr("no token needed"));
  EXPECT_THAT(*told, HasSubstr(": click"));
  EXPECT_THAT(*told, HasSubstr("2: user, ad"));
  const auto json = check_job(good(job_of("kafka://a:1", "topics = \"t\"\n")), true);
  ASSERT_TRUE(json.ok()) << describe(json.error());
  EXPECT_THAT(*json, HasSubstr("\"live\":true"));
}

class EventTokens : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "headrace-tokens-XXXXXX";
    const int made = ::mkstemp(name.data());
    ASSERT_GE(made, 0);
    ::close(made);
    path_ = name;
    gate_.token_file = name;
  }
  void TearDown() override { fs::remove(path_); }
  void write(const std::string& text, mode_t mode = 0600) {
    std::ofstream(path_, std::ios::binary) << text;
    ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
  }
  std::string failure() const {
    const auto read = read_tokens(gate_);
    return read.ok() ? "no failure" : read.error().detail;
  }

  fs::path path_;
  gate_spec gate_;
};

TEST_F(EventTokens, AFileHasOneALineForAllOrForOneProducer) {
  write("# of the shop\n\nfor-everybody\r\nweb for-the-web\n");
  const auto read = read_tokens(gate_);
  ASSERT_TRUE(read.ok()) << describe(read.error());
  ASSERT_EQ(read->size(), 2U);
  EXPECT_EQ((*read)[0].producer, "");
  EXPECT_EQ((*read)[0].token, "for-everybody");
  EXPECT_EQ((*read)[1].producer, "web");
  EXPECT_EQ((*read)[1].token, "for-the-web");
}

TEST_F(EventTokens, RefusesAFileThatOthersMayReadAndLinesThatAreNoTokens) {
  write("long-enough\n", 0640);
  EXPECT_THAT(failure(), HasSubstr("chmod 600"));
  write("long-enough\n", 0602);
  EXPECT_THAT(failure(), HasSubstr("chmod 600"));
  for (const char* text : {"short\n", "a b c\n", " for-nobody\n", "with\ttab-in-it\n"}) {
    write(std::string("good-token\n") + text);
    EXPECT_THAT(failure(), HasSubstr("line 2")) << text;
    EXPECT_THAT(failure(), Not(HasSubstr("good-token")));
  }
  write("# nothing\n");
  EXPECT_THAT(failure(), HasSubstr("has no token"));
  gate_.token_file = "/nowhere/at/all";
  EXPECT_EQ(read_tokens(gate_).error().code, errc::not_found);
  gate_.token_file = fs::temp_directory_path();
  EXPECT_THAT(failure(), HasSubstr("is no file"));
}

TEST_F(EventTokens, AnEnvironmentVariableHoldsOneForAll) {
  gate_spec gate;
  EXPECT_TRUE(read_tokens(gate)->empty());
  gate.token_env = "HEADRACE_TEST_TOKEN";
  ::unsetenv("HEADRACE_TEST_TOKEN");
  EXPECT_THAT(read_tokens(gate).error().detail, HasSubstr("HEADRACE_TEST_TOKEN"));
  ::setenv("HEADRACE_TEST_TOKEN", "not a token", 1);
  EXPECT_THAT(read_tokens(gate).error().detail, Not(HasSubstr("not a token")));
  ::setenv("HEADRACE_TEST_TOKEN", "for-everybody", 1);
  const auto read = read_tokens(gate);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ((*read)[0].token, "for-everybody");
  ::unsetenv("HEADRACE_TEST_TOKEN");
}

}  // namespace
}  // namespace headrace::cli
