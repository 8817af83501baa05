#include "schemas/example_messages.hpp"
#include "schemas/hash.hpp"
#include "schemas/schema.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <set>

namespace headrace::schemas {
namespace {

TEST(Wire, EveryMessageComesBackAsItWasSent) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    example::maker from(seed);
    example::each_kind(from, [](const char* name, const auto& message, auto decode) {
      SCOPED_TRACE(name);
      const frame bytes = encode(message);
      EXPECT_TRUE(frame::is_aligned(bytes.bytes()));
      const auto back = decode(bytes);
      ASSERT_TRUE(back.ok()) << describe(back.error());
      EXPECT_TRUE(example::same(*back, message));
    });
  }
}

TEST(Wire, TheSameMessageIsAlwaysTheSameBytes) {
  // Memory that was used for something else before must not show in padding: a retry is
  // byte-identical.
  const auto bytes_of = [](std::uint64_t seed) {
    example::maker from(seed);
    std::vector<std::vector<std::byte>> all;
    example::each_kind(from, [&](const char*, const auto& message, auto) {
      const frame bytes = encode(message);
      all.emplace_back(bytes.bytes().begin(), bytes.bytes().end());
    });
    return all;
  };
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const auto first = bytes_of(seed);
    {
      std::vector<std::vector<unsigned char>> dirt;
      for (std::size_t n = 16; n < 20'000; n += 100) dirt.emplace_back(n, 0xEE);
    }
    EXPECT_EQ(bytes_of(seed), first) << "seed " << seed;
  }
}

TEST(Wire, DecodedBlocksLieInTheFrameAndKeepItAlive) {
  example::maker from(7);
  push_section section = from.push();
  section.blocks = {from.block(1), from.block(2)};
  for (row_block& block : section.blocks) block.keys_as = key_codec::raw;  // packed keys are apart
  frame bytes = encode(section);
  const auto* begin = bytes.bytes().data();
  const auto* end = begin + bytes.size();
  const auto back = decode_push(bytes);
  bytes = {};
  ASSERT_TRUE(back.ok());
  for (const row_block& block : back->blocks) {
    if (block.keys.empty()) continue;
    const auto values = std::as_bytes(block.keys);
    EXPECT_GE(values.data(), begin);
    EXPECT_LE(values.data() + values.size(), end);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block.values.data()) % 8, 0U);
  }
  EXPECT_TRUE(example::same(*back, section));
}

TEST(Wire, TheLargestBlockTravelsAndSpansKeepItsSize) {
  example::maker from(11);
  push_section section;
  section.source = {"s", 1};
  row_block block;
  block.dim = 64;
  block.keys = from.keys(block_rows_max);
  block.values = std::as_bytes(from.values<float>(std::size_t{block_rows_max} * 64));
  section.blocks.push_back(block);
  const auto back = decode_push(encode(section));
  ASSERT_TRUE(back.ok()) << describe(back.error());
  EXPECT_TRUE(example::same(*back, section));
}

TEST(Wire, AnAdvanceIsASectionWithoutBlocks) {
  push_section advance;
  advance.source = {"stream", 3};
  advance.batch = batch_number{9};
  advance.prev = batch_number{4};
  const frame bytes = encode(advance);
  const auto back = decode_push(bytes);
  ASSERT_TRUE(back.ok());
  EXPECT_TRUE(back->blocks.empty());
  EXPECT_LE(bytes.size(), 160U);
}

TEST(Wire, ReplyRowsAreWrittenInPlace) {
  pull_reply header;
  header.shard = shard_id{2};
  header.lsn = headrace::lsn{40};
  const pulled_block_layout layouts[] = {{table_id{1}, 2, value_codec::fp32, 9},
                                         {table_id{4}, 3, value_codec::int8, 2}};
  pull_reply_builder builder(header, layouts);
  const auto wide = builder.block(0);
  ASSERT_EQ(wide.values.size(), 9U * 2 * 4);
  ASSERT_EQ(wide.absent.size(), 2U);
  EXPECT_EQ(wide.absent[0], std::byte{0});
  EXPECT_EQ(wide.absent[1], std::byte{0});
  auto* floats = reinterpret_cast<float*>(wide.values.data());
  for (int i = 0; i < 18; ++i) floats[i] = static_cast<float>(i);
  wide.absent[1] = std::byte{1};
  const auto small = builder.block(1);
  ASSERT_EQ(small.scales.size(), 2U);
  std::fill(small.values.begin(), small.values.end(), std::byte{5});
  std::fill(small.scales.begin(), small.scales.end(), std::uint16_t{0x3C00});

  const auto reply = decode_pull_reply(builder.finish());
  ASSERT_TRUE(reply.ok()) << describe(reply.error());
  EXPECT_EQ(reply->lsn.value, 40U);
  ASSERT_EQ(reply->blocks.size(), 2U);
  EXPECT_EQ(reply->blocks[0].fp32_values()[17], 17.0F);
  EXPECT_FALSE(reply->blocks[0].is_absent(7));
  EXPECT_TRUE(reply->blocks[0].is_absent(8));
  EXPECT_EQ(reply->blocks[1].values[5], std::byte{5});
  EXPECT_EQ(reply->blocks[1].scales[1], 0x3C00);
}

TEST(Wire, LongDetailsAndSendersAreCutAndControlBytesShown) {
  push_ack ack;
  ack.detail = std::string(5'000, 'x') + "\n";
  auto back = decode_push_ack(encode(ack));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->detail, std::string(1'000, 'x'));
  ack.detail = "line\nbell\a";
  back = decode_push_ack(encode(ack));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->detail, "line?bell?");
  envelope head;
  head.sender = std::string(100, 'w');
  EXPECT_EQ(decode_envelope(encode(head))->sender, std::string(64, 'w'));
}

TEST(Wire, ASourceIsWrittenWithItsGeneration) {
  EXPECT_EQ(to_string(source_id{"clicks", 3}), "clicks#3");
}

TEST(WireDeathTest, EncodingABlockWhoseCountsDisagreeIsABug) {
  example::maker from(3);
  push_section section;
  section.source = {"s", 1};
  row_block block;
  block.dim = 4;
  block.keys = from.keys(3);
  block.values = std::as_bytes(from.values<float>(11));
  section.blocks.push_back(block);
  EXPECT_DEATH(encode(section), "sizes_fit");
  section.blocks.clear();
  section.source.name = "not a name";
  EXPECT_DEATH(encode(section), "is_source_name");
}

// Frozen numbers: what is stored under them must be found again (docs/adr/0001).

TEST(Hash, StringKeysAreFrozen) {
  EXPECT_EQ(hash_string_key("user_id", "196").value, 0x375B77FAA4C0752FU);
  EXPECT_EQ(hash_string_key("item_id", "196").value, 0xEE1969DAB44D7545U);
  EXPECT_EQ(hash_string_key("user_id", "").value, 0x0ECC842C2C7F3178U);
  EXPECT_EQ(hash_string_key("", "").value, 0x05087BBED866D0DEU);
  EXPECT_EQ(hash_string_key("city", "Z\xC3\xBCrich").value, 0xFED539830DCA813FU);
  EXPECT_EQ(missing_key("user_id").value, 0x8DB80EF8496F3081U);
}

TEST(Hash, AStringKeyIsXxh3OfSaltSeparatorAndValue) {
  const std::string text =
      "user_id\x1F"
      "196";
  EXPECT_EQ(hash_string_key("user_id", "196").value, hash64(std::as_bytes(std::span(text))));
  const std::string missing("user_id\x1F\0", 9);
  EXPECT_EQ(missing_key("user_id").value, hash64(std::as_bytes(std::span(missing))));
  // Around the size up to which no memory is taken.
  for (const std::size_t length : {254U, 255U, 256U, 1'000U}) {
    const std::string value(length, 'v');
    const std::string whole = "s\x1F" + value;
    EXPECT_EQ(hash_string_key("s", value).value, hash64(std::as_bytes(std::span(whole))));
  }
}

TEST(Hash, CrossKeysAreFrozen) {
  const std::array<std::uint64_t, 2> pair{0x375B77FAA4C0752FU, 0xEE1969DAB44D7545U};
  EXPECT_EQ(cross_key("user_x_item", pair).value, 0x773F7D7250CFB881U);
  EXPECT_EQ(cross_key("", pair).value, 0xF96B22BB7CCD2A39U);
}

TEST(Hash, ACrossKeyIsXxh3OfSaltSeparatorAndKeysInTheirOrder) {
  // Around the size up to which no memory is taken, too.
  for (const std::size_t length : {1U, 238U, 239U, 240U, 1'000U}) {
    const std::string salt(length, 's');
    std::string whole = salt + "\x1E";
    for (int byte = 1; byte <= 16; ++byte) whole += static_cast<char>(byte);
    const std::array<std::uint64_t, 2> pair{0x0807060504030201U, 0x100F0E0D0C0B0A09U};
    EXPECT_EQ(cross_key(salt, pair).value, hash64(std::as_bytes(std::span(whole))));
    const std::array<std::uint64_t, 2> reversed{pair[1], pair[0]};
    EXPECT_NE(cross_key(salt, reversed), cross_key(salt, pair));
  }
}

TEST(Hash, MissingEmptyAndNeighbouringSaltsDiffer) {
  const std::set<std::uint64_t> keys = {missing_key("a").value,
                                        missing_key("b").value,
                                        hash_string_key("a", "").value,
                                        hash_string_key("a", "b").value,
                                        hash_string_key("ab", "").value,
                                        hash_string_key("", "ab").value};
  EXPECT_EQ(keys.size(), 6U);
}

TEST(Hash, BytesHashAsXxh3) {
  // Vectors of the reference implementation for the empty input and seed 0.
  EXPECT_EQ(hash64({}), 0x2D06800538D394C2U);
  EXPECT_EQ(hash128_of({}, 0), (hash128{0x6001C324468D497FU, 0x99AA06D3014798D8U}));
  const std::uint64_t word = 1;
  EXPECT_NE(hash128_of(std::as_bytes(std::span(&word, 1)), 1),
            hash128_of(std::as_bytes(std::span(&word, 1)), 2));
  EXPECT_EQ(hash128_of(std::as_bytes(std::span(&word, 1)), 1),
            (hash128{0x521C17117323B0AEU, 0x5E79AE406E85355CU}));
}

TEST(Schema, TheShardOfAKeyIsFrozen) {
  const std::uint64_t keys[] = {0, 1, 2, 1'000'003, ~std::uint64_t{0}};
  const std::uint32_t of_4[] = {3, 1, 2, 0, 0};
  const std::uint32_t of_6[] = {1, 1, 0, 4, 0};
  const std::uint32_t of_64[] = {47, 1, 14, 36, 32};
  for (std::size_t i = 0; i < std::size(keys); ++i) {
    EXPECT_EQ(shard_of(row_key{keys[i]}, 1).value, 0U);
    EXPECT_EQ(shard_of(row_key{keys[i]}, 4).value, of_4[i]) << keys[i];
    EXPECT_EQ(shard_of(row_key{keys[i]}, 6).value, of_6[i]) << keys[i];
    EXPECT_EQ(shard_of(row_key{keys[i]}, 64).value, of_64[i]) << keys[i];
  }
}

TEST(Schema, ShardsAreEvenlyFilledByConsecutiveKeys) {
  for (const std::uint32_t shards : {3U, 4U, 7U, 64U}) {
    std::vector<int> filled(shards);
    const int keys = 1'000 * static_cast<int>(shards);
    for (int key = 0; key < keys; ++key) {
      ++filled[shard_of(row_key{static_cast<std::uint64_t>(key)}, shards).value];
    }
    // Binomial, standard deviation below 32: six of them.
    for (const int count : filled) EXPECT_NEAR(count, 1'000, 192);
  }
}

job_schema two_tables() {
  job_schema schema;
  table_spec first;
  first.name = "first";
  first.dim = 17;
  first.optimizer.first_order_columns = 1;
  first.init = {7, 0.01F};
  table_spec second;
  second.id = table_id{1};
  second.name = "second";
  second.optimizer.kind = optimizer_kind::sgd;
  schema.tables = {first, second};
  return schema;
}

TEST(Schema, TheFingerprintIsFrozen) {
  EXPECT_EQ(fingerprint("demo", two_tables()), 0x5D54BAB1A71AF86AU);
  EXPECT_EQ(fingerprint("", {}), 0xF038C1FC9309D797U);
}

TEST(Schema, EveryFieldChangesTheFingerprint) {
  using change = void (*)(job_schema&);
  const change changes[] = {
      [](job_schema&) {},
      [](job_schema& s) { s.version = 2; },
      [](job_schema& s) { s.shards = 5; },
      [](job_schema& s) { s.tables.pop_back(); },
      [](job_schema& s) { std::swap(s.tables[0], s.tables[1]); },
      [](job_schema& s) { s.tables[0].id = table_id{9}; },
      [](job_schema& s) { s.tables[0].name = "fires"; },
      [](job_schema& s) { s.tables[0].dim = 18; },
      [](job_schema& s) { s.tables[0].optimizer.kind = optimizer_kind::add; },
      [](job_schema& s) {
        s.tables[0].optimizer.rate = std::nextafter(s.tables[0].optimizer.rate, 1.0F);
      },
      [](job_schema& s) { s.tables[0].optimizer.initial_accumulator = 1; },
      [](job_schema& s) { s.tables[0].optimizer.first_rate = 1; },
      [](job_schema& s) { s.tables[0].optimizer.first_initial_accumulator = 1; },
      [](job_schema& s) { s.tables[0].optimizer.first_order_columns = 0; },
      [](job_schema& s) { s.tables[0].optimizer.l2 = 1; },
      [](job_schema& s) { s.tables[0].optimizer.gradient_clip = 1; },
      [](job_schema& s) { s.tables[0].optimizer.schedule.kind = schedule_kind::cosine; },
      [](job_schema& s) { s.tables[0].optimizer.schedule.warmup_batches = 10; },
      [](job_schema& s) { s.tables[0].optimizer.schedule.total_batches = 10; },
      [](job_schema& s) { s.tables[0].optimizer.schedule.floor = 0.5F; },
      [](job_schema& s) { s.tables[0].init.seed = 8; },
      [](job_schema& s) { s.tables[0].init.scale = 1; },
  };
  std::set<std::uint64_t> seen = {fingerprint("other", two_tables())};
  for (const change apply : changes) {
    job_schema schema = two_tables();
    apply(schema);
    seen.insert(fingerprint("demo", schema));
  }
  EXPECT_EQ(seen.size(), std::size(changes) + 1);
}

}  // namespace
}  // namespace headrace::schemas
