#include "schemas/example_messages.hpp"
#include "schemas/hash.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

// tests/golden/ keeps the bytes and the meaning of each message for ever: NAME.bin must still be
// written byte by byte, and read to the values in NAME.json. HEADRACE_WRITE_GOLDEN=1 writes what is
// missing, never what is there: a new message or a new protocol version gets a new name.
namespace headrace::schemas {
namespace {

/// One JSON object, a field a line. Numbers of 64 bits are strings: readers with doubles keep them.
class json {
 public:
  json& add(const char* field, const std::string& text) { return raw(field, quoted(text)); }
  json& add(const char* field, std::uint64_t value) {
    return raw(field, quoted(std::to_string(value)));
  }
  json& add(const char* field, std::uint32_t value) { return raw(field, std::to_string(value)); }
  json& add(const char* field, bool value) { return raw(field, value ? "true" : "false"); }
  json& add(const char* field, errc value) { return raw(field, quoted(std::string(name(value)))); }
  json& add(const char* field, const source_id& value) { return add(field, to_string(value)); }
  template <class Tag, class Rep>
  json& add(const char* field, strong_id<Tag, Rep> id) {
    return add(field, id.value);
  }
  template <class Values, class Print>
  json& list(const char* field, const Values& values, Print print) {
    std::string text = "[";
    for (const auto& value : values) {
      if (text.size() > 1) text += ", ";
      text += print(value);
    }
    return raw(field, text + "]");
  }
  json& add(const char* field, double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", value);
    return raw(field, text);
  }
  json& texts(const char* field, std::span<const std::string_view> values) {
    return list(field, values, [](std::string_view v) { return quoted(std::string(v)); });
  }
  json& numbers(const char* field, std::span<const std::uint64_t> values) {
    return list(field, values, [](std::uint64_t v) { return quoted(std::to_string(v)); });
  }
  json& numbers(const char* field, std::span<const float> values) {
    return list(field, values, [](float v) {
      char text[32];
      std::snprintf(text, sizeof text, "%.9g", static_cast<double>(v));
      return std::string(text);
    });
  }
  template <class Value>
  json& small_numbers(const char* field, std::span<const Value> values) {
    return list(field, values, [](Value v) { return std::to_string(static_cast<int>(v)); });
  }
  json& raw(const char* field, const std::string& value) {
    body_ += body_.empty() ? "\n" : ",\n";
    body_ += quoted(field) + ": " + value;
    return *this;
  }
  std::string text() const { return "{" + body_ + "\n}"; }

 private:
  static std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    return out + '"';
  }
  std::string body_;
};

std::string codec_name(value_codec codec) { return std::string(name(codec)); }

std::string json_of(const envelope& m) {
  return json()
      .add("protocol", std::uint32_t{m.protocol})
      .add("kind", static_cast<std::uint32_t>(m.kind))
      .add("reply", m.reply)
      .add("request_id", m.request_id)
      .add("first_section", m.first_section)
      .add("sender", m.sender)
      .list("sections",
            m.sections,
            [](const section_ref& s) { return std::to_string(s.shard.value); })
      .text();
}

/// The values of a block, as its codec stores them.
void add_values(json& out, value_codec codec, std::span<const std::byte> bytes) {
  if (codec == value_codec::topk) {
    const topk_values chosen = split_topk(bytes);
    out.small_numbers("codes", chosen.codes);
    out.small_numbers("positions",
                      std::span(reinterpret_cast<const std::uint8_t*>(chosen.positions.data()),
                                chosen.positions.size()));
    return;
  }
  if (codec == value_codec::fp32) {
    out.numbers("values",
                std::span(reinterpret_cast<const float*>(bytes.data()), bytes.size() / 4));
  } else if (codec == value_codec::fp16 || codec == value_codec::bf16) {
    out.small_numbers(
        "bits", std::span(reinterpret_cast<const std::uint16_t*>(bytes.data()), bytes.size() / 2));
  } else {
    out.small_numbers("codes",
                      std::span(reinterpret_cast<const std::int8_t*>(bytes.data()), bytes.size()));
  }
}

std::string json_of(const row_block& b) {
  json out;
  if (b.keys_as == key_codec::delta_packed) out.add("keys_as", std::string("delta_packed"));
  out.add("table", b.table).add("dim", b.dim).add("codec", codec_name(b.codec));
  out.numbers("keys", b.keys).small_numbers("counts", b.counts).small_numbers("scales", b.scales);
  add_values(out, b.codec, b.values);
  return out.text();
}

std::string json_of(const push_section& m) {
  json text;
  text.add("epoch", m.epoch)
      .add("schema_version", m.schema_version)
      .add("shard", m.shard)
      .add("source", m.source)
      .add("lane", std::string(m.lane == lane::rows ? "rows" : "dense"))
      .add("batch", m.batch)
      .add("prev", m.prev)
      .add("pulled_version", m.pulled_version)
      .add("event_time_ms", m.event_time_ms)
      .list("blocks", m.blocks, [](const row_block& b) { return json_of(b); });
  if (m.accepted_ms != 0) text.add("accepted_ms", m.accepted_ms);  // newer than the others
  return text.text();
}

std::string json_of(const push_ack& m) {
  constexpr const char* modes[] = {"none", "os", "fsync"};
  json text;
  text.add("shard", m.shard)
      .add("status", m.status)
      .add("detail", m.detail)
      .add("applied", m.applied)
      .add("watermark", m.watermark)
      .add("lsn", m.lsn)
      .add("version", m.version)
      .add("slowest_clock", m.slowest_clock)
      .add("epoch", m.epoch)
      .add("mode", std::string(modes[static_cast<std::size_t>(m.mode)]))
      .add("retry_after_ms", m.retry_after_ms);
  if (m.lane != lane::rows) text.add("lane", std::string("dense"));  // newer than the others
  return text.text();
}

std::string json_of(const pull_section& m) {
  return json()
      .add("epoch", m.epoch)
      .add("schema_version", m.schema_version)
      .add("shard", m.shard)
      .add("at_least", m.at_least)
      .list("blocks",
            m.blocks,
            [](const pull_block& b) {
              return json()
                  .add("table", b.table)
                  .add("codec", codec_name(b.codec))
                  .numbers("keys", b.keys)
                  .text();
            })
      .text();
}

std::string json_of(const pulled_block& b) {
  json out;
  out.add("table", b.table).add("dim", b.dim).add("codec", codec_name(b.codec)).add("rows", b.rows);
  add_values(out, b.codec, b.values);
  out.small_numbers("scales", b.scales).small_numbers("absent", b.absent);
  return out.text();
}

std::string json_of(const delta_block& b) {
  json out;
  out.add("table", b.table).add("dim", b.dim).add("codec", codec_name(b.codec));
  out.numbers("keys", b.keys);
  add_values(out, b.codec, b.values);
  out.small_numbers("scales", b.scales).numbers("gone", b.gone);
  return out.text();
}

std::string json_of(const delta& m) {
  return json()
      .add("shard", m.shard)
      .add("epoch", m.epoch)
      .add("schema_version", m.schema_version)
      .add("whole", m.whole)
      .add("session", m.session)
      .add("number", m.number)
      .add("follows", m.follows)
      .add("lsn", m.lsn)
      .add("version", m.version)
      .add("accepted_ms", m.accepted_ms)
      .add("head_version", m.head_version)
      .list("blocks", m.blocks, [](const delta_block& b) { return json_of(b); })
      .text();
}

std::string json_of(const pull_reply& m) {
  return json()
      .add("shard", m.shard)
      .add("status", m.status)
      .add("detail", m.detail)
      .add("epoch", m.epoch)
      .add("lsn", m.lsn)
      .add("version", m.version)
      .list("blocks", m.blocks, [](const pulled_block& b) { return json_of(b); })
      .text();
}

std::string json_of(const sample_batch& m) {
  json text;
  text.add("source", m.source)
      .add("batch", m.batch)
      .add("prev", m.prev)
      .add("schema_version", m.schema_version)
      .add("offset_end", m.offset_end)
      .add("event_time_min_ms", m.event_time_min_ms)
      .add("event_time_max_ms", m.event_time_max_ms)
      .add("accepted_ms", m.accepted_ms)
      .add("last", m.last)
      .add("samples", m.samples)
      .add("features", m.features)
      .numbers("labels", m.labels)
      .numbers("row_numbers", m.row_numbers)
      .numbers("keys", m.keys)
      .numbers("values", m.values)
      .add("label_count", m.label_count)
      .add("sequences", m.sequences)
      .small_numbers("lengths", std::span<const std::uint16_t>(m.lengths))
      .numbers("sequence_keys", m.sequence_keys)
      .add("history", m.history);
  if (m.accepted_span_ms != 0) text.add("accepted_span_ms", m.accepted_span_ms);  // newer
  return text.text();
}

std::string json_of(const hello& m) {
  return json()
      .add("protocol", std::uint32_t{m.protocol})
      .add("protocol_min", std::uint32_t{m.protocol_min})
      .add("job_fingerprint", m.job_fingerprint)
      .add("sender", m.sender)
      .text();
}

std::string json_of(const welcome& m) {
  return json()
      .add("status", m.status)
      .add("detail", m.detail)
      .add("protocol", std::uint32_t{m.protocol})
      .add("shards", m.shards)
      .add("epoch", m.epoch)
      .add("schema_version", m.schema_version)
      .text();
}

std::string json_of(const watermark_request& m) {
  return json().add("shard", m.shard).add("source", m.source).text();
}

std::string json_of(const watermark_reply& m) {
  return json()
      .add("shard", m.shard)
      .add("status", m.status)
      .add("detail", m.detail)
      .add("rows", m.rows)
      .add("dense", m.dense)
      .add("epoch", m.epoch)
      .text();
}

std::string json_of(const digest_request& m) {
  return json().add("shard", m.shard).add("counts_only", m.counts_only).text();
}

std::string json_of(const digest_reply& m) {
  return json()
      .add("shard", m.shard)
      .add("status", m.status)
      .add("detail", m.detail)
      .add("low", m.low)
      .add("high", m.high)
      .add("weights_low", m.weights_low)
      .add("weights_high", m.weights_high)
      .add("rows", m.rows)
      .add("bytes", m.bytes)
      .add("lsn", m.lsn)
      .text();
}

std::string json_of(const flush_request& m) { return json().add("shard", m.shard).text(); }

std::string json_of(const flush_reply& m) {
  return json()
      .add("shard", m.shard)
      .add("status", m.status)
      .add("detail", m.detail)
      .add("flushed", m.flushed)
      .text();
}

std::string json_of(const status_request& m) { return json().add("shard", m.shard).text(); }

std::string json_of(const status_reply& m) {
  return json()
      .add("shard", m.shard)
      .add("status", m.status)
      .add("detail", m.detail)
      .add("shards", m.shards)
      .add("rows", m.rows)
      .add("bytes", m.bytes)
      .add("lsn", m.lsn)
      .add("flushed", m.flushed)
      .add("version", m.version)
      .add("tail_rows", m.tail_rows)
      .add("tail_bytes", m.tail_bytes)
      .add("log_first", m.log_first)
      .add("mode", std::string(name(m.mode)))
      .add("hits", m.hits)
      .add("fetched", m.fetched)
      .add("absent", m.absent)
      .add("evicted", m.evicted)
      .add("checkpoint_ms", m.checkpoint_ms)
      .add("trouble", m.trouble)
      .text();
}

std::string json_of(const checkpoint_request& m) { return json().add("token", m.token).text(); }

std::string json_of(const checkpoint_reply& m) {
  return json()
      .add("status", m.status)
      .add("detail", m.detail)
      .add("done", m.done)
      .add("id", m.id)
      .add("files_uploaded", m.files_uploaded)
      .add("bytes_uploaded", m.bytes_uploaded)
      .add("bytes_reused", m.bytes_reused)
      .add("took_ms", m.took_ms)
      .text();
}

std::string json_of(const forget_request& m) {
  return json()
      .add("shard", m.shard)
      .add("table", m.table)
      .add("dry_run", m.dry_run)
      .numbers("keys", std::span<const std::uint64_t>(m.keys))
      .text();
}

std::string json_of(const forget_reply& m) {
  return json()
      .add("shard", m.shard)
      .add("status", m.status)
      .add("detail", m.detail)
      .add("lsn", m.lsn)
      .numbers("found", std::span<const std::uint64_t>(m.found))
      .text();
}

std::string json_of(const release_request& m) {
  return json().add("shard", m.shard).add("source", m.source).text();
}

std::string json_of(const release_reply& m) {
  return json()
      .add("shard", m.shard)
      .add("status", m.status)
      .add("detail", m.detail)
      .add("released", m.released)
      .text();
}

std::string json_of(const samples_request& m) {
  return json()
      .add("source", m.source)
      .add("job_fingerprint", m.job_fingerprint)
      .add("made_by", m.made_by)
      .add("stream", m.stream)
      .add("from", m.from)
      .add("learned", m.learned)
      .add("covered", m.covered)
      .add("bytes_max", m.bytes_max)
      .add("wait_ms", m.wait_ms)
      .add("last_hash", m.last_hash)
      .text();
}

std::string json_of(const samples_reply& m) {
  return json()
      .add("status", m.status)
      .add("detail", m.detail)
      .add("stream", m.stream)
      .add("from", m.from)
      .add("newest", m.newest)
      .add("records", m.records)
      .add("live", m.live)
      .add("ended", m.ended)
      .add("bad_rows", m.bad_rows)
      .add("first_bad_row", m.first_bad_row)
      .add("bad_row_reasons", m.bad_row_reasons)
      .list("batches",
            m.batches,
            [](const sealed_bytes& one) {
              return json()
                  .add("hash", one.hash)
                  .add("bytes", std::uint64_t{one.bytes.size()})
                  .text();
            })
      .text();
}

std::string json_of(const follow_request& m) {
  return json()
      .add("shard", m.shard)
      .add("job_fingerprint", m.job_fingerprint)
      .add("subscriber", m.subscriber)
      .add("session", m.session)
      .add("number", m.number)
      .add("interval_ms", m.interval_ms)
      .add("wait_ms", m.wait_ms)
      .add("bytes_max", m.bytes_max)
      .text();
}

std::string json_of(const follow_reply& m) {
  json text;
  text.add("status", m.status).add("detail", m.detail).add("retry_after_ms", m.retry_after_ms);
  if (!m.delta.empty()) text.raw("delta", json_of(decode_delta(m.delta).value()));
  return text.text();
}

std::string json_of(const event_batch& m, const event_field& f) {
  json out;
  out.add("name", std::string(m.names[f.name]));
  if (f.kind == field_kind::text) out.add("text", std::string(f.text));
  if (f.kind == field_kind::number) out.add("number", f.number);
  if (f.kind == field_kind::integer) out.add("integer", std::to_string(f.integer));
  if (f.kind == field_kind::texts) out.texts("texts", m.texts_of(f));
  return out.text();
}

std::string json_of(const event_batch& m, const event_head& e) {
  json out;
  out.add("id", std::string(e.id)).add("key", std::string(e.key)).add("time_ms", e.time_ms);
  if (e.kind == event_kind::action) out.add("action", std::string(m.names[e.action]));
  return out.list("fields", m.fields_of(e), [&](const event_field& f) { return json_of(m, f); })
      .text();
}

std::string json_of(const event_batch& m) {
  return json()
      .add("schema_version", m.schema_version)
      .add("producer", std::string(m.producer))
      .add("partition", std::string(m.partition))
      .add("offset_end", m.offset_end)
      .texts("names", m.names)
      .list("events", m.events, [&](const event_head& e) { return json_of(m, e); })
      .text();
}

std::string json_of(const event_push& m) {
  return json()
      .add("token", m.token)
      .raw("batch", json_of(decode_event_batch(m.batch).value()))
      .text();
}

std::string json_of(const event_ack& m) {
  const auto refusal = [](const event_refusal& r) {
    return json()
        .add("event", r.event)
        .add("fault", std::string(name(r.fault)))
        .add("detail", r.detail)
        .text();
  };
  return json()
      .add("status", m.status)
      .add("detail", m.detail)
      .add("accepted", m.accepted)
      .add("duplicates", m.duplicates)
      .add("refused", m.refused)
      .list("refusals", m.refusals, refusal)
      .add("retry_after_ms", m.retry_after_ms)
      .text();
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << "cannot read " << path.filename();
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_if_missing(const std::filesystem::path& path, std::string_view text) {
  if (std::filesystem::exists(path)) return;
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  ASSERT_TRUE(out.flush().good()) << "cannot write " << path.filename();
}

std::set<std::string>& compared() {
  static std::set<std::string> names;
  return names;
}

/// Writes or compares NAME.bin and NAME.json.
template <class Message, class Decode>
void golden(const std::string& name, const Message& message, Decode decode) {
  SCOPED_TRACE(name);
  const std::filesystem::path folder = HEADRACE_GOLDEN_DIR;
  const frame bytes = encode(message);
  const std::string_view written(reinterpret_cast<const char*>(bytes.bytes().data()), bytes.size());
  if (std::getenv("HEADRACE_WRITE_GOLDEN") != nullptr) {
    write_if_missing(folder / (name + ".bin"), written);
    write_if_missing(folder / (name + ".json"), json_of(message) + "\n");
  }
  const std::string kept = read_file(folder / (name + ".bin"));
  EXPECT_TRUE(kept == written) << "the bytes of this message changed";
  const auto back = decode(frame::copy_of(std::as_bytes(std::span(kept))));
  ASSERT_TRUE(back.ok()) << describe(back.error());
  EXPECT_EQ(json_of(*back) + "\n", read_file(folder / (name + ".json")));
  compared().insert(name);
}

/// What a build from before a field was added wrote: longer now, and still read as it was.
template <class Message, class Decode>
void golden_of_before(const std::string& name, const Message& message, Decode decode) {
  SCOPED_TRACE(name);
  const std::string kept = read_file(std::filesystem::path(HEADRACE_GOLDEN_DIR) / (name + ".bin"));
  const auto back = decode(frame::copy_of(std::as_bytes(std::span(kept))));
  ASSERT_TRUE(back.ok()) << describe(back.error());
  EXPECT_EQ(json_of(*back), json_of(message));
  compared().insert(name);
}

const std::uint64_t push_keys[] = {3, 42, 18'000'000'000'000'000'000U};
const std::uint32_t push_counts[] = {1, 7, 2};
const std::uint16_t push_scales[] = {0x3C00, 0x2E66, 0x0000};
const std::int8_t push_codes[] = {127, -127, 0, 1, -1, 64, 0, 0, 0};
const float push_floats[] = {1.0F, -0.5F, 0.25F, 1e-30F, -0.0F, 3.0e38F};
const std::uint16_t push_brains[] = {0x3F80, 0xBF00, 0x3E80, 0x0DA2, 0x8000, 0x7F61};
const std::uint16_t push_halves[] = {0x3C00, 0xB800, 0x3400, 0x0001, 0x8000, 0x7BFF};
const std::uint64_t dense_keys[] = {0, 1};

push_section push_header() {
  push_section m;
  m.epoch = epoch{2};
  m.schema_version = 3;
  m.shard = shard_id{1};
  m.source = {"clicks.eu-1", 4};
  m.batch = batch_number{1'001};
  m.prev = batch_number{1'000};
  m.pulled_version = 998;
  m.event_time_ms = 1'700'000'000'123;
  return m;
}

// Pushes have said since when events are in them since a later build.
void golden_push(const std::string& name, push_section message) {
  golden_of_before(name, message, decode_push);
  message.accepted_ms = 1'700'000'000'456;
  golden(name + "_accepted", message, decode_push);
}

TEST(Golden, Envelopes) {
  envelope request;
  request.kind = message_kind::push;
  request.request_id = 0x0123456789ABCDEF;
  request.sender = "worker-1";
  request.sections = {{shard_id{0}}, {shard_id{3}}};
  golden("envelope_request", request, decode_envelope);
  envelope reply = request;
  reply.reply = true;
  reply.first_section = 1;
  reply.sender = "";
  reply.sections = {{shard_id{3}}};
  golden("envelope_reply", reply, decode_envelope);
}

TEST(Golden, Pushes) {
  push_section rows = push_header();
  row_block block;
  block.table = table_id{5};
  block.dim = 3;
  block.codec = value_codec::int8;
  block.keys = push_keys;
  block.counts = push_counts;
  block.scales = push_scales;
  block.values = std::as_bytes(std::span(push_codes));
  row_block plain;
  plain.table = table_id{6};
  plain.dim = 2;
  plain.keys = push_keys;
  plain.values = std::as_bytes(std::span(push_floats));
  rows.blocks = {block, plain};
  golden_push("push_rows", rows);

  push_section dense = push_header();
  dense.lane = lane::dense;
  dense.prev = batch_number{900};
  plain.table = table_id{0};
  plain.dim = 3;
  plain.keys = dense_keys;
  dense.blocks = {plain};
  golden_push("push_dense", dense);

  golden_push("push_advance", push_header());
}

TEST(Golden, PushesOf16BitRows) {
  push_section rows = push_header();
  row_block brains;
  brains.table = table_id{5};
  brains.dim = 2;
  brains.codec = value_codec::bf16;
  brains.keys = push_keys;
  brains.counts = push_counts;
  brains.values = std::as_bytes(std::span(push_brains));
  row_block halves = brains;
  halves.table = table_id{6};
  halves.dim = 3;
  halves.codec = value_codec::fp16;
  halves.keys = dense_keys;
  halves.counts = {};
  halves.values = std::as_bytes(std::span(push_halves));
  rows.blocks = {brains, halves};
  golden_push("push_rows_16_bits", rows);
}

// Of 3 × 3 values the first, the fifth and the last; 12 values in int4.
TEST(Golden, PushesOfBlocks) {
  push_section blocks = push_header();
  const std::uint32_t indices[] = {0, 4, 8};
  const std::uint16_t scale[] = {0x2E66};
  std::vector<std::byte> values(value_layout_bytes(value_codec::topk, 3, 3, 3));
  values[0] = std::byte{3};
  std::memcpy(values.data() + topk_head_bytes, push_codes, 3);
  pack_indices(indices, 9, std::span(values).subspan(topk_head_bytes + 3));
  row_block chosen;
  chosen.table = table_id{5};
  chosen.dim = 3;
  chosen.codec = value_codec::topk;
  chosen.keys = push_keys;
  chosen.counts = push_counts;
  chosen.scales = scale;
  chosen.values = values;
  chosen.keys_as = key_codec::delta_packed;
  row_block halves = chosen;
  halves.table = table_id{6};
  halves.dim = 6;
  halves.codec = value_codec::int4;
  halves.keys = dense_keys;
  halves.counts = {};
  halves.keys_as = key_codec::raw;
  const std::uint8_t nibbles[] = {0x07, 0x09, 0x00, 0x01, 0x0F, 0x03, 7, 6, 5, 4, 3, 2};
  halves.values = std::as_bytes(std::span(nibbles));
  blocks.blocks = {chosen, halves};
  golden_push("push_rows_blocks", blocks);
}

TEST(Golden, PushAcks) {
  push_ack done;
  done.shard = shard_id{1};
  done.applied = true;
  done.watermark = batch_number{1'001};
  done.lsn = lsn{77};
  done.version = 76;
  done.slowest_clock = 999;
  done.epoch = epoch{2};
  done.mode = log_mode::fsync;
  golden("push_ack", done, decode_push_ack);
  done.lane = lane::dense;
  golden("push_ack_dense", done, decode_push_ack);
  push_ack refused;
  refused.shard = shard_id{1};
  refused.status = errc::gap;
  refused.detail = "clicks.eu-1#4: batch 1003 follows 1002, watermark is 1001; send 1002 first";
  refused.watermark = batch_number{1'001};
  refused.retry_after_ms = 20;
  golden("push_ack_refused", refused, decode_push_ack);
}

TEST(Golden, Pulls) {
  pull_section m;
  m.epoch = epoch{2};
  m.schema_version = 3;
  m.shard = shard_id{1};
  m.at_least = lsn{70};
  m.blocks = {{table_id{5}, value_codec::int8, push_keys},
              {table_id{6}, value_codec::fp32, dense_keys}};
  golden("pull", m, decode_pull);
}

TEST(Golden, PullReplies) {
  const std::byte absent[] = {std::byte{4}};
  const std::byte none[] = {std::byte{0}};
  pull_reply m;
  m.shard = shard_id{1};
  m.epoch = epoch{2};
  m.lsn = lsn{77};
  m.version = 76;
  m.blocks = {
      {table_id{5},
       3,
       value_codec::int8,
       3,
       std::as_bytes(std::span(push_codes)),
       push_scales,
       absent},
      {table_id{6}, 3, value_codec::fp32, 2, std::as_bytes(std::span(push_floats)), {}, none}};
  golden("pull_reply", m, decode_pull_reply);
  m.blocks = {
      {table_id{5}, 2, value_codec::bf16, 3, std::as_bytes(std::span(push_brains)), {}, absent},
      {table_id{6}, 3, value_codec::fp16, 2, std::as_bytes(std::span(push_halves)), {}, none}};
  golden("pull_reply_16_bits", m, decode_pull_reply);
  pull_reply refused;
  refused.shard = shard_id{1};
  refused.status = errc::unavailable;
  refused.detail = "shard 1 has applied through 69, asked for 70; ask again";
  golden("pull_reply_refused", refused, decode_pull_reply);
}

TEST(Golden, Deltas) {
  const std::uint64_t gone[] = {7, 4'000'000'000};
  delta m;
  m.shard = shard_id{1};
  m.epoch = epoch{2};
  m.schema_version = 3;
  m.whole = true;
  m.session = 1'790'000'000'000;
  m.number = 12;
  m.follows = 9;
  m.lsn = lsn{77};
  m.version = 76;
  m.accepted_ms = 1'790'000'000'123;
  m.head_version = 80;
  m.blocks = {{table_id{5},
               3,
               value_codec::int8,
               push_keys,
               push_scales,
               std::as_bytes(std::span(push_codes)),
               gone},
              {table_id{6},
               3,
               value_codec::fp32,
               dense_keys,
               {},
               std::as_bytes(std::span(push_floats)),
               {}}};
  golden("delta", m, decode_delta);
  delta first;
  first.session = 1;
  first.number = 1;
  first.blocks = {{table_id{0},
                   3,
                   value_codec::fp16,
                   dense_keys,
                   {},
                   std::as_bytes(std::span(push_halves)),
                   {}}};
  golden("delta_first", first, decode_delta);
}

TEST(Golden, SampleBatches) {
  sample_batch m;
  m.source = {"clicks.eu-1", 4};
  m.batch = batch_number{1'001};
  m.prev = batch_number{1'000};
  m.schema_version = 3;
  m.offset_end = 4'004;
  m.event_time_min_ms = 1'700'000'000'000;
  m.event_time_max_ms = 1'700'000'000'123;
  m.accepted_ms = 1'700'000'000'500;
  m.samples = 3;
  m.features = 2;
  m.labels = {0, 1, 1};
  m.row_numbers = {4'001, 4'002, 4'003};
  m.keys = {1, 2, 3, 4, ~std::uint64_t{0}, 6};
  golden_of_before("sample_batch_ids", m, decode_sample_batch);
  golden_of_before("sample_batch_one_label", m, decode_sample_batch);
  m.values = {1, 0.5F, 1, -2.25F, 1, 0.1F};
  m.last = true;
  golden_of_before("sample_batch_values", m, decode_sample_batch);
  m.label_count = 2;
  m.labels = {0, 0, 1, 0, 1, 1};
  m.sequences = 2;
  m.lengths = {2, 0, 1, 1, 0, 3};
  m.sequence_keys = {11, 12, 13, 14, 15, 16, ~std::uint64_t{0}};
  golden_of_before("sample_batch_lists", m, decode_sample_batch);
  golden("sample_batch_no_history", m, decode_sample_batch);
  m.history = 2;
  golden("sample_batch_history", m, decode_sample_batch);
  m.accepted_span_ms = 45;
  golden("sample_batch_accepted", m, decode_sample_batch);
}

TEST(Golden, Control) {
  golden("hello", hello{1, 1, 0xFEDCBA9876543210, "worker-1"}, decode_hello);
  golden("welcome", welcome{errc::ok, "", 1, 4, epoch{2}, 3}, decode_welcome);
  golden("welcome_refused",
         welcome{errc::bad_protocol,
                 "server speaks protocol 1, worker 3; upgrade the older of the two",
                 1,
                 0,
                 epoch{2},
                 3},
         decode_welcome);
  golden("watermark_request",
         watermark_request{shard_id{1}, {"clicks.eu-1", 4}},
         decode_watermark_request);
  golden(
      "watermark_reply",
      watermark_reply{shard_id{1}, errc::ok, "", batch_number{1'001}, batch_number{900}, epoch{2}},
      decode_watermark_reply);
  golden("digest_request", digest_request{shard_id{1}, true}, decode_digest_request);
  golden(
      "digest_reply",
      digest_reply{
          shard_id{1}, errc::ok, "", 1, ~std::uint64_t{0}, 3, 4, 1'000'000, 264'000'000, lsn{77}},
      decode_digest_reply);
  golden("flush_request", flush_request{shard_id{1}}, decode_flush_request);
  golden("flush_reply",
         flush_reply{shard_id{1}, errc::disk_full, "no space left", lsn{60}},
         decode_flush_reply);
  golden("status_request", status_request{shard_id{1}}, decode_status_request);
  golden("status_reply",
         status_reply{.shard = shard_id{1},
                      .detail = "",
                      .shards = 4,
                      .rows = 1'000'000,
                      .bytes = 264'000'000,
                      .lsn = lsn{77},
                      .flushed = lsn{60},
                      .version = 75,
                      .tail_rows = 4'096,
                      .tail_bytes = 1'048'576,
                      .log_first = lsn{12},
                      .mode = log_mode::fsync,
                      .hits = 9'000,
                      .fetched = 800,
                      .absent = 200,
                      .evicted = 70,
                      .checkpoint_ms = 1'706'702'400'123,
                      .trouble = "no space left"},
         decode_status_reply);
  golden(
      "checkpoint_request", checkpoint_request{0x0123'4567'89AB'CDEF}, decode_checkpoint_request);
  golden("checkpoint_reply",
         checkpoint_reply{.detail = "",
                          .done = true,
                          .id = "20240131T120000.123Z-movielens",
                          .files_uploaded = 3,
                          .bytes_uploaded = 200'000,
                          .bytes_reused = 5'000'000,
                          .took_ms = 321},
         decode_checkpoint_reply);
  golden("checkpoint_reply_refused",
         checkpoint_reply{
             .status = errc::disk_full, .detail = "no space left", .done = true, .id = ""},
         decode_checkpoint_reply);
  golden("forget_request",
         forget_request{shard_id{1}, table_id{2}, true, {0, 7, ~std::uint64_t{0}}},
         decode_forget_request);
  golden("forget_reply",
         forget_reply{shard_id{1}, errc::ok, "", lsn{78}, {7, ~std::uint64_t{0}}},
         decode_forget_reply);
  golden("forget_reply_refused",
         forget_reply{shard_id{1}, errc::unknown_table, "no table 2", lsn{}, {}},
         decode_forget_reply);
  golden("release_request", release_request{shard_id{1}, "clicks.eu-1"}, decode_release_request);
  golden("release_reply", release_reply{shard_id{1}, errc::ok, "", true}, decode_release_reply);
}

TEST(Golden, Events) {
  event_batch_builder made;
  made.begin("shop-1", 3);
  made.from_partition("clicks/3", 4'004);
  made.event("e1", "r7", 1'700'000'000'123);
  made.text(made.name("user"), "u7");
  made.integer(made.name("item"), 9'007'199'254'740'993);
  made.number(made.name("price"), 3.5);
  const std::string_view seen[] = {"i1", "", "\xC3\xA4"};
  made.texts(made.name("seen"), seen);
  made.event("e2", "r7", 1'700'000'000'456);
  made.action(made.name("click"));
  made.text(made.name("user"), "");
  made.texts(made.name("seen"), {});
  const auto decode = [](const frame& bytes) { return decode_event_batch(bytes); };
  golden("event_batch", made.batch(), decode);
  golden("event_batch_empty", event_batch{}, decode);
  golden("event_push", event_push{"secret", made.finish()}, decode_event_push);
}

TEST(Golden, EventAcks) {
  event_ack ack;
  ack.accepted = 997;
  ack.duplicates = 1;
  ack.refused = 2;
  ack.refusals = {
      {3, event_fault::wrong_type, "price: a number is needed, this is text 'cheap'"},
      {998, event_fault::unknown_action, "action 'look': click, add and buy are known"}};
  golden("event_ack", ack, decode_event_ack);
  event_ack refused;
  refused.status = errc::overloaded;
  refused.detail = "64 MiB of events wait for the log; send again later";
  refused.retry_after_ms = 100;
  golden("event_ack_overloaded", refused, decode_event_ack);
  refused.status = errc::unauthorized;
  refused.detail = "a token is needed";
  refused.retry_after_ms = 0;
  golden("event_ack_unauthorized", refused, decode_event_ack);
}

TEST(Golden, SealedBatchesOnTheirWay) {
  golden("samples_request",
         samples_request{{"clicks.eu-1", 1},
                         0x0123'4567'89AB'CDEF,
                         77,
                         ~std::uint64_t{0},
                         batch_number{1'002},
                         batch_number{1'000},
                         batch_number{900},
                         1'048'576,
                         1'000,
                         0xFEDC'BA98'7654'3210},
         decode_samples_request);
  sample_batch batch;
  batch.source = {"clicks.eu-1", 1};
  batch.batch = batch_number{1'002};
  batch.prev = batch_number{1'001};
  const frame bytes = encode(batch);
  samples_reply reply;
  reply.stream = ~std::uint64_t{0};
  reply.from = batch.batch;
  reply.newest = batch_number{1'003};
  reply.records = std::uint64_t{1} << 62;
  reply.live = true;
  reply.bad_rows = 3;
  reply.first_bad_row = "row 7: no number";
  reply.bad_row_reasons = "3 not_a_number";
  reply.batches = {{hash64(bytes.bytes()), bytes}, {12, frame{}}};
  golden("samples_reply", reply, decode_samples_reply);
  samples_reply refused;
  refused.status = errc::wrong_job;
  refused.detail = "another job's samples";
  golden("samples_reply_refused", refused, decode_samples_reply);
}

TEST(Golden, FollowersOfAShard) {
  golden("follow_request",
         follow_request{shard_id{3},
                        0x0123'4567'89AB'CDEF,
                        ~std::uint64_t{0},
                        1'790'000'000'123'000,
                        41,
                        50,
                        500,
                        4'194'304},
         decode_follow_request);
  const std::uint64_t keys[] = {5, 9};
  const float values[] = {1.0F, -0.5F};
  delta changes;
  changes.shard = shard_id{3};
  changes.whole = true;
  changes.session = 1'790'000'000'123'000;
  changes.number = 42;
  changes.follows = 41;
  changes.lsn = lsn{77};
  changes.version = 75;
  delta_block block;
  block.table = table_id{1};
  block.dim = 1;
  block.codec = value_codec::fp32;
  block.keys = keys;
  block.values = std::as_bytes(std::span(values));
  changes.blocks = {block};
  golden("follow_reply", follow_reply{errc::ok, "", 0, encode(changes)}, decode_follow_reply);
  golden("follow_reply_refused",
         follow_reply{errc::overloaded, "16 replicas follow this shard", 1'000, {}},
         decode_follow_reply);
}

TEST(GoldenFolder, HoldsNothingThatNoTestReads) {
  // Runs after the tests above, in the order of this file; alone it has nothing to compare.
  if (compared().empty()) GTEST_SKIP() << "run with the Golden tests";
  for (const auto& entry : std::filesystem::directory_iterator(HEADRACE_GOLDEN_DIR)) {
    EXPECT_TRUE(compared().contains(entry.path().stem().string())) << entry.path().filename();
  }
}

}  // namespace
}  // namespace headrace::schemas
