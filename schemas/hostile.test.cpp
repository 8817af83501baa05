#include "schemas/control.capnp.h"
#include "schemas/envelope.capnp.h"
#include "schemas/example_messages.hpp"
#include "schemas/follow.capnp.h"
#include "schemas/pull.capnp.h"
#include "schemas/push.capnp.h"
#include "schemas/sample.capnp.h"
#include "schemas/samples.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

// What a peer that is broken, old, new or hostile can send: every frame ends in a value or a named
// error.
namespace headrace::schemas {
namespace {

using ::testing::HasSubstr;

frame frame_of(capnp::MessageBuilder& message) {
  const auto words = capnp::messageToFlatArray(message);
  return frame::copy_of(std::as_bytes(std::span(words.begin(), words.size())));
}

/// A message as Cap'n Proto itself would send it.
template <class Root, class Fill>
frame crafted(Fill fill) {
  capnp::MallocMessageBuilder message(1 << 17);  // words, so that one segment is enough
  auto root = message.initRoot<Root>();
  root.setProtocol(protocol_version);
  fill(root);
  return frame_of(message);
}

template <class Value>
void expect_refused(const result<Value>& got, errc code, const std::string& why) {
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, code) << describe(got.error());
  EXPECT_THAT(got.error().detail, HasSubstr(why));
}

/// One more touch of every byte a decoded value points to: a sanitizer sees where that is.
template <class Value>
std::size_t touch(std::span<const Value> values) {
  const auto bytes = std::as_bytes(values);
  return std::accumulate(
      bytes.begin(), bytes.end(), std::size_t{0}, [](std::size_t sum, std::byte b) {
        return sum + static_cast<std::size_t>(b);
      });
}

/// A value or a named error; a value must be one that we could have sent.
template <class Decode>
void must_survive(const frame& bytes, Decode decode) {
  const auto got = decode(bytes);
  if (!got.ok()) {
    const errc code = got.error().code;
    EXPECT_TRUE(code == errc::malformed || code == errc::too_large || code == errc::bad_protocol ||
                code == errc::corrupt)
        << describe(got.error());
    EXPECT_FALSE(got.error().detail.empty());
    return;
  }
  const frame again = encode(*got);
  EXPECT_NE(touch(again.bytes()), 0U);
  const auto back = decode(again);
  ASSERT_TRUE(back.ok()) << describe(back.error());
  EXPECT_TRUE(example::same(*got, *back));
}

TEST(Hostile, EveryTruncationIsRefused) {
  example::maker from(21);
  for (int round = 0; round < 3; ++round) {
    example::each_kind(from, [](const char* name, const auto& message, auto decode) {
      SCOPED_TRACE(name);
      const frame whole = encode(message);
      for (std::size_t size = 0; size < whole.size(); ++size) {
        const auto got = decode(frame::copy_of(whole.bytes().first(size)));
        ASSERT_FALSE(got.ok()) << size << " of " << whole.size() << " bytes";
        EXPECT_EQ(got.error().code, errc::malformed);
      }
      std::vector<std::byte> longer(whole.bytes().begin(), whole.bytes().end());
      longer.resize(longer.size() + 8);
      EXPECT_FALSE(decode(frame::copy_of(longer)).ok()) << "a rest behind the message";
    });
  }
}

TEST(Hostile, FlippedBytesEndInAValueOrANamedError) {
  constexpr std::uint64_t seed = 2'024;
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_stream draw(seed);
  example::maker from(seed);
  for (int round = 0; round < 4; ++round) {
    example::each_kind(from, [&](const char* name, const auto& message, auto decode) {
      SCOPED_TRACE(name);
      const frame whole = encode(message);
      // Most of a message is bulk, which nothing here reads: half of the flips go into the first
      // words.
      const std::size_t head = std::min<std::size_t>(whole.size(), 160);
      for (int flip = 0; flip < 500; ++flip) {
        std::vector<std::byte> bytes(whole.bytes().begin(), whole.bytes().end());
        for (std::uint64_t n = 1 + draw.next_below(3); n > 0; --n) {
          const std::size_t at = draw.next_below(draw.next_below(2) == 0 ? head : bytes.size());
          bytes[at] = static_cast<std::byte>(draw.next());
        }
        must_survive(frame::copy_of(bytes), decode);
      }
    });
  }
}

TEST(Hostile, AMessageReadAsAnotherKindSurvives) {
  example::maker from(5);
  example::each_kind(from, [&](const char* sent, const auto& message, auto) {
    const frame bytes = encode(message);
    example::maker other(6);
    example::each_kind(other, [&](const char* read, const auto&, auto decode) {
      SCOPED_TRACE(std::string(sent) + " read as " + read);
      must_survive(bytes, decode);
    });
  });
}

TEST(Hostile, AnEmptyFrameIsMalformed) {
  expect_refused(decode_push({}), errc::malformed, "0 bytes");
}

TEST(Hostile, AFrameAboveTheLimitIsTooLarge) {
  const std::size_t size = frame_bytes_max + 8;
  const std::shared_ptr<std::uint64_t[]> memory(new std::uint64_t[size / 8]);
  const std::span<const std::uint64_t> words(memory.get(), size / 8);
  expect_refused(
      decode_push(frame::sharing(std::as_bytes(words), memory)), errc::too_large, "67108864");
}

TEST(Hostile, SeveralSegmentsAreRefused) {
  capnp::MallocMessageBuilder message(4, capnp::AllocationStrategy::FIXED_SIZE);
  auto root = message.initRoot<wire::PushSection>();
  root.setProtocol(protocol_version);
  root.initSource().setName("stream");
  ASSERT_GT(message.getSegmentsForOutput().size(), 1U);
  expect_refused(decode_push(frame_of(message)), errc::malformed, "one segment");
}

TEST(Hostile, AnotherProtocolIsRefusedWithBothVersions) {
  const auto with = [](auto fill) { return fill; };
  const auto push = crafted<wire::PushSection>(with([](auto root) { root.setProtocol(9); }));
  expect_refused(decode_push(push), errc::bad_protocol, "protocol 9, this build 1 to 1");
  const auto none = crafted<wire::SampleBatch>(with([](auto root) { root.setProtocol(0); }));
  expect_refused(decode_sample_batch(none), errc::bad_protocol, "protocol 0");
  envelope head;
  head.protocol = 2;
  head.kind = message_kind::pull;
  expect_refused(
      decode_envelope(encode(head)), errc::bad_protocol, "protocol 2, this build 1 to 1");
}

TEST(Hostile, AHelloOfAnyVersionIsReadSoThatItCanBeAnswered) {
  envelope head;
  head.protocol = 77;
  head.kind = message_kind::hello;
  EXPECT_EQ(decode_envelope(encode(head))->protocol, 77);
  const hello greeting{77, 70, 1, "w"};
  EXPECT_EQ(*decode_hello(encode(greeting)), greeting);
}

TEST(Hostile, UnknownAndReservedKindsAreTold) {
  const auto kind = [](std::uint16_t number) {
    return decode_envelope(crafted<wire::Envelope>([&](auto root) { root.setKind(number); }));
  };
  expect_refused(kind(0), errc::malformed, "kind 0 is not known");
  EXPECT_EQ(kind(12)->kind, message_kind::samples);
  EXPECT_EQ(kind(13)->kind, message_kind::follow);
  expect_refused(kind(14), errc::malformed, "kind 14 is not known");
  expect_refused(kind(32), errc::bad_protocol, "kind 32 is reserved");
  expect_refused(kind(65'535), errc::bad_protocol, "reserved");
}

TEST(Hostile, ReservedAndUnknownCodecsAreRefused) {
  const auto push = [](std::uint16_t value, std::uint16_t key) {
    return decode_push(crafted<wire::PushSection>([&](auto root) {
      root.initSource().setName("s");
      auto block = root.initBlocks(1)[0];
      block.setValueCodec(value);
      block.setKeyCodec(key);
    }));
  };
  for (const std::uint16_t value : {0, 1, 2, 3, 4, 5}) {
    EXPECT_TRUE(push(value, 0).ok());
    EXPECT_TRUE(push(value, 1).ok());
  }
  expect_refused(push(6, 0), errc::malformed, "value codec 6 is not known");
  expect_refused(push(0, 2), errc::malformed, "key codec 2 is not known");
}

TEST(Hostile, PullsKnowRowCodecsAndRawKeysOnly) {
  const auto pull = [](std::uint16_t value, std::uint16_t key) {
    return decode_pull(crafted<wire::PullSection>([&](auto root) {
      auto block = root.initBlocks(1)[0];
      block.setValueCodec(value);
      block.setKeyCodec(key);
    }));
  };
  EXPECT_TRUE(pull(3, 0).ok());
  expect_refused(pull(4, 0), errc::malformed, "value codec 4 is not known");
  expect_refused(pull(5, 0), errc::malformed, "value codec 5 is not known");
  expect_refused(pull(0, 1), errc::bad_protocol, "key codec delta_packed is spoken in pushes only");
}

TEST(Hostile, UntrustedNumbersOfEnumsAreChecked) {
  expect_refused(decode_push_ack(crafted<wire::PushAck>([](auto root) { root.setStatus(8); })),
                 errc::malformed,
                 "status 8");
  expect_refused(decode_push_ack(crafted<wire::PushAck>([](auto root) { root.setMode(3); })),
                 errc::malformed,
                 "log mode 3");
  expect_refused(decode_push(crafted<wire::PushSection>([](auto root) {
                   root.initSource().setName("s");
                   root.setLane(2);
                 })),
                 errc::malformed,
                 "lane 2");
}

TEST(Hostile, SourceNamesAreChecked) {
  const auto named = [](const char* name) {
    return decode_watermark_request(crafted<wire::WatermarkRequest>([&](auto root) {
      if (name != nullptr) root.initSource().setName(name);
    }));
  };
  EXPECT_TRUE(named("A-z_0.9").ok());
  EXPECT_TRUE(named(std::string(64, 'n').c_str()).ok());
  expect_refused(named(nullptr), errc::malformed, "source name");
  expect_refused(named(""), errc::malformed, "source name");
  expect_refused(named("a/b"), errc::malformed, "source name");
  expect_refused(named("a#1"), errc::malformed, "source name");
  expect_refused(named("\xC3\xA4"), errc::malformed, "source name");
  expect_refused(named(std::string(65, 'n').c_str()), errc::too_large, "64");
}

/// A push of one fp32 block of 3 rows of 2, changed by `change`.
template <class Change>
result<push_section> one_block(Change change) {
  return decode_push(crafted<wire::PushSection>([&](auto root) {
    root.initSource().setName("s");
    auto block = root.initBlocks(1)[0];
    block.setDim(2);
    block.setRows(3);
    block.initKeys(24);
    block.initValues(24);
    change(block);
  }));
}

TEST(Hostile, CountsThatDisagreeWithBytesAreMalformed) {
  EXPECT_TRUE(one_block([](auto) {}).ok());
  expect_refused(
      one_block([](auto b) { b.setRows(4); }), errc::malformed, "24 bytes of keys for 4");
  expect_refused(
      one_block([](auto b) { b.setDim(3); }), errc::malformed, "24 bytes of values for 9");
  expect_refused(one_block([](auto b) { b.initKeys(23); }), errc::malformed, "23 bytes of keys");
  expect_refused(one_block([](auto b) { b.initCounts(8); }), errc::malformed, "8 bytes of counts");
  expect_refused(one_block([](auto b) { b.initScales(6); }), errc::malformed, "6 bytes of scales");
  expect_refused(one_block([](auto b) { b.setValueCodec(1); }), errc::malformed, "scales");
  // 4 rows of 2^30 + 2 are 8 cells in 32 bits, and 8 is what there is.
  const auto wraps = one_block([](auto b) {
    b.setRows(4);
    b.setDim(0x40000002U);
    b.initKeys(32);
    b.initValues(32);
  });
  expect_refused(wraps, errc::malformed, "32 bytes of values for 4294967304");
  expect_refused(
      one_block([](auto b) { b.setRows(block_rows_max + 1); }), errc::too_large, "65537 rows");
}

/// The same block in codec `codec` with `values` and one scale.
template <class Change>
result<push_section> coded_block(value_codec codec,
                                 std::initializer_list<unsigned> values,
                                 Change change) {
  return one_block([&](auto block) {
    block.setValueCodec(static_cast<std::uint16_t>(codec));
    block.initScales(2);
    auto bytes = block.initValues(static_cast<unsigned>(values.size()));
    std::copy(values.begin(), values.end(), bytes.begin());
    change(block);
  });
}

// 6 values: 2 codes behind k; of indices below 6 one low bit each, then 4 bits.
TEST(Hostile, TopkThatDisagreesWithItsBlockIsMalformed) {
  const auto topk = [](std::initializer_list<unsigned> values, auto change) {
    return coded_block(value_codec::topk, values, change);
  };
  const auto as_is = [](auto) {};
  const auto good = topk({2, 0, 0, 0, 127, 129, 0b10, 0b1001}, as_is);  // 0 and 5
  ASSERT_TRUE(good.ok()) << describe(good.error());
  EXPECT_EQ(split_topk(good->blocks[0].values).codes[1], -127);
  const auto malformed = [&](std::initializer_list<unsigned> values, const char* why) {
    expect_refused(topk(values, as_is), errc::malformed, why);
  };
  const auto unscaled = [](auto b) { b.initScales(0); };
  expect_refused(topk({}, unscaled), errc::malformed, "0 bytes of values for 4 of topk");
  expect_refused(topk({2, 0, 0}, unscaled), errc::malformed, "3 bytes of values for 4 of topk");
  malformed({2, 0, 0, 0, 127, 129, 0b10}, "7 bytes of values for 8 of topk");
  malformed({2, 0, 0, 0, 127, 129, 0b10, 0b1001, 0}, "9 bytes of values for 8 of topk");
  malformed({7, 0, 0, 0, 127, 129, 0b10, 0b1001}, "topk chooses 7 of 6 values");
  malformed({255, 255, 255, 255, 127, 129, 0b10, 0b1001}, "topk chooses 4294967295 of 6");
  malformed({2, 0, 0, 0, 127, 129, 0b00, 0b0011}, "positions of topk");   // 0 and 0
  malformed({2, 0, 0, 0, 127, 129, 0b10, 0b10001}, "positions of topk");  // 0 and 7
  malformed({2, 0, 0, 0, 127, 129, 0b10, 0b1000}, "positions of topk");   // one of two
  malformed({2, 0, 0, 0, 127, 129, 0b110, 0b1001}, "positions of topk");  // a bit too many
  const std::initializer_list<unsigned> values = {2, 0, 0, 0, 127, 129, 0b10, 0b1001};
  expect_refused(topk(values, [](auto b) { b.initScales(4); }), errc::malformed, "scales");
  expect_refused(topk(values, [](auto b) { b.initScales(0); }), errc::malformed, "scales");
  // 3 rows of 2^32 - 1: more than an index of 32 bits tells apart.
  expect_refused(topk(values, [](auto b) { b.setDim(0xFFFFFFFFU); }),
                 errc::malformed,
                 "topk chooses 2 of 12884901885 values");
}

TEST(Hostile, Int4ThatDisagreesWithItsBlockIsMalformed) {
  const auto int4 = [](std::initializer_list<unsigned> values, auto change) {
    return coded_block(value_codec::int4, values, change);
  };
  EXPECT_TRUE(int4({1, 2, 3, 4, 5, 6}, [](auto) {}).ok());
  expect_refused(int4({1, 2, 3}, [](auto) {}), errc::malformed, "3 bytes of values for 6 of int4");
  expect_refused(
      int4({1, 2, 3, 4, 5, 6}, [](auto b) { b.initScales(6); }), errc::malformed, "scales");
  expect_refused(
      int4({1, 2, 3, 4, 5, 6}, [](auto b) { b.setDim(0xFFFFFFFFU); }), errc::malformed, "scales");
}

TEST(Hostile, PackedKeysThatAreNotThoseOfTheirRowsAreMalformed) {
  const auto packed = [](std::initializer_list<unsigned> keys, auto change) {
    return one_block([&](auto block) {
      block.setKeyCodec(1);
      auto bytes = block.initKeys(static_cast<unsigned>(keys.size()));
      std::copy(keys.begin(), keys.end(), bytes.begin());
      change(block);
    });
  };
  const auto as_is = [](auto) {};
  const auto good = packed({0x11, 0x00, 7, 1}, as_is);  // 7, 9 and 10
  ASSERT_TRUE(good.ok()) << describe(good.error());
  EXPECT_EQ(good->blocks[0].keys[2], 10U);
  expect_refused(packed({}, as_is), errc::malformed, "packed keys");
  expect_refused(packed({0x11, 0x00, 7}, as_is), errc::malformed, "packed keys");
  expect_refused(packed({0x11, 0x00, 7, 1, 0}, as_is), errc::malformed, "packed keys");
  expect_refused(packed({0x11, 0x10, 7, 1, 0}, as_is), errc::malformed, "packed keys");
  expect_refused(packed({0x11, 0x00, 7, 1}, [](auto b) { b.initCounts(3); }),
                 errc::malformed,
                 "packed counts");
  expect_refused(packed({0x11, 0x00, 7, 1}, [](auto b) { b.setRows(block_rows_max + 1); }),
                 errc::too_large,
                 "65537 rows");
}

// 8 blocks of 65,536 rows in half a byte each: 3 MiB of keys from 256 KiB, and no more than half
// of it.
TEST(Hostile, PackedKeysDoNotMakeMoreRowsThanASectionMayHave) {
  const auto blocks = [](unsigned n) {
    return decode_push(crafted<wire::PushSection>([&](auto root) {
      root.initSource().setName("s");
      auto list = root.initBlocks(n);
      for (auto block : list) {
        block.setRows(block_rows_max);
        block.setKeyCodec(1);
        block.initKeys(block_rows_max / 2);
      }
    }));
  };
  EXPECT_TRUE(blocks(4).ok());
  expect_refused(blocks(5), errc::too_large, "327680 rows with packed keys; at most 262144");
}

TEST(Hostile, SampleColumnsMustFitTheirCounts) {
  const auto batch = [](auto change) {
    return decode_sample_batch(crafted<wire::SampleBatch>([&](auto root) {
      root.initSource().setName("s");
      root.setSamples(2);
      root.setFeatures(3);
      root.initLabels(8);
      root.initRowNumbers(16);
      root.initKeys(48);
      change(root);
    }));
  };
  EXPECT_TRUE(batch([](auto) {}).ok());
  EXPECT_TRUE(batch([](auto root) { root.initValues(24); }).ok());
  expect_refused(batch([](auto root) { root.initValues(20); }), errc::malformed, "values");
  expect_refused(batch([](auto root) { root.setSamples(3); }), errc::malformed, "labels");
  expect_refused(batch([](auto root) { root.setFeatures(4); }), errc::malformed, "keys");
  expect_refused(batch([](auto root) { root.setMoreLabels(1); }), errc::malformed, "labels");
  expect_refused(
      batch([](auto root) { root.setMoreLabels(0xFFFFFFFFU); }), errc::too_large, "labels");
  EXPECT_TRUE(batch([](auto root) { root.setHistory(2); }).ok());
  expect_refused(
      batch([](auto root) { root.setHistory(3); }), errc::too_large, "3 samples of history");
  expect_refused(batch([](auto root) { root.setSequences(1); }), errc::malformed, "lengths");
  expect_refused(batch([](auto root) {
                   root.setSequences(1);
                   root.initLengths(4)[1] = 1;
                   root.initSequenceKeys(8);
                 }),
                 errc::malformed,
                 "sequence keys");
  expect_refused(batch([](auto root) {
                   root.setSamples(0x80000000U);
                   root.setFeatures(0x80000000U);
                 }),
                 errc::malformed,
                 "labels");
}

TEST(Hostile, PulledBlocksMustFitTheirCounts) {
  const auto reply = [](auto change) {
    return decode_pull_reply(crafted<wire::PullReply>([&](auto root) {
      auto block = root.initBlocks(1)[0];
      block.setDim(2);
      block.setRows(9);
      block.initValues(72);
      block.initAbsent(2);
      change(block);
    }));
  };
  EXPECT_TRUE(reply([](auto) {}).ok());
  expect_refused(reply([](auto b) { b.initAbsent(1); }), errc::malformed, "absent bits");
  expect_refused(reply([](auto b) { b.initScales(18); }), errc::malformed, "scales");
  expect_refused(reply([](auto b) { b.setRows(8); }), errc::malformed, "values");
}

TEST(Hostile, ListsAboveTheirLimitAreTooLarge) {
  const auto blocks = [](unsigned n) {
    return decode_pull(crafted<wire::PullSection>([&](auto root) { root.initBlocks(n); }));
  };
  EXPECT_EQ(blocks(section_blocks_max)->blocks.size(), section_blocks_max);
  expect_refused(blocks(section_blocks_max + 1), errc::too_large, "1025 blocks");
  const auto sections = [](unsigned n) {
    return decode_envelope(crafted<wire::Envelope>([&](auto root) {
      root.setKind(1);
      root.initSections(n);
    }));
  };
  EXPECT_TRUE(sections(envelope_sections_max).ok());
  expect_refused(sections(envelope_sections_max + 1), errc::too_large, "1025 sections");
  const auto keys = [](unsigned n) {
    return decode_forget_request(
        crafted<wire::ForgetRequest>([&](auto root) { root.initKeys(n); }));
  };
  EXPECT_EQ(keys(forget_keys_max)->keys.size(), forget_keys_max);
  expect_refused(keys(forget_keys_max + 1), errc::too_large, "65537 keys");
  const auto found = [](unsigned n) {
    return decode_forget_reply(crafted<wire::ForgetReply>([&](auto root) { root.initFound(n); }));
  };
  EXPECT_EQ(found(forget_keys_max)->found.size(), forget_keys_max);
  expect_refused(found(forget_keys_max + 1), errc::too_large, "65537 keys");
}

TEST(Hostile, AListOfNothingIsNotReadAsManyKeys) {
  frame plain = crafted<wire::ForgetRequest>([](auto root) { root.initKeys(1); });
  std::vector<std::uint64_t> words(plain.size() / 8);
  std::memcpy(words.data(), plain.bytes().data(), plain.size());
  const std::size_t pointer = 2 + wire::ForgetRequest::_capnpPrivate::dataWordSize;
  words[pointer] = (std::uint64_t{1'000} << 35) | 1;  // void elements, within the limit
  expect_refused(
      decode_forget_request(frame::copy_of(std::as_bytes(std::span(words)))), errc::malformed, "");
}

TEST(Hostile, AReleaseOfNoSourceIsMalformed) {
  const auto release = [](const char* name) {
    return decode_release_request(
        crafted<wire::ReleaseRequest>([&](auto root) { root.setSource(name); }));
  };
  EXPECT_EQ(release("clicks.eu-1")->source, "clicks.eu-1");
  expect_refused(release(""), errc::malformed, "source name");
  expect_refused(release("a b"), errc::malformed, "source name");
  expect_refused(release(std::string(65, 'a').c_str()), errc::too_large, "65 bytes");
}

TEST(Hostile, SamplesAreAskedForFromOneOnAndComeInBoundedNumber) {
  const auto from = [](std::uint64_t batch) {
    return decode_samples_request(crafted<wire::SamplesRequest>([&](auto root) {
      root.initSource().setName("clicks");
      root.getSource().setGeneration(1);
      root.setFrom(batch);
    }));
  };
  EXPECT_EQ(from(1)->from, batch_number{1});
  expect_refused(from(0), errc::malformed, "counted from 1");
  const auto batches = [](unsigned n) {
    return decode_samples_reply(
        crafted<wire::SamplesReply>([&](auto root) { root.initBatches(n); }));
  };
  EXPECT_EQ(batches(reply_batches_max)->batches.size(), reply_batches_max);
  expect_refused(batches(reply_batches_max + 1), errc::too_large, "1025 batches");
}

TEST(Hostile, FollowersHaveANameAndRoomForALaterSession) {
  const auto request = [](std::uint64_t subscriber, std::uint64_t session) {
    return decode_follow_request(crafted<wire::FollowRequest>([&](auto root) {
      root.setSubscriber(subscriber);
      root.setSession(session);
    }));
  };
  EXPECT_EQ(request(7, session_max)->session, session_max);
  expect_refused(request(0, 1), errc::malformed, "subscriber 0");
  expect_refused(request(7, session_max + 1), errc::malformed, "no later one");
  // A delta that is none comes as it is: it has a decoder and a checksum of its own.
  const auto reply =
      decode_follow_reply(crafted<wire::FollowReply>([](auto root) { root.initDelta(3); }));
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->delta.size(), 3U);
  EXPECT_FALSE(decode_delta(reply->delta).ok());
}

TEST(Hostile, AListOfNothingIsNotReadAsManyBlocks) {
  // A list of 2^29 − 1 void elements takes no bytes: the count alone must not cost time or memory.
  frame plain = crafted<wire::PullSection>([](auto root) { root.initBlocks(1); });
  std::vector<std::uint64_t> words(plain.size() / 8);
  std::memcpy(words.data(), plain.bytes().data(), plain.size());
  const std::size_t pointer = 2 + wire::PullSection::_capnpPrivate::dataWordSize;
  words[pointer] = (std::uint64_t{0x1FFFFFFF} << 35) | 1;
  const auto got = decode_pull(frame::copy_of(std::as_bytes(std::span(words))));
  ASSERT_FALSE(got.ok());
}

TEST(Hostile, BlocksThatShareTheirBytesCannotMakeMoreThanTheFrameHolds) {
  example::maker from(1);
  push_section section;
  section.source = {"s", 1};
  constexpr std::uint32_t blocks = 8;
  for (std::uint32_t i = 0; i < blocks; ++i) {
    row_block block;
    block.table = table_id{i};
    block.dim = 4;
    block.keys = from.keys(500);
    block.values = std::as_bytes(from.values<float>(2'000));
    section.blocks.push_back(block);
  }
  const frame honest = encode(section);
  ASSERT_TRUE(decode_push(honest).ok());
  // Point every block's keys and values at the first block's, and leave the others out.
  std::vector<std::uint64_t> words(honest.size() / 8);
  std::memcpy(words.data(), honest.bytes().data(), honest.size());
  using section_size = wire::PushSection::_capnpPrivate;
  using source_size = wire::Source::_capnpPrivate;
  using block_size = wire::RowBlock::_capnpPrivate;
  const std::size_t list = 2 + section_size::dataWordSize + section_size::pointerCount +
                           source_size::dataWordSize + source_size::pointerCount + 1 + 1;
  const auto pointer = [&](std::size_t block, std::size_t field) {
    return list + block * (block_size::dataWordSize + block_size::pointerCount) +
           block_size::dataWordSize + field;
  };
  const auto target = [&](std::size_t at) {
    return at + 1 + (static_cast<std::uint32_t>(words[at]) >> 2);
  };
  constexpr std::size_t keys_field = 0;
  constexpr std::size_t values_field = 3;
  for (std::size_t i = 1; i < blocks; ++i) {
    for (const std::size_t field : {keys_field, values_field}) {
      const std::size_t at = pointer(i, field);
      const auto offset = static_cast<std::uint32_t>(target(pointer(0, field)) - at - 1);
      words[at] = (words[at] & ~std::uint64_t{0xFFFFFFFF}) | std::uint32_t(offset << 2) | 1U;
    }
  }
  words.resize(target(pointer(0, values_field)) + 1'000);  // 2,000 floats
  words[0] = std::uint64_t{words.size() - 1} << 32;
  const auto got = decode_push(frame::copy_of(std::as_bytes(std::span(words))));
  expect_refused(got, errc::malformed, "raversal limit");
}

TEST(Hostile, PointersThatLeaveTheMessageAreMalformed) {
  example::maker from(2);
  const frame whole = encode(from.ask_watermarks());
  for (std::size_t word = 1; word < whole.size() / 8; ++word) {
    std::vector<std::uint64_t> words(whole.size() / 8);
    std::memcpy(words.data(), whole.bytes().data(), whole.size());
    for (const std::uint64_t hard : {~std::uint64_t{0},
                                     std::uint64_t{0xFFFFFFFF7FFFFFFC},
                                     std::uint64_t{2},
                                     std::uint64_t{3}}) {
      words[word] = hard;
      must_survive(frame::copy_of(std::as_bytes(std::span(words))), decode_watermark_request);
    }
  }
}

}  // namespace
}  // namespace headrace::schemas
