#include "base/byte_io.hpp"
#include "base/check.hpp"
#include "worker/join/joiner.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

/// What a joiner saves and loads; to the byte in docs/storage-format.md.
namespace headrace::worker {
namespace {

constexpr std::uint64_t format = 1;
constexpr std::size_t read_at_once = 512;  // payloads from the store

error damaged(const std::string& what) {
  return {errc::corrupt, "saved join: " + what + "; start from an older one or from the log"};
}
error foreign(const char* field, std::uint64_t saved, std::uint64_t now) {
  return {errc::corrupt,
          std::string("saved join: ") + field + " was " + std::to_string(saved) + " and is " +
              std::to_string(now) + "; finish the old job or start a new one"};
}

template <class Counters>
auto numbers_of(Counters& all) {
  return std::array{&all.impressions,
                    &all.actions,
                    &all.matched,
                    &all.correcting,
                    &all.corrections,
                    &all.positives,
                    &all.negatives,
                    &all.left_out,
                    &all.expired_actions,
                    &all.late_events,
                    &all.repeated,
                    &all.repeated_actions,
                    &all.closed_early,
                    &all.forgotten_early};
}

void write_entry(byte_writer& out, const join_entry& one, std::uint64_t deadline) {
  for (const std::uint64_t value :
       {one.key.low, one.key.high, one.time_ms, one.sequence, one.actions, one.behind, deadline})
    out.number(value);
  out.number(static_cast<std::uint8_t>(one.state));
  out.number(one.kind);
  out.number(static_cast<std::uint8_t>(one.payload != payload_pool::none));
}

// Behind each of `owners`' own bytes, its payload.
template <class Owner, class Write>
result<void> write_with_payloads(byte_writer& out,
                                 const payload_pool& pool,
                                 std::span<const Owner> owners,
                                 std::uint32_t (*payload_of)(const Owner&),
                                 Write write) {
  while (!owners.empty()) {
    const auto some = owners.first(std::min(owners.size(), read_at_once));
    owners = owners.subspan(some.size());
    std::vector<std::uint32_t> places;
    for (const Owner& one : some) {
      if (payload_of(one) != payload_pool::none) places.push_back(payload_of(one));
    }
    std::size_t next = 0;
    const auto without = [&] {
      for (; next < some.size() && payload_of(some[next]) == payload_pool::none; ++next)
        write(some[next]);
    };
    auto done = pool.read(places, [&](std::span<const std::byte> payload) {
      without();
      write(some[next++]);
      out.block(payload);
    });
    if (!done) return done;
    without();
  }
  return {};
}

struct saved_entry {
  join_entry entry;
  std::uint64_t deadline = 0;
  std::span<const std::byte> payload;
  bool has_payload = false;
  bool odd = false;  // a flag that is neither 0 nor 1
};

saved_entry read_entry(byte_reader& in) {
  saved_entry one;
  for (std::uint64_t* value : {&one.entry.key.low,
                               &one.entry.key.high,
                               &one.entry.time_ms,
                               &one.entry.sequence,
                               &one.entry.actions,
                               &one.entry.behind,
                               &one.deadline})
    *value = in.number<std::uint64_t>();
  one.entry.state = static_cast<join_state>(in.number<std::uint8_t>());
  one.entry.kind = in.number<std::uint8_t>();
  const auto flag = in.number<std::uint8_t>();
  one.has_payload = flag == 1;
  one.odd = flag > 1;
  if (one.has_payload) one.payload = in.block();
  return one;
}

// Not inlined: g++ 12 at -O3 takes the writer's vector for smaller than it is.
template <class Number>
[[gnu::noinline]] void put(byte_writer& out, Number value) {
  out.number(value);
}

}  // namespace

result<std::vector<std::byte>> joiner::save() const {
  byte_writer out;
  put(out, std::uint64_t{0});  // of the checksum
  put(out, format);
  for (const std::uint64_t value :
       {how_.window_ms, how_.out_of_order_ms, how_.correct_ms, how_.early_ms, how_.seed})
    put(out, value);
  put(out, how_.actions);
  put(out, how_.negative_share);
  for (const std::uint64_t value : {watermark_, newest_, last_arrived_, next_sequence_})
    put(out, value);
  put(out, static_cast<std::uint8_t>(begun_));
  for (const std::uint64_t* value : numbers_of(count_)) put(out, *value);

  struct owner {
    const join_entry* entry;
    std::uint64_t deadline;
  };
  std::vector<owner> entries;
  for (const auto& item : queue_.by_sequence())
    entries.push_back({&table_.at(item.entry), item.deadline});
  put(out, std::uint64_t{entries.size()});
  if (auto done = write_with_payloads<owner>(
          out,
          pool_,
          entries,
          [](const owner& one) { return one.entry->payload; },
          [&](const owner& one) { write_entry(out, *one.entry, one.deadline); });
      !done)
    return done.error();

  std::vector<ready_sample> samples;
  for (const ready_sample& one : ready_) {
    if (one.sample) samples.push_back(one);
  }
  put(out, std::uint64_t{samples.size()});
  if (auto done = write_with_payloads<ready_sample>(
          out,
          pool_,
          samples,
          [](const ready_sample& one) { return one.payload; },
          [&](const ready_sample& one) {
            put(out, static_cast<std::uint8_t>(one.outcome));
            put(out, one.time_ms);
            put(out, one.actions);
            put(out, one.arrived_ms);
          });
      !done)
    return done.error();
  std::vector<std::byte> bytes = out.take();
  const std::uint64_t sum = schemas::hash64(std::span(bytes).subspan(sizeof(std::uint64_t)));
  std::memcpy(bytes.data(), &sum, sizeof sum);
  return bytes;
}

// Whether a saved join is one of these settings.
result<void> joiner::read_settings(byte_reader& in) const {
  struct field {
    const char* name;
    std::uint64_t now;
  };
  for (const field& one : {field{"window_ms", how_.window_ms},
                           field{"out_of_order_ms", how_.out_of_order_ms},
                           field{"correct_ms", how_.correct_ms},
                           field{"early_ms", how_.early_ms},
                           field{"seed", how_.seed}}) {
    const auto saved = in.number<std::uint64_t>();
    if (in.ok() && saved != one.now) return foreign(one.name, saved, one.now);
  }
  const auto actions = in.number<std::uint32_t>();
  const auto share = in.number<float>();
  if (in.ok() && actions != how_.actions) return foreign("actions", actions, how_.actions);
  if (in.ok() && !(share == how_.negative_share))
    return damaged("negative_share was " + std::to_string(share) + " and is " +
                   std::to_string(how_.negative_share));
  if (!in.ok()) return damaged("cut short");
  return {};
}

// What is wrong with an entry, or nothing.
const char* joiner::fault_of(const join_entry& one,
                             std::uint64_t deadline_ms,
                             bool has_payload) const {
  if (one.state > join_state::decided) return "an entry of no known state";
  if (one.sequence >= next_sequence_) return "an entry from behind the end";
  if (((one.actions | one.behind) & ~all_actions_) != 0) return "an action of no known kind";
  if (!one.is_impression()) {
    if (one.kind >= how_.actions) return "an action of no known kind";
    if (one.actions != 0 || one.behind != 0 || has_payload) return "an action like an impression";
    return deadline_ms == deadline(one) ? nullptr : "an action with another end";
  }
  if (one.kind != 0) return "an impression like an action";
  const bool pending = one.state == join_state::pending;
  if (pending && one.actions == all_actions_) return "an impression that is complete but pending";
  if (has_payload != (one.actions != all_actions_)) return "an impression and no payload";
  join_entry before = one;
  before.state = join_state::pending;
  if (deadline_ms != deadline(one) && (pending || deadline_ms != deadline(before)))
    return "an impression with another end";
  return nullptr;
}

result<void> joiner::load(std::span<const std::byte> saved) {
  CHECK(!begun_);
  CHECK(table_.size() == 0);
  joiner read(how_, nullptr);
  auto payloads = read.read_state(saved);
  if (!payloads) return payloads.error();
  const auto& [of_entries, of_ready] = *payloads;
  for (const auto& [entry, payload] : of_entries)
    read.table_.at(entry).payload = pool_.add(payload);
  for (std::size_t i = 0; i < of_ready.size(); ++i) {
    const std::uint32_t place = pool_.add(of_ready[i]);
    read.ready_[2 * i].payload = place;
    read.ready_[2 * i + 1].payload = place;
    read.leaving_ += payload_pool::cost(of_ready[i].size());
  }
  if (failure()) return *failure();
  std::swap(read.pool_, pool_);
  *this = std::move(read);
  return {};
}

result<joiner::saved_payloads> joiner::read_state(std::span<const std::byte> saved) {
  byte_reader in(saved);
  const auto sum = in.number<std::uint64_t>();
  if (!in.ok() || sum != schemas::hash64(saved.subspan(sizeof sum)))
    return damaged("its checksum is wrong");
  if (const auto known = in.number<std::uint64_t>(); in.ok() && known != format)
    return damaged("format " + std::to_string(known) + ", this program reads " +
                   std::to_string(format));
  if (auto settings = read_settings(in); !settings) return settings.error();
  for (std::uint64_t* value : {&watermark_, &newest_, &last_arrived_, &next_sequence_})
    *value = in.number<std::uint64_t>();
  const auto begun = in.number<std::uint8_t>();
  if (begun > 1) return damaged("an odd flag");
  begun_ = begun == 1;
  for (std::uint64_t* value : numbers_of(count_)) *value = in.number<std::uint64_t>();
  decided_at_ = last_arrived_;

  saved_payloads payloads;
  const auto entries = in.number<std::uint64_t>();
  std::uint64_t sequence_min = 0;
  for (std::uint64_t i = 0; in.ok() && i < entries; ++i) {
    const saved_entry one = read_entry(in);
    if (!in.ok()) break;
    if (one.odd) return damaged("an entry with an odd flag");
    if (const char* fault = fault_of(one.entry, one.deadline, one.has_payload))
      return damaged(fault);
    if (one.entry.sequence < sequence_min) return damaged("entries out of their order");
    sequence_min = one.entry.sequence + 1;
    const auto known =
        one.entry.state == join_state::gone ? join_table::none : table_.find(one.entry.key);
    if (known != join_table::none &&
        (one.entry.is_impression() || table_.at(known).is_impression()))
      return damaged("a key twice");
    const std::uint32_t entry = table_.add(one.entry);
    queue_.push({one.deadline, one.entry.sequence, entry});
    if (one.has_payload) payloads.of_entries.emplace_back(entry, one.payload);
  }
  const auto ready = in.number<std::uint64_t>();
  for (std::uint64_t i = 0; in.ok() && i < ready; ++i) {
    ready_sample one;
    one.sample = true;
    one.outcome = static_cast<join_outcome>(in.number<std::uint8_t>());
    one.time_ms = in.number<std::uint64_t>();
    one.actions = in.number<std::uint64_t>();
    one.arrived_ms = in.number<std::uint64_t>();
    const auto payload = in.block();
    if (one.outcome > join_outcome::correction || (one.actions & ~all_actions_) != 0)
      return damaged("a sample of no known kind");
    ready_.push_back(one);
    ready_.push_back({});
    payloads.of_ready.push_back(payload);
  }
  if (!in.at_end()) return damaged("cut short, or longer than it says");
  return payloads;
}

}  // namespace headrace::worker
