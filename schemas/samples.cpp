#include "schemas/samples.hpp"

#include "base/check.hpp"
#include "schemas/field_reader.hpp"
#include "schemas/flat_message.hpp"
#include "schemas/samples.capnp.h"
#include "schemas/wire.hpp"

namespace headrace::schemas {

namespace {

result<samples_request> read_request(wire::SamplesRequest::Reader in) {
  field_reader fields("samples request");
  fields.protocol(in.getProtocol());
  samples_request m;
  m.source = fields.source(in.getSource());
  m.job_fingerprint = in.getJobFingerprint();
  m.made_by = in.getMadeBy();
  m.stream = in.getStream();
  m.from = batch_number{in.getFrom()};
  m.learned = batch_number{in.getLearned()};
  m.covered = batch_number{in.getCovered()};
  m.bytes_max = in.getBytesMax();
  m.wait_ms = in.getWaitMs();
  m.last_hash = in.getLastHash();
  if (m.from == batch_number{}) fields.refuse(errc::malformed, "batches are counted from 1");
  return fields.finish(std::move(m));
}

result<samples_reply> read_reply(const frame& whole, wire::SamplesReply::Reader in) {
  field_reader fields("samples reply");
  fields.protocol(in.getProtocol());
  samples_reply m;
  m.status = fields.status(in.getStatus());
  m.detail = fields.detail(in.getDetail());
  m.stream = in.getStream();
  m.from = batch_number{in.getFrom()};
  m.newest = batch_number{in.getNewest()};
  m.records = in.getRecords();
  m.live = in.getLive();
  m.ended = in.getEnded();
  m.bad_rows = in.getBadRows();
  m.first_bad_row = fields.detail(in.getFirstBadRow());
  m.bad_row_reasons = fields.detail(in.getBadRowReasons());
  const auto batches = in.getBatches();
  fields.list(batches.size(), reply_batches_max, "batches");
  for (unsigned i = 0; fields.ok() && i < batches.size(); ++i) {
    const auto bytes = batches[i].getBytes();
    m.batches.push_back(
        {batches[i].getHash(),
         frame::sharing(std::as_bytes(std::span(bytes.begin(), bytes.size())), whole.keeper())});
  }
  return fields.finish(std::move(m));
}

}  // namespace

frame encode(const samples_request& m) {
  flat_message out(head_words<wire::SamplesRequest>(source_words(m.source)), 0);
  auto root = out.root<wire::SamplesRequest>();
  root.setProtocol(protocol_version);
  write_source(root.initSource(), m.source);
  root.setJobFingerprint(m.job_fingerprint);
  root.setMadeBy(m.made_by);
  root.setStream(m.stream);
  root.setFrom(m.from.value);
  root.setLearned(m.learned.value);
  root.setCovered(m.covered.value);
  root.setBytesMax(m.bytes_max);
  root.setWaitMs(m.wait_ms);
  root.setLastHash(m.last_hash);
  return out.finish();
}

frame encode(const samples_reply& m) {
  CHECK(m.batches.size() <= reply_batches_max);
  const std::string_view detail = cut(m.detail, detail_bytes_max);
  const std::string_view first_bad = cut(m.first_bad_row, detail_bytes_max);
  const std::string_view reasons = cut(m.bad_row_reasons, detail_bytes_max);
  std::size_t bulk = 0;
  for (const sealed_bytes& batch : m.batches) bulk += words_of(batch.bytes.size());
  flat_message out(head_words<wire::SamplesReply>(text_words(detail) + text_words(first_bad) +
                                                  text_words(reasons) +
                                                  list_words<wire::SealedBytes>(m.batches.size())),
                   bulk);
  auto root = out.root<wire::SamplesReply>();
  root.setProtocol(protocol_version);
  write_status(root, m.status, detail);
  root.setStream(m.stream);
  root.setFrom(m.from.value);
  root.setNewest(m.newest.value);
  root.setRecords(m.records);
  root.setLive(m.live);
  root.setEnded(m.ended);
  root.setBadRows(m.bad_rows);
  if (!first_bad.empty())
    write_text(root.initFirstBadRow(static_cast<unsigned>(first_bad.size())), first_bad);
  if (!reasons.empty())
    write_text(root.initBadRowReasons(static_cast<unsigned>(reasons.size())), reasons);
  if (m.batches.empty()) return out.finish();
  auto batches = root.initBatches(static_cast<unsigned>(m.batches.size()));
  unsigned i = 0;
  for (const sealed_bytes& batch : m.batches) {
    auto into = batches[i++];
    into.setHash(batch.hash);
    if (!batch.bytes.empty())
      write_bulk(into.initBytes(static_cast<unsigned>(batch.bytes.size())), batch.bytes.bytes());
  }
  return out.finish();
}

result<samples_request> decode_samples_request(const frame& bytes) {
  return read_flat<wire::SamplesRequest>(bytes, read_request);
}

result<samples_reply> decode_samples_reply(const frame& bytes) {
  return read_flat<wire::SamplesReply>(
      bytes, [&](wire::SamplesReply::Reader in) { return read_reply(bytes, in); });
}

}  // namespace headrace::schemas
