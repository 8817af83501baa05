#include "storage/engines/message_log.hpp"

#include "storage/engines/test_message_stream.hpp"
#include "storage/test_log_records.hpp"

#include <gmock/gmock.h>

#include <array>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace headrace::storage {
namespace {

using ::testing::HasSubstr;
using plan = test_message_stream::plan;
using forgetting = test_message_stream::forgetting;
using contents = test_message_stream::contents;

class MessageLog : public ::testing::Test {
 protected:
  void open(message_log::options how = {}) {
    auto stream = std::make_unique<test_message_stream>(kept_);
    stream_ = stream.get();
    auto opened = message_log::open(std::move(stream), how);
    ASSERT_TRUE(opened.ok()) << describe(opened.error());
    log_ = std::move(*opened);
  }
  append_outcome append(std::uint64_t first, std::uint64_t last) {
    std::vector<log_record> group;
    for (auto at = first; at <= last; ++at) group.push_back(record_at(at));
    return append(group);
  }
  append_outcome append(const std::vector<log_record>& group) {
    append_outcome told;
    log_->append(group, lsn{group.front().lsn.value - 1}, [&](const auto& one) { told = one; });
    return told;
  }
  std::vector<std::uint64_t> read(std::uint64_t from = 1) {
    std::vector<std::uint64_t> seen;
    auto done = log_->read_from(lsn{from}, [&](const log_record& record) {
      EXPECT_EQ(text_of(record.payload), text_of(record_at(record.lsn.value).payload));
      seen.push_back(record.lsn.value);
      return true;
    });
    said_ = done ? "" : describe(done.error());
    return seen;
  }
  std::string refused_at_opening() {
    auto opened = message_log::open(std::make_unique<test_message_stream>(kept_), {});
    return opened ? "" : describe(opened.error());
  }

  std::shared_ptr<contents> kept_ = std::make_shared<contents>();
  test_message_stream* stream_ = nullptr;
  std::unique_ptr<message_log> log_;
  std::string said_;
};

using enum append_state;

TEST_F(MessageLog, IsThereOnceHoweverOftenItWasSent) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_stream random(seed);
  kept_->bytes_max = 80;  // most records are in parts
  open();
  std::uint64_t next = 1;
  for (int i = 0; i < 2'000; ++i) {
    const auto last = next + random.next_below(4);
    for (auto tries = random.next_below(5); tries > 0; --tries) {
      using many = std::array<plan, 3>;
      stream_->then(many{plan::place, plan::lose, plan::answer_lost}.at(random.next_below(3)));
    }
    auto told = append(next, last);
    for (int tries = 0; told.state == unknown && tries < 20; ++tries) {
      EXPECT_EQ(told.code, errc::unavailable);
      if (random.next_below(50) == 0) {  // the process is killed: others may follow
        open();
        if (log_->last().last.value >= last) break;
      }
      told = append(next, last);
    }
    ASSERT_EQ(log_->last().last, lsn{last}) << told.detail;
    next = last + 1;
  }
  EXPECT_EQ(read(), range(1, next - 1)) << said_;
  open();
  EXPECT_EQ(read(7), range(7, next - 1)) << said_;
}

TEST_F(MessageLog, SendsNoOtherRecordsWhereAnAnswerIsMissing) {
  open();
  stream_->then(plan::answer_lost);
  EXPECT_EQ(append(1, 1).state, unknown);
  auto other = record_at(1);
  other.stamp_ms += 1;
  EXPECT_EQ(append({other}).state, refused);
  EXPECT_EQ(append(1, 1).state, committed);
  EXPECT_EQ(kept_->messages.size(), 1U);
  EXPECT_EQ(append(2, 2).state, committed);
}

TEST_F(MessageLog, ARefusalAfterAMissingAnswerIsUnknownStill) {
  open();
  stream_->then(plan::answer_lost);
  stream_->then(plan::refuse);
  EXPECT_EQ(append(1, 1).state, unknown);
  EXPECT_EQ(append(1, 1).state, unknown);
  EXPECT_EQ(append(1, 1).state, committed);
  EXPECT_EQ(read(), range(1, 1));
}

TEST_F(MessageLog, GoesOnBehindARefusal) {
  kept_->bytes_max = 50;
  open();
  stream_->then(plan::place);
  stream_->then(plan::refuse);  // the second part
  const auto full = append(1, 3);
  EXPECT_EQ(full.state, refused);
  EXPECT_EQ(full.code, errc::disk_full);
  EXPECT_EQ(append(4, 4).code, errc::disk_full) << "it rode on it";
  EXPECT_EQ(append(1, 2).state, committed) << "other records than were begun";
  EXPECT_EQ(append(3, 3).state, committed);
  EXPECT_EQ(read(), range(1, 3)) << said_;
  open();
  EXPECT_EQ(read(), range(1, 3)) << said_;
}

// A full stream is tried for as long as it is full: what it has room for must not fill it up.
TEST_F(MessageLog, AFullStreamGetsEachPartOnce) {
  kept_->bytes_max = 50;
  open();
  stream_->then(plan::place);
  for (int tries = 0; tries < 6; ++tries) stream_->then(plan::refuse);
  for (int tries = 0; tries < 6; ++tries) {
    EXPECT_EQ(append(1, 3).code, errc::disk_full);
    EXPECT_EQ(kept_->messages.size(), 1U);
  }
  EXPECT_EQ(append(1, 3).state, committed);
  EXPECT_EQ(kept_->messages.size(), kept_->messages.at(1).parts);
  EXPECT_EQ(read(), range(1, 3)) << said_;
}

TEST_F(MessageLog, PartsThatWereBegunAreLeftWhereTheyBecomeSmaller) {
  kept_->bytes_max = 50;
  open();
  stream_->then(plan::place);
  stream_->then(plan::refuse);
  EXPECT_EQ(append(1, 3).state, refused);
  kept_->bytes_max = 40;  // whoever runs the broker has said so
  EXPECT_EQ(append(1, 3).state, committed);
  EXPECT_EQ(append(4, 4).state, committed);
  EXPECT_EQ(read(), range(1, 4)) << said_;
}

TEST_F(MessageLog, OfTwoWritersOneIsRefused) {
  open();
  ASSERT_EQ(append(1, 1).state, committed);
  auto first = std::move(log_);
  open();
  ASSERT_EQ(append(2, 2).state, committed);
  std::swap(first, log_);
  // The same records, and yet they are another's.
  for (int tries = 0; tries < 2; ++tries) {
    const auto late = append(2, 2);
    EXPECT_EQ(late.state, refused);
    EXPECT_EQ(late.code, errc::in_use);
    EXPECT_THAT(late.detail, HasSubstr("another writer"));
  }
  std::swap(first, log_);
  EXPECT_EQ(append(3, 3).state, committed);
  EXPECT_EQ(read(), range(1, 3));
}

TEST_F(MessageLog, PassesOverAGroupWhoseWriterWasKilled) {
  kept_->bytes_max = 60;
  open();
  ASSERT_EQ(append(1, 2).state, committed);
  for (const int parts : {1, 2}) {
    for (int part = 0; part < parts; ++part) stream_->then(plan::place);
    stream_->then(plan::lose);
    ASSERT_EQ(append(3, 6).state, unknown);
    open();
    EXPECT_EQ(log_->last().last, lsn{2});
    EXPECT_EQ(read(), range(1, 2)) << said_;
  }
  EXPECT_EQ(append(3, 3).state, committed);
  EXPECT_EQ(append(4, 9).state, committed);
  EXPECT_EQ(read(3), range(3, 9)) << said_;
  ASSERT_TRUE(log_->truncate_before(lsn{3}).ok());
  EXPECT_EQ(log_->last().first, lsn{3});
  open();
  EXPECT_EQ(read(), range(3, 9)) << said_;
}

TEST_F(MessageLog, RefusesMissingRepeatedAndForeignMessagesByName) {
  open();
  for (std::uint64_t at = 1; at <= 9; ++at) append(at, at);
  const auto good = kept_->messages;
  const auto spoil = [&](const auto& how) {
    kept_->messages = good;
    how(kept_->messages);
    read();
    return said_;
  };
  using all = std::map<std::uint64_t, log_message>;
  EXPECT_THAT(spoil([](all& has) { has.erase(5); }),
              HasSubstr("stream TEST, message 6: record 6 stands where record 5 must"));
  EXPECT_THAT(spoil([](all& has) { has[6] = has[5]; }), HasSubstr("record 5 is there again"));
  EXPECT_THAT(spoil([](all& has) { has[5].bytes = has[6].bytes; }),
              HasSubstr("record 5: record 6 stands in its place"));
  EXPECT_THAT(spoil([](all& has) {
                std::uint64_t chain = 7;
                auto other = record_at(5);
                has[5].bytes = frame::copy_of(encode_group({&other, 1}, chain));
              }),
              HasSubstr("record 5: it does not follow the record before it (prev_hash)"));
  EXPECT_THAT(spoil([](all& has) { has[5].bytes = text_frame("not a record of ours"); }),
              HasSubstr("record 5: it is cut short"));
  EXPECT_THAT(spoil([](all& has) { has[5].part = has[5].parts = 2; }),
              HasSubstr("without the part before it"));
  EXPECT_THAT(spoil([](all& has) { has.erase(9); }), HasSubstr("ends at record 8, and had 9"));
  EXPECT_THAT(spoil([](all& has) {
                std::vector<std::byte> bytes(has[5].bytes.bytes().begin(),
                                             has[5].bytes.bytes().end());
                bytes.back() ^= std::byte{1};
                has[5].bytes = frame::copy_of(bytes);
              }),
              HasSubstr("checksum"));
  kept_->messages.clear();
  EXPECT_THAT(refused_at_opening(), HasSubstr("the records before it are gone, all"));
}

TEST_F(MessageLog, KeepsTheLastRecordAndItsPosition) {
  open();
  append(1, 4);
  append(5, 9);
  ASSERT_TRUE(log_->truncate_before(lsn{1'000}).ok());
  EXPECT_EQ(log_->last().first, lsn{5}) << "of the newest group";
  open();
  EXPECT_EQ(log_->last().last, lsn{9});
  EXPECT_EQ(append(10, 10).state, committed);
}

TEST_F(MessageLog, KnowsItsBeginningAfterAPurgeWithoutAnAnswer) {
  open();
  for (std::uint64_t at = 1; at <= 9; ++at) append(at, at);
  stream_->forgets(forgetting::answer_lost);
  const auto lost = log_->truncate_before(lsn{4});
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().code, errc::unavailable);
  EXPECT_EQ(log_->last().first, lsn{4});
  EXPECT_EQ(read(), range(4, 9)) << said_;
  stream_->forgets(forgetting::works);
  EXPECT_TRUE(log_->truncate_before(lsn{6}).ok());
  EXPECT_EQ(read(), range(6, 9)) << said_;
}

TEST_F(MessageLog, KeepsWhatABrokerDoesNotLetGo) {
  open();
  for (std::uint64_t at = 1; at <= 9; ++at) append(at, at);
  stream_->forgets(forgetting::refused);
  EXPECT_TRUE(log_->truncate_before(lsn{4}).ok());
  EXPECT_EQ(log_->last().first, lsn{1});
  EXPECT_EQ(read(), range(1, 9)) << said_;
}

// Of a broker with retention of its own, which counts messages and knows no groups.
TEST_F(MessageLog, BeginsBehindWhatItsBrokerForgot) {
  kept_->bytes_max = 60;
  open();
  ASSERT_EQ(append(1, 4).state, committed);
  const auto second = kept_->next;
  ASSERT_EQ(append(5, 8).state, committed);
  ASSERT_EQ(append(9, 12).state, committed);
  ASSERT_GT(kept_->messages.at(1).parts, 2U);
  ASSERT_EQ(read(2), range(2, 12)) << said_;
  for (std::uint64_t gone = 1; gone < second; ++gone) {
    kept_->messages.erase(gone);
    EXPECT_EQ(read(), range(5, 12)) << gone << ": " << said_;
    EXPECT_EQ(log_->last().first, lsn{5});
    open();
    EXPECT_EQ(log_->last().first, lsn{5});
  }
  EXPECT_EQ(append(13, 13).state, committed);
  EXPECT_EQ(read(6), range(6, 13)) << said_;
  kept_->messages.clear();
  EXPECT_TRUE(read().empty());
  EXPECT_THAT(said_, HasSubstr("the records before it are gone, all"));
}

TEST_F(MessageLog, FindsARecordInFewSteps) {
  open();
  for (std::uint64_t at = 1; at <= 1'000; ++at) append(at, at);
  kept_->finds = 0;
  EXPECT_EQ(read(999), range(999, 1'000));
  EXPECT_EQ(kept_->finds, 1U) << "one record a message: it is where it must be";
  for (std::uint64_t at = 1'001; at < 4'000; at += 3) append(at, at + 2);
  kept_->finds = 0;
  EXPECT_EQ(read(2'500).front(), 2'500U);
  EXPECT_LT(kept_->finds, 14U);
}

TEST_F(MessageLog, BeginsBehindWhatRowsHold) {
  open({.continue_after = lsn{40}});
  EXPECT_EQ(log_->last().last, lsn{40});
  EXPECT_EQ(append(41, 41).state, committed);
  open();
  EXPECT_EQ(log_->last().first, lsn{41});
  EXPECT_EQ(log_->last().last, lsn{41});
}

TEST_F(MessageLog, RefusesTheLogOfAnotherJob) {
  open({.log = "clicks"});
  append(1, 3);
  EXPECT_THAT(refused_at_opening(), HasSubstr("has the samples of 'clicks', not of 'log'"));
}

TEST_F(MessageLog, AReaderChangesNothing) {
  open();
  append(1, 3);
  open({.read_only = true});
  EXPECT_EQ(append(4, 4).code, errc::in_use);
  EXPECT_FALSE(log_->truncate_before(lsn{3}).ok());
  EXPECT_EQ(read(2), range(2, 3));
}

TEST(LogMessage, ItsHeaderReadsBack) {
  log_message one{lsn{17}, lsn{20}, 2, 3, 0xfedcba9876543210, "clicks of a", {}};
  EXPECT_EQ(header_text(one), "17-20 2/3 by fedcba9876543210 of clicks of a");
  EXPECT_EQ(parse_header(header_text(one)), one);
  one.writer = 7;
  EXPECT_EQ(parse_header(header_text(one)), one);
  for (const char* bad : {"",
                          "17",
                          "17-20",
                          "17-20 2/3",
                          "17-20 2/3 by 1",
                          "17-20 2/3 by 1 of ",
                          "0-20 2/3 by 1 of a",
                          "20-17 2/3 by 1 of a",
                          "17-20 4/3 by 1 of a",
                          "17-20 0/3 by 1 of a",
                          "17-20 2/3 by x of a",
                          "17-20 2/3 by 1  of a",
                          "17-20 2/3 by 10000000000000000 of a"})
    EXPECT_FALSE(parse_header(bad)) << bad;
}

}  // namespace
}  // namespace headrace::storage
