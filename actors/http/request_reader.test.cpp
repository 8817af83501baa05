#include "actors/http/request_reader.hpp"

#include "actors/http/test_http_client.hpp"
#include "base/random.hpp"
#include "tests/support/child_process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace headrace::actors {
namespace {

using stage = request_reader::stage;
using testing::HasSubstr;

constexpr std::size_t header_bytes_max = 1'024;

class RequestReader : public testing::Test {
 protected:
  // Gives `bytes` in pieces, as a connection does, and says what came of it.
  struct outcome {
    std::vector<whole_request> requests;
    std::vector<refused_request> refusals;
  };
  outcome read(std::string_view bytes, std::size_t piece) {
    request_reader reader(routes_, room_, header_bytes_max, "127.0.0.1:9");
    outcome out;
    std::string held;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      held += bytes.substr(at, piece);
      for (;;) {
        held.erase(0, reader.take(held));
        if (reader.at() == stage::whole) {
          out.requests.push_back(reader.take_request());
          room_.give(out.requests.back().request.body.size());
        } else if (reader.at() == stage::refused) {
          out.refusals.push_back(reader.take_refusal());
          if (out.refusals.back().close) return out;
        } else {
          break;
        }
      }
    }
    return out;
  }
  unsigned refusal(const std::string& bytes) {
    const auto out = read(bytes, bytes.size());
    EXPECT_EQ(out.refusals.size(), 1U) << bytes;
    EXPECT_EQ(room_.used(), 0U);
    if (out.refusals.empty()) return 0;
    EXPECT_FALSE(out.refusals[0].why.empty());
    why_ = out.refusals[0].why;
    return out.refusals[0].status;
  }

  route_table routes_{{{"GET", "/", {}, 10}, {"POST", "/in", {}, 100}, {"PUT", "/in", {}, 1'000}}};
  byte_room room_{600};
  std::string why_;
};

TEST_F(RequestReader, AnyPiecesGiveTheSameRequests) {
  const std::string body = "0123456789abcdef";
  const std::string text =
      get("/?q=1", "Content-Type: Text/Plain; x=y\r\nX-Headrace-Producer: p1\r\n") + "\r\n" +
      post("/in", body, "Authorization: Bearer t0\r\nContent-Encoding: GZIP\r\n") +
      post_in_chunks("/in", body, 5) + get("/");
  for (std::size_t piece = 1; piece <= text.size(); piece += piece < 40 ? 1 : 37) {
    const auto out = read(text, piece);
    ASSERT_EQ(out.requests.size(), 4U) << "piece " << piece;
    EXPECT_TRUE(out.refusals.empty());
    EXPECT_EQ(out.requests[0].request.query, "q=1");
    EXPECT_EQ(out.requests[0].request.content_type, "text/plain");
    EXPECT_EQ(out.requests[0].request.field("x-headrace-producer"), "p1");
    EXPECT_EQ(out.requests[1].request.bearer, "t0");
    EXPECT_EQ(out.requests[1].request.content_encoding, "gzip");
    EXPECT_EQ(out.requests[1].request.body, body);
    EXPECT_EQ(out.requests[2].request.body, body);
    EXPECT_EQ(out.requests[3].request.peer, "127.0.0.1:9");
    EXPECT_EQ(room_.used(), 0U);
  }
}

TEST_F(RequestReader, TheRouteDecidesBeforeTheBodyComes) {
  const std::string head = "POST /in HTTP/1.1\r\nHost: h\r\nContent-Length: ";
  EXPECT_EQ(refusal(head + "101\r\n\r\n"), 413U);
  EXPECT_THAT(why_, HasSubstr("100 bytes"));
  EXPECT_EQ(refusal("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"), 404U);
  EXPECT_EQ(refusal("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"), 405U);
  EXPECT_EQ(refusal("BREW /in HTTP/1.1\r\nHost: h\r\n\r\n"), 501U);
  EXPECT_EQ(refusal("PUT /in HTTP/1.1\r\nHost: h\r\nContent-Length: 601\r\n\r\n"), 503U);
}

TEST_F(RequestReader, ARefusalWithoutBodyKeepsTheConnection) {
  const auto out = read(get("/x") + get("/"), 7);
  ASSERT_EQ(out.refusals.size(), 1U);
  EXPECT_FALSE(out.refusals[0].close);
  EXPECT_EQ(out.requests.size(), 1U);
}

TEST_F(RequestReader, ChunksBeyondTheBoundAreRefusedWhileTheyCome) {
  EXPECT_EQ(read(post_in_chunks("/in", std::string(100, 'x'), 9), 11).requests.size(), 1U);
  EXPECT_EQ(refusal(post_in_chunks("/in", std::string(101, 'x'), 9)), 413U);
  const auto put = [](std::size_t bytes) {
    auto text = post_in_chunks("/in", std::string(bytes, 'x'), 9);
    return text.replace(0, 4, "PUT");
  };
  EXPECT_EQ(read(put(600), 1'000).requests.size(), 1U);
  EXPECT_EQ(refusal(put(601)), 503U);
}

TEST_F(RequestReader, WhatLeavesTheBodysEndInDoubtIsRefused) {
  const std::string head = "POST /in HTTP/1.1\r\nHost: h\r\n";
  EXPECT_EQ(refusal(head + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"), 400U);
  EXPECT_EQ(refusal(head + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            400U);
  EXPECT_EQ(refusal(head + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
            400U);
  EXPECT_EQ(refusal(head + "Transfer-Encoding: gzip\r\n\r\n"), 501U);
  EXPECT_EQ(refusal(head + "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501U);
  EXPECT_EQ(refusal("POST /in HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 501U);
  EXPECT_EQ(refusal(head + "Content-Length: -3\r\n\r\n"), 400U);
  EXPECT_EQ(refusal(head + "Content-Length: 99999999999999999999\r\n\r\n"), 400U);
  EXPECT_EQ(refusal(head + "Transfer-Encoding: chunked\r\n\r\nzzz\r\n"), 400U);
  EXPECT_EQ(refusal(head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n"), 400U);
}

// Beast, told only a part of the end, ends the process in builds with assertions.
TEST_F(RequestReader, TakesAnEmptyChunkedBodyByteByByte) {
  const std::string bytes =
      "POST /in HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    const auto out = read(bytes, piece);
    ASSERT_EQ(out.requests.size(), 1U) << "pieces of " << piece;
    EXPECT_EQ(out.requests[0].request.body, "");
    EXPECT_TRUE(out.refusals.empty());
  }
}

TEST_F(RequestReader, HeadersAreBounded) {
  const std::string line = "GET / HTTP/1.1\r\nHost: h\r\n";
  EXPECT_EQ(refusal(line + "X: " + std::string(header_bytes_max, 'x')), 431U);
  std::string many = line;
  for (int i = 0; i < 200; ++i) many += "X-" + std::to_string(i) + ": 1\r\n";
  EXPECT_EQ(refusal(many), 431U) << "many small fields count together";
  const auto slowly = read(many, 5);
  ASSERT_EQ(slowly.refusals.size(), 1U);
  EXPECT_EQ(slowly.refusals[0].status, 431U);
  EXPECT_EQ(refusal("GET /" + std::string(2 * header_bytes_max, 'x')), 414U);
  EXPECT_EQ(refusal("POST /in HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;" +
                    std::string(2 * header_bytes_max, 'x')),
            400U);
}

TEST_F(RequestReader, WhatIsNoRequestIsRefused) {
  for (const char* bad : {"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\r\n\r\n",
                          "GET\r\n\r\n",
                          "GET / HTTP/1.1\r\nHost h\r\n\r\n",
                          "GET / HTTP/1.1\r\n\r\n",
                          "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                          "GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n",
                          "GET /%0 HTTP/1.1\r\nHost: h\r\n\r\n"}) {
    EXPECT_EQ(refusal(bad), 400U) << bad;
  }
  EXPECT_EQ(refusal("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 505U);
  EXPECT_EQ(refusal(get("/", "Expect: tea\r\n")), 417U);
}

TEST_F(RequestReader, OneVersionBackMeansOneRequestAConnectionUnlessItIsSaid) {
  const auto once = read("GET / HTTP/1.0\r\n\r\n", 100);
  ASSERT_EQ(once.requests.size(), 1U);
  EXPECT_TRUE(once.requests[0].close);
  const auto kept = read("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 100);
  ASSERT_EQ(kept.requests.size(), 1U);
  EXPECT_FALSE(kept.requests[0].close);
  EXPECT_TRUE(kept.requests[0].version_1_0);
}

TEST_F(RequestReader, WhoExpectsToBeAskedIsAskedOnce) {
  request_reader reader(routes_, room_, header_bytes_max, "");
  const std::string head =
      "POST /in HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
  EXPECT_EQ(reader.take(head), head.size());
  EXPECT_TRUE(reader.wants_continue());
  EXPECT_FALSE(reader.wants_continue());
  EXPECT_EQ(reader.body_left(), 3U);
  EXPECT_EQ(reader.take("abc"), 3U);
  ASSERT_EQ(reader.at(), stage::whole);
  EXPECT_EQ(reader.take_request().request.body, "abc");
}

TEST_F(RequestReader, TrailersAreNoHeader) {
  const auto out = read(
      "POST /in HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
      "Authorization: Bearer stolen\r\n\r\n",
      9);
  ASSERT_EQ(out.requests.size(), 1U);
  EXPECT_EQ(out.requests[0].request.bearer, "");
}

TEST_F(RequestReader, DamagedBytesNeverLeaveBytesTaken) {
  const auto seed = tests::test_seed();
  random_stream draw(seed);
  const std::string good = post("/in", "0123456789") + post_in_chunks("/in", "abcdefghij", 3) +
                           get("/") + get("/nowhere");
  for (int round = 0; round < 4'000; ++round) {
    std::string bad = good;
    for (std::uint64_t i = draw.next_below(6); i-- > 0;) {
      bad[draw.next_below(bad.size())] = static_cast<char>(draw.next_below(256));
    }
    (void)read(bad, 1 + draw.next_below(bad.size()));
    ASSERT_EQ(room_.used(), 0U) << "seed " << seed << " round " << round;
  }
}

}  // namespace
}  // namespace headrace::actors
