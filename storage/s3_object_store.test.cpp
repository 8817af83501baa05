#include "storage/s3_object_store.hpp"

#include "base/sha256.hpp"
#include "storage/test_s3_server.hpp"

#include <gtest/gtest.h>

namespace headrace::storage {
namespace {

namespace fs = std::filesystem;

#define START_OR_SKIP(server, ...)                  \
  auto server = s3_test_server::start(__VA_ARGS__); \
  if (!server) GTEST_SKIP() << "python3 does not start tests/support/s3_server.py"

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

bool mentions(const error& failure, const std::string& what) {
  return failure.detail.find(what) != std::string::npos;
}

// What an operation that must fail says; the secret never.
template <class Value>
error failure_of(const result<Value>& outcome) {
  if (outcome.ok()) {
    ADD_FAILURE() << "it did not fail";
    return {};
  }
  EXPECT_FALSE(mentions(outcome.error(), s3_test_server::secret)) << outcome.error().detail;
  EXPECT_EQ(outcome.error().detail.find('\n'), std::string::npos) << outcome.error().detail;
  return outcome.error();
}

TEST(S3ObjectStore, GivesBackWhatWasPutListsInPagesAndRemoves) {
  START_OR_SKIP(server, {"--page", "2"});
  s3_object_store store(server->settings());
  std::vector<object_entry> all;
  for (const char* name : {"a", "objects/#1", "objects/a%20b+c", "objects/d", "objects/e"}) {
    ASSERT_TRUE(store.put(name, std::string_view(name)).ok()) << name;
    EXPECT_EQ(text_of(*store.get(name)), name);
    all.push_back({name, std::string_view(name).size()});
  }
  ASSERT_TRUE(store.put("objects/e", std::string_view()).ok());
  all.back().bytes = 0;
  EXPECT_TRUE(store.get("objects/e")->empty());
  const auto listed = store.list("");
  ASSERT_TRUE(listed.ok()) << describe(listed.error());
  EXPECT_EQ(*listed, all) << "three pages";
  EXPECT_EQ(*store.list("objects/"), std::vector<object_entry>(all.begin() + 1, all.end()));
  EXPECT_TRUE(store.list("none/")->empty());
  EXPECT_TRUE(*store.exists("a"));
  EXPECT_TRUE(store.remove("a").ok());
  EXPECT_TRUE(store.remove("a").ok());
  EXPECT_FALSE(*store.exists("a"));
  EXPECT_EQ(failure_of(store.get("a")).code, errc::not_found);
  EXPECT_EQ(store.uri(), "s3://ckpt/a job");
}

TEST(S3ObjectStore, StreamsFilesBothWays) {
  START_OR_SKIP(server);
  temporary_folder folder;
  s3_object_store store(server->settings());
  std::string contents;
  for (std::size_t i = 0; i < 5'000'003; ++i) contents += static_cast<char>(i * 31 >> 3);
  for (const std::string& bytes : {contents, std::string()}) {
    write_file(folder.path() / "from", bytes);
    ASSERT_TRUE(store.put_file("file", folder.path() / "from", sha256_hex(bytes)).ok());
    const auto got = store.get_to("file", folder.path() / "to");
    ASSERT_TRUE(got.ok()) << describe(got.error());
    EXPECT_EQ(*got, sha256_hex(bytes));
    EXPECT_EQ(*read_text(folder.path() / "to"), bytes);
  }
}

TEST(S3ObjectStore, TheServerRefusesBytesThatDoNotHaveTheSignedHash) {
  START_OR_SKIP(server);
  temporary_folder folder;
  s3_object_store store(server->settings());
  write_file(folder.path() / "from", std::string(100'000, 'x'));
  const auto failure =
      failure_of(store.put_file("file", folder.path() / "from", sha256_hex("something else")));
  EXPECT_EQ(failure.code, errc::corrupt) << failure.detail;
  EXPECT_FALSE(*store.exists("file"));
}

TEST(S3ObjectStore, BytesOrHeadersThatChangedInTheBucketAreCorrupt) {
  START_OR_SKIP(server);
  temporary_folder folder;
  s3_object_store store(server->settings());
  ASSERT_TRUE(store.put("name", std::string_view("some contents")).ok());
  const fs::path data = server->data() / "a%20job%2Fname";
  const fs::path meta = server->meta() / "a%20job%2Fname";
  const auto refused = [&] {
    for (const auto& failure :
         {failure_of(store.get("name")), failure_of(store.get_to("name", folder.path() / "to"))}) {
      EXPECT_EQ(failure.code, errc::corrupt) << failure.detail;
      EXPECT_TRUE(mentions(failure, "'name' of s3://ckpt/a job")) << failure.detail;
    }
    EXPECT_TRUE(fs::is_empty(folder.path()));
  };
  const std::string good_meta = *read_text(meta);
  write_file(data, "some dontents");
  refused();
  write_file(data, "some content");
  refused();
  write_file(data, "some contents");
  write_file(meta, "{}");
  refused();
  write_file(meta, good_meta);
  EXPECT_TRUE(store.get("name").ok());
}

TEST(S3ObjectStore, AWrongKeyClockRegionTokenOrBucketIsSaidSo) {
  START_OR_SKIP(server);
  const auto with = [&](auto&& change) {
    auto settings = server->settings();
    change(settings);
    s3_object_store store(settings);
    const auto failure = failure_of(store.put("name", std::string_view("x")));
    EXPECT_EQ(server->take_requests().size(), 1U) << "not tried again: " << failure.detail;
    return failure;
  };
  auto failure = with([](auto& how) { how.credentials.secret_access_key.back() = 'X'; });
  EXPECT_EQ(failure.code, errc::bad_config);
  EXPECT_TRUE(mentions(failure, "403 SignatureDoesNotMatch")) << failure.detail;
  failure = with([](auto& how) { how.credentials.access_key_id = "AKIASOMEBODYELSE"; });
  EXPECT_TRUE(mentions(failure, "403 InvalidAccessKeyId")) << failure.detail;
  failure = with([](auto& how) { how.credentials.region = "eu-central-1"; });
  EXPECT_TRUE(mentions(failure, "AWS_REGION")) << failure.detail;
  failure = with([](auto& how) { how.credentials.session_token = "an old one"; });
  EXPECT_TRUE(mentions(failure, "AWS_SESSION_TOKEN")) << failure.detail;
  failure = with([](auto& how) { how.bucket = "other"; });
  EXPECT_EQ(failure.code, errc::not_found);
  EXPECT_TRUE(mentions(failure, "create the bucket 'other'")) << failure.detail;
  server->fail_next("denied");
  failure = with([](auto&) {});
  EXPECT_EQ(failure.code, errc::bad_config);
  EXPECT_TRUE(mentions(failure, "403 AccessDenied")) << failure.detail;
  server->fail_next("redirect");
  failure = with([](auto&) {});
  EXPECT_EQ(failure.code, errc::bad_config);
  EXPECT_TRUE(mentions(failure, "AWS_REGION=eu-central-1")) << failure.detail;
}

TEST(S3ObjectStore, AClockThatIsOffIsSaidSoAndASessionTokenIsSigned) {
  START_OR_SKIP(late, {"--clock-offset", "1000"});
  s3_object_store store(late->settings());
  const auto failure = failure_of(store.put("name", std::string_view("x")));
  EXPECT_EQ(failure.code, errc::bad_config);
  EXPECT_TRUE(mentions(failure, "RequestTimeTooSkewed")) << failure.detail;
  EXPECT_TRUE(mentions(failure, "set this machine's clock")) << failure.detail;

  START_OR_SKIP(server, {}, "a/session+token==");
  auto settings = server->settings();
  settings.credentials.session_token = "a/session+token==";
  EXPECT_TRUE(s3_object_store(settings).put("name", std::string_view("x")).ok());
}

TEST(S3ObjectStore, WhatMayPassIsTriedAgainAndNotForEver) {
  START_OR_SKIP(server);
  temporary_folder folder;
  s3_object_store store(server->settings());
  write_file(folder.path() / "from", "contents");
  const auto sha256 = sha256_hex("contents");
  for (const char* faults : {"503 500", "slow-down", "429", "drop", "drop 503"}) {
    server->fail_next(faults);
    const auto put = store.put_file("name", folder.path() / "from", sha256);
    EXPECT_TRUE(put.ok()) << faults << ": " << describe(put.error());
    server->fail_next(faults);
    EXPECT_EQ(store.get_to("name", folder.path() / "to").ok(), true) << faults;
    EXPECT_EQ(*read_text(folder.path() / "to"), "contents");
    server->fail_next(faults);
    EXPECT_EQ(store.list("")->size(), 1U) << faults;
  }
  for (const char* faults : {"503 503 503", "drop drop drop"}) {
    server->fail_next(faults);
    EXPECT_EQ(failure_of(store.put("name", std::string_view("x"))).code, errc::unavailable);
  }
  server->fail_next("stall");
  EXPECT_TRUE(store.get("name").ok());
  server->fail_next("stall");
  auto settings = server->settings();
  settings.attempts = 1;
  const auto stalled = failure_of(s3_object_store(settings).get("name"));
  EXPECT_EQ(stalled.code, errc::timeout) << stalled.detail;
}

TEST(S3ObjectStore, AnAnswerCutShortIsReadAgainFromTheBeginning) {
  START_OR_SKIP(server);
  temporary_folder folder;
  s3_object_store store(server->settings());
  const std::string contents(3'000'000, 'c');
  ASSERT_TRUE(store.put("name", contents).ok());
  server->fail_next("short short");
  const auto got = store.get_to("name", folder.path() / "to");
  ASSERT_TRUE(got.ok()) << describe(got.error());
  EXPECT_EQ(*read_text(folder.path() / "to"), contents);
  server->fail_next("short short short");
  EXPECT_EQ(failure_of(store.get_to("name", folder.path() / "more")).code, errc::unavailable);
  EXPECT_FALSE(fs::exists(folder.path() / "more"));
}

TEST(S3ObjectStore, AnAnswerThatIsNotS3sIsAnError) {
  START_OR_SKIP(server);
  s3_object_store store(server->settings());
  ASSERT_TRUE(store.put("name", std::string_view("x")).ok());
  server->fail_next("garbage");
  EXPECT_EQ(failure_of(store.list("")).code, errc::io_error);
  server->fail_next("garbage");
  EXPECT_EQ(failure_of(store.get("name")).code, errc::corrupt);
}

TEST(S3ObjectStore, NoServerIsUnavailable) {
  s3_settings settings;
  settings.bucket = "ckpt";
  settings.endpoint = "http://127.0.0.1:1";
  settings.credentials = {"key", s3_test_server::secret, "", "us-east-1"};
  settings.attempts = 2;
  settings.backoff = std::chrono::milliseconds(1);
  const auto failure = failure_of(s3_object_store(settings).list(""));
  EXPECT_EQ(failure.code, errc::unavailable) << failure.detail;
}

// Sets a variable and puts back what it was.
class variable {
 public:
  variable(const char* name, const std::string& value) : name_(name) {
    if (const char* was = std::getenv(name)) was_ = was;
    ::setenv(name, value.c_str(), 1);
  }
  variable(const variable&) = delete;
  variable& operator=(const variable&) = delete;
  ~variable() {
    if (was_) {
      ::setenv(name_, was_->c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }

 private:
  const char* name_;
  std::optional<std::string> was_;
};

TEST(S3ObjectStore, TakesItsSettingsFromUriAndEnvironment) {
  START_OR_SKIP(server);
  const variable endpoint("HEADRACE_S3_ENDPOINT", server->endpoint() + "/");
  const variable region("AWS_REGION", "");
  const variable token("AWS_SESSION_TOKEN", "");
  const variable key("AWS_ACCESS_KEY_ID", s3_test_server::key);
  {
    const variable none("AWS_SECRET_ACCESS_KEY", "");
    const auto failure = failure_of(open_object_store("s3://ckpt/models/ctr"));
    EXPECT_EQ(failure.code, errc::bad_config);
    EXPECT_TRUE(mentions(failure, "AWS_SECRET_ACCESS_KEY")) << failure.detail;
  }
  const variable secret("AWS_SECRET_ACCESS_KEY", s3_test_server::secret);
  auto store = open_object_store("s3://ckpt/models/ctr/");
  ASSERT_TRUE(store.ok()) << describe(store.error());
  EXPECT_EQ((*store)->uri(), "s3://ckpt/models/ctr");
  ASSERT_TRUE((*store)->put("name", std::string_view("x")).ok());
  EXPECT_TRUE(fs::exists(server->data() / "models%2Fctr%2Fname"));
  auto whole = open_object_store("s3://ckpt");
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(*(*whole)->list("models/"), (std::vector<object_entry>{{"models/ctr/name", 1}}));

  for (const char* uri : {"s3://", "s3:///x", "s3://UPPER/x", "s3://ckpt/../x", "s3://a b/x"})
    EXPECT_EQ(failure_of(open_object_store(uri)).code, errc::bad_config) << uri;
  for (const char* bad : {"127.0.0.1:9000", "ftp://x", "http://x/path", "http://user@x"}) {
    const variable wrong("HEADRACE_S3_ENDPOINT", bad);
    EXPECT_EQ(failure_of(open_object_store("s3://ckpt/x")).code, errc::bad_config) << bad;
  }
  const variable split("AWS_SESSION_TOKEN", "a\r\nx-amz-acl: public-read");
  EXPECT_EQ(failure_of(open_object_store("s3://ckpt/x")).code, errc::bad_config);
}

}  // namespace
}  // namespace headrace::storage
