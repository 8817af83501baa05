#include "schemas/event.hpp"

#include "base/utf8.hpp"
#include "schemas/event.capnp.h"
#include "schemas/example_messages.hpp"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>

namespace headrace::schemas {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

event_batch decoded(const frame& bytes) {
  auto got = decode_event_batch(bytes);
  EXPECT_TRUE(got.ok()) << describe(got.error());
  return got.ok() ? *std::move(got) : event_batch{};
}

TEST(Utf8, EveryCharacterIsAcceptedAndItsPartsAreNot) {
  for (const std::string_view text : {"",
                                      "a",
                                      "\x7F",
                                      "\xC2\x80",
                                      "\xDF\xBF",
                                      "\xE0\xA0\x80",
                                      "\xED\x9F\xBF",
                                      "\xEE\x80\x80",
                                      "\xF0\x90\x80\x80",
                                      "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(is_utf8(text));
    EXPECT_TRUE(is_utf8("12345678" + std::string(text) + "12345678"));
    for (std::size_t size = 1; size < text.size(); ++size)
      EXPECT_FALSE(is_utf8("1234567" + std::string(text.substr(0, size))));
  }
}

TEST(Utf8, OverlongFormsSurrogatesAndStrayBytesAreRefused) {
  for (const std::string_view text : {"\x80",
                                      "\xBF",
                                      "\xC0\xAF",
                                      "\xC1\xBF",
                                      "\xE0\x9F\xBF",
                                      "\xED\xA0\x80",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xFF",
                                      "\xC2"
                                      "a"}) {
    for (std::size_t before = 0; before < 17; ++before)
      EXPECT_FALSE(is_utf8(std::string(before, 'x') + std::string(text) + "tail of it"));
  }
}

TEST(Events, RandomBatchesComeBackAsTheyWere) {
  constexpr std::uint64_t seed = 77;
  SCOPED_TRACE("seed " + std::to_string(seed));
  example::maker from(seed);
  event_batch into;  // used again
  for (int round = 0; round < 300; ++round) {
    const event_batch made = from.events();
    const frame bytes = encode(made);
    ASSERT_TRUE(decode_event_batch(bytes, into).ok());
    ASSERT_TRUE(example::same(made, into));
    const frame again = encode(into);
    ASSERT_TRUE(example::same(again.bytes(), bytes.bytes()));
  }
}

TEST(Events, ABuilderCopiesItsTextsAndItsFrameFits) {
  event_batch_builder builder;
  std::string text = "shop";
  builder.begin(text, 7);
  text = "clicks/3";
  builder.from_partition(text, 99);
  for (int i = 0; i < 2'000; ++i) {
    text = "e" + std::to_string(i);
    builder.event(text, "key", static_cast<std::uint64_t>(i));
    text = "user";
    const auto user = builder.name(text);
    text = std::string(300, static_cast<char>('a' + i % 26));
    builder.text(user, text);
    const std::string_view list[] = {text, "second"};
    builder.texts(builder.name("list"), list);
    text.assign(text.size(), '#');
  }
  builder.action(builder.name("click"));
  const frame bytes = builder.finish();
  EXPECT_LE(bytes.size(), builder.bytes());
  EXPECT_GE(bytes.size() * 11 / 10, builder.bytes());
  const event_batch got = decoded(bytes);
  EXPECT_TRUE(example::same(got, builder.batch()));
  EXPECT_EQ(got.producer, "shop");
  EXPECT_EQ(got.partition, "clicks/3");
  EXPECT_EQ(got.offset_end, 99U);
  EXPECT_EQ(got.schema_version, 7U);
  EXPECT_THAT(got.names, ElementsAre("user", "list", "click"));
  ASSERT_EQ(got.events.size(), 2'000U);
  EXPECT_EQ(got.events[27].id, "e27");
  EXPECT_EQ(got.fields_of(got.events[27])[0].text, std::string(300, 'b'));
  EXPECT_THAT(got.texts_of(got.fields_of(got.events[27])[1]),
              ElementsAre(std::string(300, 'b'), "second"));
  EXPECT_EQ(got.events[1'998].kind, event_kind::impression);
  EXPECT_EQ(got.events[1'999].kind, event_kind::action);
  EXPECT_EQ(got.names[got.events[1'999].action], "click");
}

TEST(Events, ABuilderThatBeginsAgainHoldsNothingOfBefore) {
  event_batch_builder builder;
  const frame empty = builder.finish();
  builder.begin("one", 2);
  builder.from_partition("p", 3);
  builder.event("id", "key", 1);
  builder.integer(builder.name("item"), 1);
  builder.begin("");
  EXPECT_EQ(builder.events(), 0U);
  EXPECT_TRUE(example::same(builder.finish().bytes(), empty.bytes()));
  EXPECT_EQ(builder.name("other"), 0);
}

TEST(Events, ADroppedEventLeavesNoTrace) {
  event_batch_builder builder;
  builder.begin("p");
  builder.event("e1", "", 1);
  builder.integer(builder.name("item"), 1);
  const frame before = builder.finish();
  const std::size_t bytes = builder.bytes();
  builder.event(std::string(64, 'x'), "key", 2);
  const std::string_view list[] = {"a", "b"};
  builder.texts(builder.name("list"), list);
  builder.text(builder.name("item"), "text");
  builder.action(builder.name("click"));
  builder.drop_event();
  EXPECT_TRUE(example::same(builder.finish().bytes(), before.bytes()));
  EXPECT_EQ(builder.bytes(), bytes);
  builder.event("e2", "", 3);
  builder.integer(builder.name("price"), 4);
  EXPECT_THAT(builder.batch().names, ElementsAre("item", "price"));
  EXPECT_TRUE(example::same(decoded(builder.finish()), builder.batch()));
}

TEST(Events, NamesAreFoundAgainUpToTheirLimit) {
  event_batch_builder builder;
  builder.event("", "", 0);
  for (std::size_t i = 0; i < batch_names_max; ++i)
    ASSERT_EQ(builder.name("n" + std::to_string(i)), i);
  EXPECT_FALSE(builder.try_name("one more"));
  for (std::size_t i = batch_names_max; i-- > 0;)
    ASSERT_EQ(builder.try_name("n" + std::to_string(i)), i);
  EXPECT_EQ(decoded(builder.finish()).names.size(), batch_names_max);
}

TEST(Events, HardValuesSurvive) {
  event_batch_builder builder;
  builder.event("", "", ~std::uint64_t{0});
  builder.integer(builder.name("low"), std::numeric_limits<std::int64_t>::min());
  builder.integer(builder.name("high"), std::numeric_limits<std::int64_t>::max());
  builder.number(builder.name("tiny"), std::numeric_limits<double>::denorm_min());
  builder.number(builder.name("huge"), -std::numeric_limits<double>::max());
  builder.text(builder.name("long"), std::string(event_text_bytes_max, 'x'));
  builder.text(builder.name("zero"), std::string_view("a\0b", 3));
  const std::vector<std::string_view> most(event_texts_max, "t");
  builder.texts(builder.name("most"), most);
  const event_batch got = decoded(builder.finish());
  EXPECT_TRUE(example::same(got, builder.batch()));
  EXPECT_EQ(got.fields_of(got.events[0])[5].text.size(), 3U);
}

TEST(Events, APushSharesTheMemoryOfItsFrame) {
  example::maker from(5);
  const event_batch made = from.events();
  const frame bytes = encode(event_push{"secret", encode(made)});
  const auto push = decode_event_push(bytes);
  ASSERT_TRUE(push.ok()) << describe(push.error());
  EXPECT_EQ(push->token, "secret");
  EXPECT_GE(push->batch.bytes().data(), bytes.bytes().data());
  EXPECT_LE(push->batch.bytes().data() + push->batch.size(), bytes.bytes().data() + bytes.size());
  EXPECT_EQ(push->batch.keeper(), bytes.keeper());
  EXPECT_TRUE(example::same(decoded(push->batch), made));
}

TEST(Events, AnAckTellsTheFirstRefusalsOnly) {
  event_ack ack;
  ack.refused = 40;
  for (std::uint32_t i = 0; i < 40; ++i)
    ack.refusals.push_back({i, event_fault::no_id, std::string(2'000, 'd')});
  const auto got = decode_event_ack(encode(ack));
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->refused, 40U);
  ASSERT_EQ(got->refusals.size(), refusals_max);
  EXPECT_EQ(got->refusals[15].event, 15U);
  EXPECT_EQ(got->refusals[15].detail.size(), 1'000U);
}

TEST(Events, EveryFaultHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (std::uint16_t i = 0; i <= 12; ++i) names.insert(name(static_cast<event_fault>(i)));
  EXPECT_EQ(names.size(), 13U);
  EXPECT_FALSE(names.contains("unknown"));
  EXPECT_EQ(name(static_cast<event_fault>(13)), "unknown");
}

// Below: what a hostile or broken producer can send.

template <class Fill>
frame crafted(Fill fill) {
  capnp::MallocMessageBuilder message(1 << 20);  // words, so that one segment is enough
  auto root = message.initRoot<wire::EventBatch>();
  root.setProtocol(1);
  fill(root);
  const auto words = capnp::messageToFlatArray(message);
  return frame::copy_of(std::as_bytes(std::span(words.begin(), words.size())));
}

/// A batch with one event of one field, changed by `change(root, event, field)`.
template <class Change>
result<event_batch> one_event(Change change) {
  return decode_event_batch(crafted([&](wire::EventBatch::Builder root) {
    auto names = root.initNames(2);
    names.set(0, "item");
    names.set(1, "click");
    auto event = root.initEvents(1)[0];
    auto field = event.initFields(1)[0];
    change(root, event, field);
  }));
}

void expect_refused(const result<event_batch>& got, errc code, const std::string& why) {
  ASSERT_FALSE(got.ok()) << why;
  EXPECT_EQ(got.error().code, code) << describe(got.error());
  EXPECT_THAT(got.error().detail, HasSubstr(why));
}

std::string long_text(std::size_t bytes) { return std::string(bytes, 'x'); }

TEST(HostileEvents, PlacesBehindTheNamesAreRefused) {
  EXPECT_TRUE(one_event([](auto, auto, auto field) { field.setName(1); }).ok());
  expect_refused(one_event([](auto, auto, auto field) { field.setName(2); }),
                 errc::malformed,
                 "event 0: field 2 of 2 names");
  const auto action = [](std::uint16_t place) {
    return one_event([&](auto, auto event, auto) {
      event.setKind(1);
      event.setAction(place);
    });
  };
  EXPECT_TRUE(action(1).ok());
  expect_refused(action(2), errc::malformed, "event 0: action 2 of 2 names");
  // Of an impression it means nothing.
  const auto impression = one_event([](auto, auto event, auto) { event.setAction(900); });
  ASSERT_TRUE(impression.ok());
  EXPECT_EQ(impression->events[0].action, 0);
}

TEST(HostileEvents, KindsThatAreNotKnownAreRefused) {
  expect_refused(one_event([](auto, auto event, auto) { event.setKind(2); }),
                 errc::malformed,
                 "kind 2 is not known");
  frame bytes = crafted([](wire::EventBatch::Builder root) {
    root.initNames(1).set(0, "item");
    root.initEvents(1)[0].initFields(1)[0].setInteger(0x5555);
  });
  std::vector<std::uint64_t> words(bytes.size() / 8);
  std::memcpy(words.data(), bytes.bytes().data(), bytes.size());
  const auto at = std::find(words.begin(), words.end(), 0x5555U) - 1;
  ASSERT_EQ(*at, std::uint64_t{3} << 16);  // name, then what the union holds
  *at = std::uint64_t{4} << 16;
  expect_refused(decode_event_batch(frame::copy_of(std::as_bytes(std::span(words)))),
                 errc::malformed,
                 "event 0: item: a kind of field that is not known");
}

TEST(HostileEvents, TwiceTheSameNameIsRefused) {
  expect_refused(one_event([](auto root, auto, auto) {
                   auto names = root.initNames(3);
                   names.set(0, "item");
                   names.set(1, "user");
                   names.set(2, "item");
                 }),
                 errc::malformed,
                 "name item is there twice");
  expect_refused(one_event([](auto root, auto, auto) { root.getNames().set(1, ""); }),
                 errc::malformed,
                 "name 1 is empty");
  expect_refused(one_event([](auto, auto event, auto) { event.initFields(2); }),
                 errc::malformed,
                 "event 0: item: field is there twice");
}

TEST(HostileEvents, EveryTextIsCheckedAsUtf8) {
  const char* bad = "abcdefgh\xED\xA0\x80";
  const auto refused = [&](const char* where, auto change) {
    expect_refused(one_event(change), errc::malformed, std::string(where) + " is not UTF-8");
  };
  refused("producer", [&](auto root, auto, auto) { root.setProducer(bad); });
  refused("partition", [&](auto root, auto, auto) { root.setPartition(bad); });
  refused("name", [&](auto root, auto, auto) { root.getNames().set(1, bad); });
  refused("event 0: id", [&](auto, auto event, auto) { event.setId(bad); });
  refused("event 0: key", [&](auto, auto event, auto) { event.setKey(bad); });
  refused("event 0: item: text", [&](auto, auto, auto field) { field.setText(bad); });
  refused("event 0: item: text", [&](auto, auto, auto field) { field.initTexts(2).set(1, bad); });
}

TEST(HostileEvents, EveryNumberIsFinite) {
  const auto number = [](double value) {
    return one_event([&](auto, auto, auto field) { field.setNumber(value); });
  };
  EXPECT_TRUE(number(-1e308).ok());
  for (const double bad : {std::numeric_limits<double>::infinity(),
                           -std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()}) {
    expect_refused(number(bad), errc::malformed, "event 0: item: number is not finite");
  }
}

TEST(HostileEvents, EveryBoundIsKept) {
  const auto fits = [](auto change) { EXPECT_TRUE(one_event(change).ok()); };
  const auto too_large = [](const char* why, auto change) {
    expect_refused(one_event(change), errc::too_large, why);
  };
  const auto bound = [&](const char* what, std::size_t most, auto set) {
    fits([&](auto root, auto event, auto field) { set(root, event, field, long_text(most)); });
    too_large(what, [&](auto root, auto event, auto field) {
      set(root, event, field, long_text(most + 1));
    });
  };
  bound("producer of 65 bytes", producer_bytes_max, [](auto root, auto, auto, const auto& text) {
    root.setProducer(text.c_str());
  });
  bound("partition of 257", partition_bytes_max, [](auto root, auto, auto, const auto& text) {
    root.setPartition(text.c_str());
  });
  bound("name of 129 bytes", event_name_bytes_max, [](auto root, auto, auto, const auto& text) {
    root.getNames().set(1, text.c_str());
  });
  bound("id of 65 bytes", event_id_bytes_max, [](auto, auto event, auto, const auto& text) {
    event.setId(text.c_str());
  });
  bound("key of 257 bytes", event_key_bytes_max, [](auto, auto event, auto, const auto& text) {
    event.setKey(text.c_str());
  });
  bound("text of 65536", event_text_bytes_max, [](auto, auto, auto field, const auto& text) {
    field.setText(text.c_str());
  });
  fits([](auto, auto, auto field) { field.initTexts(event_texts_max); });
  too_large("texts: 1025", [](auto, auto, auto field) { field.initTexts(event_texts_max + 1); });
  too_large("fields: 1025", [](auto, auto event, auto) { event.initFields(event_fields_max + 1); });
  too_large("names: 1025", [](auto root, auto, auto) { root.initNames(batch_names_max + 1); });
  fits([](auto root, auto, auto) { root.initEvents(batch_events_max); });
  too_large("events: 65537", [](auto root, auto, auto) { root.initEvents(batch_events_max + 1); });
}

/// The words of a batch whose pointer to events is `pointer`, and so many words behind it.
frame with_events(std::uint64_t pointer, std::size_t words_behind) {
  using root = wire::EventBatch::_capnpPrivate;
  const std::size_t at = 2 + root::dataWordSize + root::pointerCount - 1;
  std::vector<std::uint64_t> words(at + 1 + words_behind);
  words[0] = std::uint64_t{words.size() - 1} << 32;
  words[1] = (std::uint64_t{root::pointerCount} << 48) | (std::uint64_t{root::dataWordSize} << 32);
  words[2] = 1;  // protocol
  words[at] = pointer;
  return frame::copy_of(std::as_bytes(std::span(words)));
}

TEST(HostileEvents, ListsOfNothingOrOfBytesMakeNoEvents) {
  ASSERT_TRUE(decode_event_batch(with_events(0, 0)).ok());
  // A list of 60,000 void elements takes no bytes, one of 60,000 bytes an eighth of the words.
  const std::uint64_t nothing = (std::uint64_t{60'000} << 35) | 1;
  EXPECT_FALSE(decode_event_batch(with_events(nothing, 0)).ok());
  const std::uint64_t bytes = (std::uint64_t{60'000} << 35) | (std::uint64_t{2} << 32) | 1;
  expect_refused(decode_event_batch(with_events(bytes, 7'500)), errc::malformed, "the frame");
}

TEST(HostileEvents, AFailureLeavesAReusedBatchEmpty) {
  example::maker from(3);
  event_batch into;
  ASSERT_TRUE(decode_event_batch(encode(from.events()), into).ok());
  const frame bad = crafted([](wire::EventBatch::Builder root) {
    root.initNames(1).set(0, "item");
    auto events = root.initEvents(3);
    events[2].setKind(9);
  });
  const auto got = decode_event_batch(bad, into);
  ASSERT_FALSE(got.ok());
  EXPECT_THAT(got.error().detail, HasSubstr("event 2: kind 9"));
  EXPECT_TRUE(into.events.empty());
  EXPECT_TRUE(into.names.empty());
  EXPECT_TRUE(into.bytes.empty());
}

TEST(HostileEvents, AnotherProtocolIsRefusedWithBothVersions) {
  expect_refused(one_event([](auto root, auto, auto) { root.setProtocol(9); }),
                 errc::bad_protocol,
                 "protocol 9, this build 1 to 1");
}

TEST(HostileEvents, AcksWithNumbersThatAreNotKnownAreRefused) {
  const auto ack = [](auto change) {
    capnp::MallocMessageBuilder message(1 << 12);
    auto root = message.initRoot<wire::EventAck>();
    root.setProtocol(1);
    change(root);
    const auto words = capnp::messageToFlatArray(message);
    return decode_event_ack(frame::copy_of(std::as_bytes(std::span(words.begin(), words.size()))));
  };
  EXPECT_TRUE(ack([](auto root) { root.setStatus(45); }).ok());
  EXPECT_FALSE(ack([](auto root) { root.setStatus(46); }).ok());
  EXPECT_TRUE(ack([](auto root) { root.initRefusals(16)[3].setFault(12); }).ok());
  EXPECT_FALSE(ack([](auto root) { root.initRefusals(16)[3].setFault(13); }).ok());
  EXPECT_FALSE(ack([](auto root) { root.initRefusals(17); }).ok());
}

TEST(HostileEvents, ATokenBeyondItsBoundIsTooLarge) {
  const auto push = [](std::size_t bytes) {
    capnp::MallocMessageBuilder message(1 << 12);
    auto root = message.initRoot<wire::EventPush>();
    root.setProtocol(1);
    root.setToken(long_text(bytes).c_str());
    const auto words = capnp::messageToFlatArray(message);
    return decode_event_push(frame::copy_of(std::as_bytes(std::span(words.begin(), words.size()))));
  };
  EXPECT_TRUE(push(push_token_bytes_max).ok());
  ASSERT_FALSE(push(push_token_bytes_max + 1).ok());
  EXPECT_EQ(push(push_token_bytes_max + 1).error().code, errc::too_large);
}

}  // namespace
}  // namespace headrace::schemas
