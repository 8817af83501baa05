#include "actors/http/http_text.hpp"

#include "actors/http/route_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::actors {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(HttpText, EscapesArePathBytesAndBrokenOnesAreNone) {
  EXPECT_EQ(percent_decode("/a%20b%2Fc%2f"), "/a b/c/");
  EXPECT_EQ(percent_decode("/%C3%bc"), "/\xC3\xBC");
  for (const char* bad : {"/%", "/%2", "/%zz", "/%0x", "/a%00b"}) {
    EXPECT_FALSE(percent_decode(bad).has_value()) << bad;
  }
}

TEST(HttpText, ATargetIsAPathAndItsQuery) {
  const auto plain = split_target("/v1/a%3Fb?c=%31&d");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->path, "/v1/a?b");
  EXPECT_EQ(plain->query, "c=%31&d");
  const auto absolute = split_target("HTTP://host:80/x?y");
  ASSERT_TRUE(absolute);
  EXPECT_EQ(absolute->path, "/x");
  EXPECT_EQ(absolute->query, "y");
  ASSERT_TRUE(split_target("http://host"));
  EXPECT_EQ(split_target("http://host")->path, "/");
  for (const char* bad : {"", "*", "x", "host:80", "/a#b", "/%", "http://host?x"}) {
    EXPECT_FALSE(split_target(bad).has_value()) << bad;
  }
}

TEST(HttpText, FieldsAreReadWithoutCaseAndParameters) {
  EXPECT_EQ(media_type("Application/JSON ; charset=utf-8"), "application/json");
  EXPECT_EQ(bearer_token("bEARER  abc.d="), "abc.d=");
  EXPECT_EQ(bearer_token("Basic abc"), "");
  EXPECT_EQ(bearer_token("Bearer"), "");
}

TEST(HttpText, AnAnswerSaysItsLengthEvenWhenTheBodyStaysAway) {
  http_answer answer;
  answer.body = "{}\n";
  answer.retry_after_s = 7;
  std::string out;
  append_answer(out, answer, {.head_only = true, .close = true});
  EXPECT_THAT(out, HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(out, HasSubstr("Content-Length: 3\r\n"));
  EXPECT_THAT(out, HasSubstr("Retry-After: 7\r\n"));
  EXPECT_THAT(out, HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(out.ends_with("\r\n\r\n"));
}

TEST(HttpText, AnAnswerOf204HasNeitherBodyNorLength) {
  http_answer none;
  none.status = 204;
  std::string out;
  append_answer(out, none, {});
  EXPECT_THAT(out, Not(HasSubstr("Content-")));
}

TEST(HttpText, ARefusalIsALineOfJson) {
  EXPECT_EQ(refusal_answer(404, "nothing is at /\"x\"").body,
            "{\"error\":\"nothing is at /\\\"x\\\"\"}\n");
}

TEST(HttpText, DatesAreThoseOfTheStandard) {
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
}

http_route route(const char* method, const char* path) { return {method, path, {}, 1}; }

TEST(RouteTable, TheWholePathGoesFirstThenTheLongest) {
  const route_table table(
      {route("GET", "/*"), route("GET", "/v1/*"), route("GET", "/v1/x"), route("POST", "/v1/x")});
  EXPECT_EQ(table.find("GET", "/v1/x").route->path, "/v1/x");
  EXPECT_EQ(table.find("GET", "/v1/y").route->path, "/v1/*");
  EXPECT_EQ(table.find("GET", "/z").route->path, "/*");
  EXPECT_EQ(table.find("POST", "/v1/x").route->method, "POST");
}

TEST(RouteTable, GetTakesHeadAndAMissingMethodIsToldTheOthers) {
  const route_table table({route("GET", "/a"), route("POST", "/a"), route("HEAD", "/b")});
  EXPECT_EQ(table.find("HEAD", "/a").route->method, "GET");
  EXPECT_EQ(table.find("HEAD", "/b").route->method, "HEAD");
  EXPECT_EQ(table.find("PUT", "/a").allow, "GET, HEAD, POST");
  EXPECT_EQ(table.find("PUT", "/nowhere").allow, "");
  EXPECT_TRUE(table.knows_method("DELETE"));
  EXPECT_FALSE(table.knows_method("BREW"));
}

}  // namespace
}  // namespace headrace::actors
