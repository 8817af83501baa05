#pragma once

#include "base/random.hpp"
#include "schemas/control.hpp"
#include "schemas/delta.hpp"
#include "schemas/event.hpp"
#include "schemas/follow.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"
#include "schemas/sample.hpp"
#include "schemas/samples.hpp"
#include "schemas/wire.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

/// Messages for tests: random ones from a seed, and equality that follows spans. Included by tests
/// only.
namespace headrace::schemas::example {

/// Draws messages; owns what their spans point into, so a message lives as long as its maker.
class maker {
 public:
  explicit maker(std::uint64_t seed) : random_(seed) {}

  std::uint64_t number() { return random_.next(); }
  std::uint32_t small() { return static_cast<std::uint32_t>(random_.next()); }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_.next_below(n)); }
  bool coin() { return below(2) == 1; }

  std::string text(std::size_t most) {
    std::string made(below(most + 1), ' ');
    for (char& c : made) c = static_cast<char>(' ' + below(95));
    return made;
  }
  source_id source() {
    constexpr std::string_view letters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    source_id made{std::string(1 + below(64), 'x'), small()};
    for (char& c : made.name) c = letters[below(letters.size())];
    return made;
  }
  errc status() { return coin() ? errc::ok : static_cast<errc>(1 + below(7)); }
  value_codec codec() { return static_cast<value_codec>(below(4)); }
  /// Mostly small counts, with the edges around a byte and a word.
  std::size_t count() {
    constexpr std::size_t edges[] = {0, 1, 2, 7, 8, 9, 63, 64, 65};
    return coin() ? edges[below(std::size(edges))] : below(200);
  }

  template <class Value>
  std::span<Value> values(std::size_t n) {
    auto& memory = memory_.emplace_back((n * sizeof(Value) + 7) / 8);
    for (auto& word : memory) word = number();
    return {reinterpret_cast<Value*>(memory.data()), n};
  }
  std::span<const std::uint64_t> keys(std::size_t n) {
    const auto made = values<std::uint64_t>(n);
    std::sort(made.begin(), made.end());
    return made;
  }

  envelope make_envelope() {
    envelope made;
    made.kind = static_cast<message_kind>(1 + below(12));
    made.reply = coin();
    made.request_id = number();
    made.first_section = small();
    made.sender = text(64);
    made.sections.resize(below(20));
    for (auto& section : made.sections) section.shard = shard_id{small()};
    return made;
  }
  row_block block(std::uint32_t table) {
    row_block made;
    const std::size_t rows = count();
    made.table = table_id{table};
    made.dim = static_cast<std::uint32_t>(1 + below(17));
    made.codec = static_cast<value_codec>(below(6));
    made.keys = keys(rows);
    if (coin()) made.keys_as = key_codec::delta_packed;
    if (coin()) made.counts = values<std::uint32_t>(rows);
    const std::size_t cells = rows * made.dim;
    const std::size_t chosen = made.codec == value_codec::topk ? below(cells + 1) : 0;
    made.scales = values<std::uint16_t>(value_layout_scales(made.codec, rows, made.dim, chosen));
    const auto bytes = values<std::byte>(value_layout_bytes(made.codec, rows, made.dim, chosen));
    if (made.codec == value_codec::topk) choose(bytes, cells, chosen);
    made.values = bytes;
    return made;
  }
  /// Makes `bytes` topk values of `chosen` of the cells; their codes stay.
  void choose(std::span<std::byte> bytes, std::size_t cells, std::size_t chosen) {
    if (bytes.empty()) return;
    const auto k = static_cast<std::uint32_t>(chosen);
    std::memcpy(bytes.data(), &k, sizeof k);
    std::vector<std::uint32_t> indices;
    for (std::size_t i = 0; i < cells; ++i) {
      if (below(cells - i) < chosen - indices.size())
        indices.push_back(static_cast<std::uint32_t>(i));
    }
    pack_indices(indices, cells, bytes.subspan(topk_head_bytes + chosen));
  }
  push_section push() {
    push_section made;
    made.epoch = headrace::epoch{number()};
    made.schema_version = small();
    made.shard = shard_id{small()};
    made.source = source();
    made.lane = coin() ? schemas::lane::rows : schemas::lane::dense;
    made.batch = batch_number{number()};
    made.prev = batch_number{number()};
    made.pulled_version = number();
    made.event_time_ms = number();
    made.accepted_ms = number();
    for (std::size_t i = below(4); i > 0; --i) made.blocks.push_back(block(small()));
    return made;
  }
  push_ack ack() {
    push_ack made;
    made.shard = shard_id{small()};
    made.status = status();
    made.detail = text(200);
    made.applied = coin();
    made.watermark = batch_number{number()};
    made.lsn = headrace::lsn{number()};
    made.version = number();
    made.slowest_clock = number();
    made.epoch = headrace::epoch{number()};
    made.mode = static_cast<log_mode>(below(3));
    made.retry_after_ms = small();
    made.lane = coin() ? lane::dense : lane::rows;
    return made;
  }
  pull_section pull() {
    pull_section made;
    made.epoch = headrace::epoch{number()};
    made.schema_version = small();
    made.shard = shard_id{small()};
    made.at_least = headrace::lsn{number()};
    for (std::size_t i = below(4); i > 0; --i) {
      made.blocks.push_back({table_id{small()}, codec(), keys(count())});
    }
    return made;
  }
  pull_reply reply() {
    pull_reply made;
    made.shard = shard_id{small()};
    made.status = status();
    made.detail = text(200);
    made.epoch = headrace::epoch{number()};
    made.lsn = headrace::lsn{number()};
    made.version = number();
    for (std::size_t i = below(4); i > 0; --i) made.blocks.push_back(pulled());
    return made;
  }
  schemas::delta delta() {
    schemas::delta made;
    made.shard = shard_id{small()};
    made.epoch = headrace::epoch{number()};
    made.schema_version = small();
    made.whole = coin();
    made.session = number();
    made.number = number();
    made.follows = number();
    made.lsn = headrace::lsn{number()};
    made.version = number();
    made.accepted_ms = number();
    made.head_version = number();
    for (std::size_t i = below(4); i > 0; --i) made.blocks.push_back(changed());
    return made;
  }
  delta_block changed() {
    const std::size_t rows = count();
    delta_block made;
    made.table = table_id{small()};
    made.dim = static_cast<std::uint32_t>(1 + below(17));
    made.codec = codec();
    made.keys = keys(rows);
    made.values = values<std::byte>(rows * made.dim * value_bytes(made.codec));
    if (made.codec == value_codec::int8) made.scales = values<std::uint16_t>(rows);
    made.gone = keys(below(4));
    return made;
  }
  pulled_block pulled() {
    pulled_block made;
    made.table = table_id{small()};
    made.dim = static_cast<std::uint32_t>(1 + below(17));
    made.codec = codec();
    made.rows = static_cast<std::uint32_t>(count());
    const bool quantized = made.codec == value_codec::int8;
    made.values = std::as_bytes(values<std::byte>(made.rows * made.dim * value_bytes(made.codec)));
    if (quantized) made.scales = values<std::uint16_t>(made.rows);
    made.absent = values<std::byte>((made.rows + 7) / 8);
    return made;
  }
  sample_batch samples() {
    sample_batch made;
    made.source = source();
    made.batch = batch_number{number()};
    made.prev = batch_number{number()};
    made.schema_version = small();
    made.offset_end = number();
    made.event_time_min_ms = number();
    made.event_time_max_ms = number();
    made.accepted_ms = number();
    made.accepted_span_ms = small();
    made.last = coin();
    made.samples = static_cast<std::uint32_t>(count());
    made.history = static_cast<std::uint32_t>(below(made.samples + 1));
    made.features = static_cast<std::uint32_t>(below(9));
    made.label_count = static_cast<std::uint32_t>(1 + below(3));
    made.sequences = static_cast<std::uint32_t>(below(3));
    const std::size_t cells = std::size_t{made.samples} * made.features;
    for (std::size_t i = 0; i < made.samples; ++i) {
      for (std::uint32_t l = 0; l < made.label_count; ++l)
        made.labels.push_back(coin() ? 1.0F : 0.0F);
      for (std::uint32_t s = 0; s < made.sequences; ++s) {
        made.lengths.push_back(static_cast<std::uint16_t>(below(5)));
        for (std::size_t k = 0; k < made.lengths.back(); ++k)
          made.sequence_keys.push_back(number());
      }
      made.row_numbers.push_back(number());
    }
    for (std::size_t i = 0; i < cells; ++i) made.keys.push_back(number());
    if (coin()) {
      for (std::size_t i = 0; i < cells; ++i) made.values.push_back(unit_float(number()));
    }
    return made;
  }
  hello make_hello() {
    return {static_cast<std::uint16_t>(small()),
            static_cast<std::uint16_t>(small()),
            number(),
            text(64)};
  }
  welcome make_welcome() {
    return {status(),
            text(200),
            static_cast<std::uint16_t>(small()),
            small(),
            headrace::epoch{number()},
            small()};
  }
  watermark_request ask_watermarks() { return {shard_id{small()}, source()}; }
  watermark_reply watermarks() {
    return {shard_id{small()},
            status(),
            text(200),
            batch_number{number()},
            batch_number{number()},
            headrace::epoch{number()}};
  }
  digest_request ask_digest() { return {shard_id{small()}, small() % 2 == 0}; }
  digest_reply digest() {
    return {shard_id{small()},
            status(),
            text(200),
            number(),
            number(),
            number(),
            number(),
            number(),
            number(),
            headrace::lsn{number()}};
  }
  flush_request ask_flush() { return {shard_id{small()}}; }
  flush_reply flushed() {
    return {shard_id{small()}, status(), text(200), headrace::lsn{number()}};
  }
  status_request ask_status() { return {shard_id{small()}}; }
  status_reply how_it_is() {
    return {shard_id{small()},
            status(),
            text(200),
            small(),
            number(),
            number(),
            headrace::lsn{number()},
            headrace::lsn{number()},
            number(),
            number(),
            number(),
            headrace::lsn{number()},
            static_cast<log_mode>(below(3)),
            number(),
            number(),
            number(),
            number(),
            number(),
            text(200)};
  }
  checkpoint_request ask_checkpoint() { return {number()}; }
  checkpoint_reply checkpoint() {
    return {status(), text(200), coin(), text(60), number(), number(), number(), number()};
  }
  forget_request ask_forget() {
    return {shard_id{small()}, table_id{small()}, coin(), some_numbers()};
  }
  forget_reply forgotten() {
    return {shard_id{small()}, status(), text(200), headrace::lsn{number()}, some_numbers()};
  }
  release_request ask_release() { return {shard_id{small()}, source().name}; }
  release_reply released() { return {shard_id{small()}, status(), text(200), coin()}; }
  event_batch events() {
    event_batch made;
    made.schema_version = small();
    made.producer = kept(producer_bytes_max);
    made.partition = kept(20);
    made.offset_end = number();
    const std::size_t names = 1 + below(9);
    for (std::size_t i = 0; i < names; ++i)
      made.names.push_back(keep("column " + std::to_string(i) + text(20)));
    made.events.resize(below(20));
    for (event_head& event : made.events) add_event(made, event);
    return made;
  }
  event_ack events_ack() {
    event_ack made{status(), text(200), small(), small(), small(), {}, small()};
    for (std::size_t i = below(refusals_max + 1); i > 0; --i)
      made.refusals.push_back({small(), static_cast<event_fault>(below(13)), text(60)});
    return made;
  }
  event_push pushed_events() { return {text(40), encode(events())}; }
  follow_request ask_deltas() {
    return {shard_id{small()},
            number(),
            number() | 1,
            number() >> 1,
            number(),
            small(),
            small(),
            small()};
  }
  follow_reply followed() {
    return {status(), text(200), small(), coin() ? encode(delta()) : frame{}};
  }
  samples_request ask_samples() {
    return {source(),
            number(),
            number(),
            number(),
            batch_number{1 + (number() >> 1)},
            batch_number{number()},
            batch_number{number()},
            small(),
            small(),
            number()};
  }
  samples_reply sealed_samples() {
    samples_reply made{status(),
                       text(200),
                       number(),
                       batch_number{number()},
                       batch_number{number()},
                       number(),
                       coin(),
                       coin(),
                       number(),
                       text(60),
                       text(60),
                       {}};
    for (std::size_t i = below(5); i > 0; --i)
      made.batches.push_back({number(), coin() ? encode(samples()) : frame{}});
    return made;
  }

 private:
  std::string_view keep(std::string text) { return texts_.emplace_back(std::move(text)); }
  std::string_view kept(std::size_t most) { return keep(text(most)); }
  void add_event(event_batch& batch, event_head& event) {
    event.id = kept(event_id_bytes_max);
    event.key = kept(20);
    event.time_ms = number();
    event.kind = static_cast<event_kind>(below(2));
    if (event.kind == event_kind::action)
      event.action = static_cast<std::uint16_t>(below(batch.names.size()));
    event.fields_begin = static_cast<std::uint32_t>(batch.fields.size());
    for (std::uint16_t name = 0; name < batch.names.size(); ++name) {
      if (coin()) batch.fields.push_back(field(batch, name));
    }
    event.fields_count = static_cast<std::uint32_t>(batch.fields.size()) - event.fields_begin;
  }
  event_field field(event_batch& batch, std::uint16_t name) {
    event_field made;
    made.name = name;
    made.kind = static_cast<field_kind>(below(4));
    if (made.kind == field_kind::text) made.text = kept(30);
    if (made.kind == field_kind::number) made.number = unit_double(number());
    if (made.kind == field_kind::integer) made.integer = static_cast<std::int64_t>(number());
    if (made.kind != field_kind::texts) return made;
    made.texts_begin = static_cast<std::uint32_t>(batch.texts.size());
    made.texts_count = static_cast<std::uint32_t>(below(4));
    for (std::uint32_t i = 0; i < made.texts_count; ++i) batch.texts.push_back(kept(12));
    return made;
  }
  std::vector<std::uint64_t> some_numbers() {
    const auto made = keys(count());
    return {made.begin(), made.end()};
  }

  random_stream random_;
  std::deque<std::vector<std::uint64_t>> memory_;
  std::deque<std::string> texts_;
};

template <class Value>
bool same(std::span<const Value> a, std::span<const Value> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

inline bool same(const row_block& a, const row_block& b) {
  return a.table == b.table && a.dim == b.dim && a.codec == b.codec && a.keys_as == b.keys_as &&
         same(a.keys, b.keys) && same(a.counts, b.counts) && same(a.scales, b.scales) &&
         same(a.values, b.values);
}
inline bool same(const pull_block& a, const pull_block& b) {
  return a.table == b.table && a.codec == b.codec && same(a.keys, b.keys);
}
inline bool same(const delta_block& a, const delta_block& b) {
  return a.table == b.table && a.dim == b.dim && a.codec == b.codec && same(a.keys, b.keys) &&
         same(a.scales, b.scales) && same(a.values, b.values) && same(a.gone, b.gone);
}
inline bool same(const pulled_block& a, const pulled_block& b) {
  return a.table == b.table && a.dim == b.dim && a.codec == b.codec && a.rows == b.rows &&
         same(a.values, b.values) && same(a.scales, b.scales) && same(a.absent, b.absent);
}
template <class Block>
bool same_blocks(const std::vector<Block>& a, const std::vector<Block>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return same(x, y);
  });
}
inline bool same(const push_section& a, const push_section& b) {
  return a.epoch == b.epoch && a.schema_version == b.schema_version && a.shard == b.shard &&
         a.source == b.source && a.lane == b.lane && a.batch == b.batch && a.prev == b.prev &&
         a.pulled_version == b.pulled_version && a.event_time_ms == b.event_time_ms &&
         a.accepted_ms == b.accepted_ms && same_blocks(a.blocks, b.blocks);
}
inline bool same(const delta& a, const delta& b) {
  return a.shard == b.shard && a.epoch == b.epoch && a.schema_version == b.schema_version &&
         a.whole == b.whole && a.session == b.session && a.number == b.number &&
         a.follows == b.follows && a.lsn == b.lsn && a.version == b.version &&
         a.accepted_ms == b.accepted_ms && a.head_version == b.head_version &&
         same_blocks(a.blocks, b.blocks);
}
inline bool same(const pull_section& a, const pull_section& b) {
  return a.epoch == b.epoch && a.schema_version == b.schema_version && a.shard == b.shard &&
         a.at_least == b.at_least && same_blocks(a.blocks, b.blocks);
}
inline bool same(const pull_reply& a, const pull_reply& b) {
  return a.shard == b.shard && a.status == b.status && a.detail == b.detail && a.epoch == b.epoch &&
         a.lsn == b.lsn && a.version == b.version && same_blocks(a.blocks, b.blocks);
}
/// Compares by bits, so that a NaN equals itself: bytes changed in flight make NaNs.
inline bool same(const sample_batch& a, const sample_batch& b) {
  const auto floats = [](const std::vector<float>& x, const std::vector<float>& y) {
    return same(std::span<const float>(x), std::span<const float>(y));
  };
  sample_batch c = a;
  sample_batch d = b;
  c.labels.clear();
  c.values.clear();
  d.labels.clear();
  d.values.clear();
  return c == d && floats(a.labels, b.labels) && floats(a.values, b.values);
}
/// By value: texts of columns may lie in another order.
inline bool same_columns(const event_batch& a,
                         const event_field& x,
                         const event_batch& b,
                         const event_field& y) {
  return a.names[x.name] == b.names[y.name] && x.kind == y.kind && x.text == y.text &&
         x.number == y.number && x.integer == y.integer &&
         std::ranges::equal(a.texts_of(x), b.texts_of(y));
}
inline bool same_events(const event_batch& a,
                        const event_head& x,
                        const event_batch& b,
                        const event_head& y) {
  const bool action = x.kind == event_kind::action;
  return x.id == y.id && x.key == y.key && x.time_ms == y.time_ms && x.kind == y.kind &&
         (!action || a.names[x.action] == b.names[y.action]) &&
         std::ranges::equal(a.fields_of(x), b.fields_of(y), [&](const auto& f, const auto& g) {
           return same_columns(a, f, b, g);
         });
}
inline bool same(const event_batch& a, const event_batch& b) {
  return a.schema_version == b.schema_version && a.producer == b.producer &&
         a.partition == b.partition && a.offset_end == b.offset_end && a.names == b.names &&
         std::ranges::equal(a.events, b.events, [&](const auto& x, const auto& y) {
           return same_events(a, x, b, y);
         });
}
inline bool same(const event_push& a, const event_push& b) {
  return a.token == b.token && same(a.batch.bytes(), b.batch.bytes());
}
inline bool same(const follow_reply& a, const follow_reply& b) {
  return a.status == b.status && a.detail == b.detail && a.retry_after_ms == b.retry_after_ms &&
         same(a.delta.bytes(), b.delta.bytes());
}
inline bool same(const samples_reply& a, const samples_reply& b) {
  return a.status == b.status && a.detail == b.detail && a.stream == b.stream && a.from == b.from &&
         a.newest == b.newest && a.records == b.records && a.live == b.live && a.ended == b.ended &&
         a.bad_rows == b.bad_rows && a.first_bad_row == b.first_bad_row &&
         a.bad_row_reasons == b.bad_row_reasons &&
         std::ranges::equal(a.batches, b.batches, [](const auto& x, const auto& y) {
           return x.hash == y.hash && same(x.bytes.bytes(), y.bytes.bytes());
         });
}
template <class Message>
bool same(const Message& a, const Message& b) {
  return a == b;
}

/// Calls visit(name, message, decode) for one message of each kind, drawn from `from`.
template <class Visit>
void each_kind(maker& from, Visit visit) {
  visit("envelope", from.make_envelope(), decode_envelope);
  visit("push", from.push(), decode_push);
  visit("push_ack", from.ack(), decode_push_ack);
  visit("pull", from.pull(), decode_pull);
  visit("pull_reply", from.reply(), decode_pull_reply);
  visit("delta", from.delta(), decode_delta);
  visit("sample_batch", from.samples(), decode_sample_batch);
  visit("hello", from.make_hello(), decode_hello);
  visit("welcome", from.make_welcome(), decode_welcome);
  visit("watermark_request", from.ask_watermarks(), decode_watermark_request);
  visit("watermark_reply", from.watermarks(), decode_watermark_reply);
  visit("digest_request", from.ask_digest(), decode_digest_request);
  visit("digest_reply", from.digest(), decode_digest_reply);
  visit("flush_request", from.ask_flush(), decode_flush_request);
  visit("flush_reply", from.flushed(), decode_flush_reply);
  visit("status_request", from.ask_status(), decode_status_request);
  visit("status_reply", from.how_it_is(), decode_status_reply);
  visit("checkpoint_request", from.ask_checkpoint(), decode_checkpoint_request);
  visit("checkpoint_reply", from.checkpoint(), decode_checkpoint_reply);
  visit("forget_request", from.ask_forget(), decode_forget_request);
  visit("forget_reply", from.forgotten(), decode_forget_reply);
  visit("release_request", from.ask_release(), decode_release_request);
  visit("release_reply", from.released(), decode_release_reply);
  visit("event_batch", from.events(), [](const frame& bytes) { return decode_event_batch(bytes); });
  visit("event_ack", from.events_ack(), decode_event_ack);
  visit("event_push", from.pushed_events(), decode_event_push);
  visit("samples_request", from.ask_samples(), decode_samples_request);
  visit("samples_reply", from.sealed_samples(), decode_samples_reply);
  visit("follow_request", from.ask_deltas(), decode_follow_request);
  visit("follow_reply", from.followed(), decode_follow_reply);
}

}  // namespace headrace::schemas::example
