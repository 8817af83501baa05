#include "base/json_line.hpp"
#include "base/random.hpp"
#include "tests/integration/live_run.hpp"
#include "tests/support/test_brokers.hpp"
#include "tests/support/test_nats_client.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

/// One job file, and the same rows by each way in: the samples are the same, and those of one user
/// stand in the same order.
namespace headrace::tests {
namespace {

// What a user compares two runs by.
struct digests {
  std::string samples;
  std::string set;
  std::string order;
  std::string users;
  friend bool operator==(const digests&, const digests&) = default;
};

std::ostream& operator<<(std::ostream& out, const digests& one) {
  return out << one.samples << " samples of " << one.users << " users, set " << one.set
             << ", order " << one.order;
}

digests inspected(const std::string& state) {
  const auto said = run_program(
      {headrace_binary(), "inspect", "samples", "--state", state, "--by", "user", "--json"},
      live_patience);
  return {json_field(said.output, "samples"),
          json_field(said.output, "set"),
          json_field(said.output, "order"),
          json_field(said.output, "keys")};
}

/// A row as a line of CSV and as an event.
struct row {
  std::string user;
  std::string csv;
  std::string json;
};

std::string quoted(std::string_view text) {
  std::string made = "\"";
  for (const char c : text) made += c == '"' ? "\"\"" : std::string(1, c);
  return made + '"';
}

/// Rows with what is hard about columns: quotes, other letters, numbers in every spelling, what is
/// missing, what is no number.
class drawn_rows {
 public:
  explicit drawn_rows(std::uint64_t seed) : random_(seed) {}
  static constexpr const char* header = "time,user,item,price,seen,note,rating\n";

  row next() {
    csv_.clear();
    event_ = {};
    event_.add("id", "e" + std::to_string(count_));
    const std::uint64_t time = 1'760'000'000'000 + 1'000 * count_++;
    csv_ = std::to_string(time);
    event_.add("time", time);
    row made;
    made.user = "u" + std::to_string(random_.next_below(23));
    add_text("user", made.user);
    add_item();
    add_price();
    add_seen();
    add_note();
    add_rating();
    made.csv = csv_ + "\n";
    made.json = event_.text() + "\n";
    return made;
  }

 private:
  bool one_in(std::uint64_t n) { return random_.next_below(n) == 0; }
  template <std::size_t N>
  const char* any(const std::array<const char*, N>& of) {
    return of.at(random_.next_below(N));
  }
  // A missing column is not there, or null, or empty.
  void add_missing(const char* name) {
    csv_ += ',';
    const auto how = random_.next_below(3);
    if (how == 0) event_.add_null(name);
    if (how == 1) event_.add(name, "");
  }
  void add_text(const char* name, std::string_view text) {
    csv_ += ',' + quoted(text);
    event_.add(name, text);
  }
  void add_item() {
    if (one_in(20)) return add_missing("item");
    if (one_in(10)) return add_text("item", any(item_texts));
    const std::string digits = any(item_numbers);
    csv_ += ',' + digits;
    event_.add_raw("item", digits);
  }
  void add_price() {
    if (one_in(10)) return add_missing("price");
    const std::string number = one_in(200) ? "1e999" : any(numbers);
    csv_ += ',' + number;
    if (one_in(4)) {
      event_.add("price", " " + number);
    } else {
      event_.add_raw("price", number);
    }
  }
  void add_seen() {
    std::string joined;
    std::string json = "[";
    for (auto length = random_.next_below(6); length > 0; --length) {
      const std::string id = any(item_numbers);
      joined += (joined.empty() ? "" : " ") + id;
      json += (json.size() > 1 ? "," : "") + (one_in(2) ? id : '"' + id + '"');
    }
    csv_ += ',' + joined;
    if (one_in(3)) {
      event_.add("seen", joined);
    } else {
      event_.add_raw("seen", json + "]");
    }
  }
  void add_note() {
    if (one_in(5)) return add_missing("note");
    add_text("note", any(notes));
  }
  void add_rating() {
    if (one_in(100)) return add_text("rating", "good");
    const std::string number = any(ratings);
    csv_ += ',' + number;
    if (one_in(4)) {
      event_.add("rating", number);
    } else {
      event_.add_raw("rating", number);
    }
  }

  static constexpr std::array item_texts{"x1", "007", " i 7", "ü,\"é\"", "-"};
  static constexpr std::array item_numbers{
      "1", "2", "3", "13", "-4", "0", "9007199254740993", "9223372036854775807"};
  static constexpr std::array numbers{
      "0", "-0", "2.5", "1e3", "1E-7", "0.1", "-13", "16777217", "9007199254740993", "1e29"};
  static constexpr std::array notes{
      "new", "a, b", "say \"so\"", "日本", "two\nlines", " ends in a space ", "\\n", "😀"};
  static constexpr std::array ratings{"1", "2", "3", "4", "5", "4.0", "3.9999", "40e-1"};

  random_stream random_;
  std::uint64_t count_ = 0;
  std::string csv_;
  json_line event_;
};

class SameSamples : public testing::Test {
 protected:
  void SetUp() override {
    std::cout << "HEADRACE_SEED=" << seed_ << "\n";
    drawn_rows draw(seed_);
    for (int i = 0; i < 3'000; ++i) rows_.push_back(draw.next());
    write_job();
    const auto said = run_program(
        {headrace_binary(), "run", job_, "--state", folder_ / "file", "--json", "--speed", "max"},
        live_patience);
    ASSERT_EQ(said.status, 0) << said.errors;
    of_file_ = inspected(folder_ / "file");
    ASSERT_EQ(of_file_.samples, json_field(said.output, "samples"));
    ASSERT_GT(std::stoul(of_file_.samples), 2'500U);
    ASSERT_LT(std::stoul(of_file_.samples), 2'850U) << "some rows are bad, and some texts too long";
    ASSERT_EQ(of_file_.users, "23");
  }

  void write_job() {
    const std::string csv = folder_ / "rows.csv";
    std::ofstream out(csv);
    out << drawn_rows::header;
    for (const row& one : rows_) out << one.csv;
    job_ = folder_ / "job.toml";
    std::ofstream(job_) << "[job]\nname = \"same\"\n[server]\nlisten = \"tcp://127.0.0.1:0\"\n"
                        << "[source]\nuri = \"file://" << csv << "\"\nlabel = \"rating >= 4\"\n"
                        << "time = \"time\"\ntime_format = \"unix_ms\"\nmax_bad_rows = 1000\n"
                        << R"(
[features.user]
[features.item]
[features.price]
kind = "float"
transform = "log1p"
[features.price_class]
kind = "float"
column = "price"
transform = ["log1p", "bucket"]
bucket_width = 0.25
[features.note]
[texts.note]
chars_max = 14
[features.history]
kind = "ids"
column = "seen"
salt = "item"
max = 4
[features.user_x_class]
kind = "cross"
of = ["user", "price_class"]
[model]
arch = "din"
dim = 4
[durability]
log = "os"
)";
  }

  void start(const std::string& name, const std::vector<std::string>& set) {
    state_ = folder_ / name;
    std::vector<std::string> more;
    for (const auto& one : set) more.insert(more.end(), {"--set", "source." + one});
    run_ = std::make_unique<child_process>(live_run::arguments(job_, state_, more));
  }
  // Waits until the run has sealed what the file gave, ends it, and compares.
  void expect_the_same() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    digests sealed;
    do {
      sealed = inspected(state_);
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << sealed << "\n" << run_->errors();
      ASSERT_FALSE(run_->wait_for(std::chrono::milliseconds(20))) << run_->errors();
    } while (sealed.samples.empty() || std::stoul(sealed.samples) < std::stoul(of_file_.samples));
    run_->signal(SIGINT);
    ASSERT_EQ(run_->wait_for(live_patience), 0) << run_->errors();
    EXPECT_EQ(inspected(state_), of_file_);
  }

  const std::uint64_t seed_ = test_seed();
  temporary_folder folder_;
  std::vector<row> rows_;
  std::string job_;
  digests of_file_;
  std::string state_;
  std::unique_ptr<child_process> run_;
};

TEST_F(SameSamples, AreOrderedByAFeatureThatHasOneKey) {
  const auto by = [&](const std::string& feature) {
    return run_program({headrace_binary(),
                        "inspect",
                        "samples",
                        "--state",
                        folder_ / "file",
                        "--by",
                        feature,
                        "--json"},
                       live_patience);
  };
  EXPECT_EQ(by("usr").status, 2);
  EXPECT_NE(by("usr").errors.find("did you mean 'user'"), std::string::npos);
  EXPECT_EQ(by("history").status, 2) << "a list";
  const auto crossed = by("user_x_class");
  EXPECT_EQ(crossed.status, 0) << crossed.errors;
  EXPECT_EQ(json_field(crossed.output, "set"), of_file_.set);
  EXPECT_GT(std::stoul(json_field(crossed.output, "keys")), 23U);
  const auto nowhere = run_program(
      {headrace_binary(), "inspect", "samples", "--state", folder_ / "none"}, live_patience);
  EXPECT_EQ(nowhere.status, 1) << nowhere.errors;
}

TEST_F(SameSamples, OverHttp) {
  if (!has_curl()) GTEST_SKIP() << "no curl: ./dev setup peers";
  live_run run(job_, folder_ / "http", {"--set", "source.uri=http://127.0.0.1:0"});
  ASSERT_NE(run.url, "") << run.process.errors();
  std::string lines;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    lines += rows_[i].json;
    if (i % 500 != 499) continue;
    const auto answer = post(run.url, lines, folder_);
    EXPECT_FALSE(json_field(answer.output, "accepted").empty()) << answer.output << answer.errors;
    lines.clear();
  }
  run.interrupt();
  EXPECT_EQ(inspected(folder_ / "http"), of_file_);
}

// What is near a text depends on those before it, which a run that is killed knows again.
TEST_F(SameSamples, LeaveTheSameTextsOutWhateverIsKilled) {
  if (!has_curl()) GTEST_SKIP() << "no curl: ./dev setup peers";
  const std::vector<std::string> near{
      "--set", "texts.note.near=0", "--set", "texts.note.near_window=4"};
  std::vector<std::string> words{
      headrace_binary(), "run", job_, "--state", folder_ / "near", "--speed", "max"};
  words.insert(words.end(), near.begin(), near.end());
  ASSERT_EQ(run_program(words, live_patience).status, 0);
  const digests expected = inspected(folder_ / "near");
  ASSERT_LT(std::stoul(expected.samples), 2'000U) << "most were there a moment ago";
  ASSERT_GT(std::stoul(expected.samples), 500U);
  std::vector<std::string> lines;  // ten events each: no push has only what is refused
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    if (i % 10 == 0) lines.emplace_back();
    lines.back() += rows_[i].json;
  }
  auto more = near;
  more.insert(more.end(), {"--set", "source.uri=http://127.0.0.1:0"});
  random_stream random(seed_);
  push_under_fire(job_, folder_ / "killed", {lines, 6, 40, "run", more}, random);
  EXPECT_EQ(inspected(folder_ / "killed"), expected);
}

TEST_F(SameSamples, FromKafka) {
  const std::string kcat = find_server("kcat");
  if (kcat.empty()) GTEST_SKIP() << "no kcat: ./dev setup peers";
  mock_kafka kafka;
  kafka.tell("topic clicks 3");
  const std::string file = folder_ / "messages";
  std::ofstream out(file);
  for (const row& one : rows_) out << one.user << '\t' << one.json;
  out.close();
  const auto sent =
      run_program({kcat, "-P", "-b", kafka.bootstraps(), "-t", "clicks", "-K", "\t", "-l", file},
                  live_patience);
  ASSERT_EQ(sent.status, 0) << sent.errors;
  start("kafka", {"uri=kafka://" + kafka.bootstraps(), "topics=clicks"});
  expect_the_same();
}

TEST_F(SameSamples, FromJetStream) {
  if (find_server("nats-server").empty()) GTEST_SKIP() << "nats-server is not installed";
  nats_server server;
  server.start();
  nats_client client(server.url());
  client.make_stream("CLICKS", {"clicks.>"});
  for (const row& one : rows_) client.publish("clicks." + one.user, one.json);
  start("jetstream", {"uri=" + server.url(), "stream=CLICKS"});
  expect_the_same();
}

// The file's samples, kept by a broker; the run is killed on the way, and so is the server.
TEST_F(SameSamples, KeptByJetStream) {
  if (find_server("nats-server").empty()) GTEST_SKIP() << "nats-server is not installed";
  nats_server server;
  server.start();
  const std::string state = folder_ / "kept";
  std::vector<std::string> words{headrace_binary(), "run", job_, "--state", state, "--json"};
  for (const std::string& one : {std::string("samples.engine=jetstream"),
                                 "samples.url=" + server.url(),
                                 std::string("samples.stream=SAME"),
                                 std::string("train.batch_max=16")})
    words.insert(words.end(), {"--set", one});
  auto paced = words;
  paced.insert(paced.end(), {"--set", "source.duration=60s"});
  {
    child_process run(paced);
    nats_client client(server.url());
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (client.messages("SAME") < 5) {
      ASSERT_FALSE(run.wait_for(std::chrono::milliseconds(10))) << run.errors();
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << run.errors();
    }
    server.kill();
    server.start();
    nats_client again(server.url());
    const auto before = again.messages("SAME");
    EXPECT_GE(before, 5U);
    while (again.messages("SAME") < before + 5) {
      ASSERT_FALSE(run.wait_for(std::chrono::milliseconds(10))) << run.errors();
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << run.errors();
    }
    run.signal(SIGKILL);
  }
  words.insert(words.end(), {"--speed", "max"});
  const auto said = run_program(words, live_patience);
  ASSERT_EQ(said.status, 0) << said.errors;
  EXPECT_EQ(inspected(state), of_file_);
  EXPECT_TRUE(std::filesystem::is_empty(state + "/samples"));
  const auto whole = run_program(
      {headrace_binary(), "inspect", "digest", "--state", state, "--json"}, live_patience);
  EXPECT_EQ(whole.status, 0) << whole.output << whole.errors;
  EXPECT_EQ(json_field(whole.output, "sealed"), json_field(whole.output, "batches"));

  // Another job has no business there.
  auto other = words;
  other[4] = folder_ / "other";
  other.insert(other.end(), {"--set", "job.name=other"});
  const auto refused = run_program(other, live_patience);
  EXPECT_NE(refused.status, 0);
  EXPECT_NE(refused.errors.find("has the samples of 'same/"), std::string::npos) << refused.errors;
}

// A job that kept its samples in its folder goes on in a stream.
TEST_F(SameSamples, MoveIntoAStream) {
  if (find_server("nats-server").empty()) GTEST_SKIP() << "nats-server is not installed";
  nats_server server;
  server.start();
  const auto said = run_program({headrace_binary(),
                                 "run",
                                 job_,
                                 "--state",
                                 folder_ / "file",
                                 "--json",
                                 "--set",
                                 "samples.engine=jetstream",
                                 "--set",
                                 "samples.url=" + server.url(),
                                 "--set",
                                 "samples.stream=SAME"},
                                live_patience);
  ASSERT_EQ(said.status, 0) << said.errors;
  EXPECT_EQ(json_field(said.output, "samples"), of_file_.samples) << said.output;
  std::filesystem::remove_all(folder_ / "file/samples");
  EXPECT_EQ(inspected(folder_ / "file"), of_file_);
}

// The user decides the stream, as the key does the partition in Kafka.
TEST_F(SameSamples, FromRedisStreams) {
  const std::string client = find_server("redis-cli");
  if (client.empty() || find_server("redis-server").empty())
    GTEST_SKIP() << "redis-server and redis-cli are not installed";
  redis_server server;
  server.start();
  const std::string socket = server.endpoint().substr(server.endpoint().find('/'));
  const std::string file = folder_ / "commands";
  std::ofstream out(file);
  const auto word = [&](const std::string& text) {
    out << '$' << text.size() << "\r\n" << text << "\r\n";
  };
  for (const row& one : rows_) {
    out << "*5\r\n";
    for (const std::string& text : {std::string("XADD"),
                                    std::string("clicks") + one.user.back(),
                                    std::string("*"),
                                    std::string("value"),
                                    one.json})
      word(text);
  }
  out.close();
  const auto sent =
      run_program({"/bin/sh", "-c", client + " -s " + socket + " --pipe < " + file}, live_patience);
  ASSERT_EQ(sent.status, 0) << sent.output << sent.errors;
  std::string streams = "[";
  for (char digit = '0'; digit <= '9'; ++digit) streams += std::string("\"clicks") + digit + "\",";
  start("redis", {"uri=redis://" + socket, "stream=" + streams + "]"});
  expect_the_same();
}

}  // namespace
}  // namespace headrace::tests
