#include "schemas/sample.hpp"

#include "base/check.hpp"
#include "schemas/field_reader.hpp"
#include "schemas/flat_message.hpp"
#include "schemas/sample.capnp.h"
#include "schemas/wire.hpp"

#include <numeric>

namespace headrace::schemas {

namespace {

template <class Value>
std::size_t column_words(const std::vector<Value>& column) {
  return words_of(column.size() * sizeof(Value));
}

/// Calls `init(bytes)` for the column's Data and fills it; an empty column is not written.
template <class Value, class Init>
void write_column(const std::vector<Value>& column, Init init) {
  if (column.empty()) return;
  const auto bytes = std::as_bytes(std::span(column));
  write_bulk(init(static_cast<unsigned>(bytes.size())), bytes);
}

template <class Value>
std::vector<Value> read_column(field_reader& fields,
                               capnp::Data::Reader data,
                               std::uint64_t count,
                               std::string_view name) {
  const auto values = fields.values<Value>(data, count, name);
  return {values.begin(), values.end()};
}

std::uint64_t keys_of_lists(const std::vector<std::uint16_t>& lengths) {
  return std::accumulate(lengths.begin(), lengths.end(), std::uint64_t{0});
}

result<sample_batch> read_sample_batch(wire::SampleBatch::Reader in) {
  field_reader fields("sample batch");
  fields.protocol(in.getProtocol());
  sample_batch batch;
  batch.source = fields.source(in.getSource());
  batch.batch = batch_number{in.getBatch()};
  batch.prev = batch_number{in.getPrev()};
  batch.schema_version = in.getSchemaVersion();
  batch.offset_end = in.getOffsetEnd();
  batch.event_time_min_ms = in.getEventTimeMinMs();
  batch.event_time_max_ms = in.getEventTimeMaxMs();
  batch.accepted_ms = in.getAcceptedMs();
  batch.accepted_span_ms = in.getAcceptedSpanMs();
  batch.last = in.getLast();
  batch.samples = in.getSamples();
  batch.history = in.getHistory();
  batch.features = in.getFeatures();
  fields.list(batch.history, batch.samples, "samples of history");
  fields.list(in.getMoreLabels(), labels_max - 1, "labels of a sample");
  batch.label_count = 1 + in.getMoreLabels();
  batch.sequences = in.getSequences();
  const std::uint64_t cells = std::uint64_t{batch.samples} * batch.features;
  const std::uint64_t lists = std::uint64_t{batch.samples} * batch.sequences;
  const std::uint64_t labels = std::uint64_t{batch.samples} * batch.label_count;
  const auto values = in.getValues();
  batch.labels = read_column<float>(fields, in.getLabels(), labels, "labels");
  batch.row_numbers =
      read_column<std::uint64_t>(fields, in.getRowNumbers(), batch.samples, "row numbers");
  batch.keys = read_column<std::uint64_t>(fields, in.getKeys(), cells, "keys");
  batch.values = read_column<float>(fields, values, values.size() == 0 ? 0 : cells, "values");
  batch.lengths = read_column<std::uint16_t>(fields, in.getLengths(), lists, "lengths");
  batch.sequence_keys = read_column<std::uint64_t>(
      fields, in.getSequenceKeys(), keys_of_lists(batch.lengths), "sequence keys");
  return fields.finish(std::move(batch));
}

}  // namespace

frame encode(const sample_batch& batch) {
  const std::size_t cells = std::size_t{batch.samples} * batch.features;
  CHECK(batch.label_count >= 1 && batch.label_count <= labels_max);
  CHECK(batch.history <= batch.samples);
  CHECK(batch.labels.size() == std::size_t{batch.samples} * batch.label_count);
  CHECK(batch.row_numbers.size() == batch.samples);
  CHECK(batch.keys.size() == cells);
  CHECK(batch.values.empty() || batch.values.size() == cells);
  CHECK(batch.lengths.size() == std::size_t{batch.samples} * batch.sequences);
  CHECK(batch.sequence_keys.size() == keys_of_lists(batch.lengths));
  flat_message out(head_words<wire::SampleBatch>(source_words(batch.source)),
                   column_words(batch.labels) + column_words(batch.row_numbers) +
                       column_words(batch.keys) + column_words(batch.values) +
                       column_words(batch.lengths) + column_words(batch.sequence_keys));
  auto root = out.root<wire::SampleBatch>();
  root.setProtocol(protocol_version);
  write_source(root.initSource(), batch.source);
  root.setBatch(batch.batch.value);
  root.setPrev(batch.prev.value);
  root.setSchemaVersion(batch.schema_version);
  root.setOffsetEnd(batch.offset_end);
  root.setEventTimeMinMs(batch.event_time_min_ms);
  root.setEventTimeMaxMs(batch.event_time_max_ms);
  root.setAcceptedMs(batch.accepted_ms);
  root.setAcceptedSpanMs(batch.accepted_span_ms);
  root.setLast(batch.last);
  root.setSamples(batch.samples);
  root.setHistory(batch.history);
  root.setFeatures(batch.features);
  root.setMoreLabels(batch.label_count - 1);
  root.setSequences(batch.sequences);
  write_column(batch.labels, [&](unsigned bytes) { return root.initLabels(bytes); });
  write_column(batch.row_numbers, [&](unsigned bytes) { return root.initRowNumbers(bytes); });
  write_column(batch.keys, [&](unsigned bytes) { return root.initKeys(bytes); });
  write_column(batch.values, [&](unsigned bytes) { return root.initValues(bytes); });
  write_column(batch.lengths, [&](unsigned bytes) { return root.initLengths(bytes); });
  write_column(batch.sequence_keys, [&](unsigned bytes) { return root.initSequenceKeys(bytes); });
  return out.finish();
}

result<sample_batch> decode_sample_batch(const frame& bytes) {
  return read_flat<wire::SampleBatch>(bytes, read_sample_batch);
}

}  // namespace headrace::schemas
