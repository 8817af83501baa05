#pragma once

#include "base/check.hpp"
#include "base/random.hpp"
#include "storage/rocks_row_store.hpp"
#include "storage/row_store.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <ostream>
#include <span>
#include <vector>

/// Rows that tests write and find again.
namespace headrace::storage {

// A row with memory of its own; words, not floats, since NaN and -0 must come back as they were.
struct owned_row {
  stored_row row;
  std::vector<std::uint32_t> words;

  friend bool operator==(const owned_row& a, const owned_row& b) {
    return a.row.table == b.row.table && a.row.key == b.row.key && a.row.lsn == b.row.lsn &&
           a.row.last_seen_ms == b.row.last_seen_ms && a.row.count == b.row.count &&
           a.row.flags == b.row.flags && a.words == b.words && a.row.removed == b.row.removed;
  }
  friend void PrintTo(const owned_row& one, std::ostream* out) {
    *out << "table " << one.row.table.value << " key " << one.row.key.value << " lsn "
         << one.row.lsn.value << " words " << one.words.size();
  }
};

inline owned_row copy_of(const stored_row& row) {
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(row.payload.data()) % 4, 0U);
  owned_row made{row, std::vector<std::uint32_t>(row.payload.size() / 4)};
  std::ranges::copy(row.payload, std::as_writable_bytes(std::span(made.words)).begin());
  made.row.payload = {};
  return made;
}

inline owned_row row_of(std::uint32_t table, std::uint64_t key, std::uint64_t generation) {
  random_stream draw(mix64(key) ^ generation);
  owned_row made;
  made.row = {.table = table_id{table},
              .key = row_key{key},
              .lsn = lsn{generation},
              .last_seen_ms = draw.next(),
              .count = static_cast<std::uint32_t>(draw.next()),
              .flags = static_cast<std::uint32_t>(draw.next()),
              .payload = {}};
  made.words.resize(draw.next_below(20));
  for (auto& word : made.words) word = static_cast<std::uint32_t>(draw.next());
  return made;
}

inline owned_row removal_of(std::uint32_t table, std::uint64_t key, std::uint64_t generation) {
  owned_row made;
  made.row = {.table = table_id{table},
              .key = row_key{key},
              .lsn = lsn{generation},
              .payload = {},
              .removed = true};
  return made;
}

inline std::uint64_t seed_of_run() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given == nullptr ? 21 : std::strtoull(given, nullptr, 10);
}

inline result<void> write(row_store& store, shard_id shard, const std::vector<owned_row>& rows) {
  std::vector<stored_row> views;
  for (const auto& one : rows) {
    views.push_back(one.row);
    views.back().payload = std::as_bytes(std::span(one.words));
  }
  return store.write(shard, views);
}

inline shard_position position_of(std::uint64_t flushed) {
  shard_position position{lsn{flushed}, epoch{flushed + 1}, {}};
  position.state.assign(flushed % 40, static_cast<std::byte>(flushed));
  return position;
}

inline std::vector<owned_row> scan(row_store& store, shard_id shard) {
  std::vector<owned_row> seen;
  const auto done = store.scan(shard, [&](const stored_row& row) { seen.push_back(copy_of(row)); });
  EXPECT_TRUE(done.ok()) << describe(done.error());
  return seen;
}

inline std::vector<owned_row> read(row_store& store,
                                   shard_id shard,
                                   std::uint32_t table,
                                   const std::vector<std::uint64_t>& keys) {
  std::vector<row_key> names;
  for (const auto key : keys) names.push_back(row_key{key});
  std::vector<owned_row> seen;
  const auto done = store.read(
      shard, table_id{table}, names, [&](const stored_row& row) { seen.push_back(copy_of(row)); });
  EXPECT_TRUE(done.ok()) << describe(done.error());
  return seen;
}

// Rows of a larger write.
inline constexpr std::size_t rows_of_a_file = 100;

inline std::unique_ptr<rocks_row_store> open_rocks(const std::filesystem::path& path,
                                                   bool read_only = false) {
  rocks_row_store::options how;
  how.path = path;
  how.read_only = read_only;
  auto opened = rocks_row_store::open(std::move(how));
  EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : describe(opened.error()));
  CHECK(opened.ok());
  return std::move(*opened);
}

}  // namespace headrace::storage
