#include "serve/answerer.hpp"

#include "base/check.hpp"
#include "base/json_line.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>

namespace headrace::serve {
namespace {

constexpr std::size_t looked_up_max = std::size_t{1} << 20;  // values; some 12 MB of JSON

// The shortest digits that read back as this float; JSON has none for what is not finite.
void append_float(std::string& out, float value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char digits[32];
  const auto made = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, made.ptr);
}
template <class Number>
void append_number(std::string& out, Number value) {
  char digits[24];
  const auto made = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, made.ptr);
}

void append_age(std::string& out, const replica_stamp& stamp, std::uint64_t now_ms) {
  out += "\"applied_through_ms\":";
  append_number(out, stamp.accepted_ms);
  out += ",\"age_ms\":";
  if (stamp.accepted_ms == 0) {
    out += "null";
  } else {
    append_number(out, now_ms - std::min(now_ms, stamp.accepted_ms));
  }
}

// {"KEY":"name","model_version":1,"applied_through_ms":2,"age_ms":3,"unknown_ids":4
void begin_answer(std::string& out,
                  std::string_view key,
                  std::string_view name,
                  const replica_stamp& stamp,
                  std::uint64_t now_ms,
                  std::size_t unknown_ids) {
  append_json_string(out += '{', key);
  append_json_string(out += ':', name);
  out += ",\"model_version\":";
  append_number(out, stamp.version);
  append_age(out += ',', stamp, now_ms);
  out += ",\"unknown_ids\":";
  append_number(out, unknown_ids);
}

std::string_view v2_type(worker::feature_kind kind) {
  return kind == worker::feature_kind::float_value ? "FP32" : "BYTES";
}
std::string_view kind_name(worker::feature_kind kind) {
  switch (kind) {
    case worker::feature_kind::id:
      return "id";
    case worker::feature_kind::float_value:
      return "float";
    case worker::feature_kind::ids:
      return "ids";
  }
  return "";
}

}  // namespace

answerer::answerer(std::shared_ptr<const served_model> model,
                   std::shared_ptr<const replica> rows,
                   std::size_t samples_max)
    : model_(std::move(model)),
      rows_(std::move(rows)),
      requests_(*model_, samples_max),
      scores_(model_, rows_) {}

result<std::vector<std::size_t>> answerer::heads_of(const std::vector<std::string>& names) const {
  std::vector<std::size_t> heads(names.empty() ? model_->heads().size() : 0);
  std::iota(heads.begin(), heads.end(), std::size_t{0});
  for (const std::string& name : names) {
    const auto head = model_->head(name);
    if (!head) return head.error();
    heads.push_back(*head);
  }
  return heads;
}

result<void> answerer::add(std::string_view text, form as) {
  wanted next;
  next.as = as;
  std::vector<std::string> heads;
  if (as == form::v2) {
    auto request = requests_.infer(text);
    if (!request) return request.error();
    next.shared = request->shared;
    next.id = std::move(request->id);
    heads = std::move(request->outputs);
  } else {
    auto request = requests_.predict(text);
    if (!request) return request.error();
    next.shared = request->shared;
    next.top = request->top.value_or(0);
    heads = std::move(request->heads);
  }
  auto found = heads_of(heads);
  if (!found) return found.error();
  next.heads = std::move(*found);
  if (auto added = scores_.add(requests_.columns(), next.shared); !added) return added;
  wanted_.push_back(std::move(next));
  return {};
}

result<std::vector<answerer::answered>> answerer::predict(std::uint64_t now_ms) {
  const auto asked = std::exchange(wanted_, {});
  auto all = scores_.predict();
  if (!all) return all.error();
  CHECK(all->requests.size() == asked.size());
  std::vector<answered> answers;
  for (std::size_t r = 0; r < asked.size(); ++r) {
    const auto& part = all->requests[r];
    answers.push_back({asked[r].as == form::v2 ? v2_answer(asked[r], *all, r, now_ms)
                                               : friendly_answer(asked[r], *all, r, now_ms),
                       part.samples,
                       part.unknown_ids});
  }
  return answers;
}

std::string answerer::friendly_answer(const wanted& of,
                                      const predictions& all,
                                      std::size_t request,
                                      std::uint64_t now_ms) const {
  const std::size_t heads = model_->heads().size();
  const auto values = all.of(request, heads);
  const std::size_t samples = all.requests[request].samples;
  std::string out;
  out.reserve(200 + samples * of.heads.size() * 32);
  begin_answer(out, "model", model_->name(), all.stamp, now_ms, all.requests[request].unknown_ids);
  out += ",\"predictions\":[";
  std::vector<std::string> names;  // "click":
  for (const std::size_t head : of.heads) {
    append_json_string(names.emplace_back(), model_->head_name(head));
    names.back() += ':';
  }
  std::vector<std::size_t> order(samples);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (of.top > 0) {
    const std::size_t by = of.heads.front();
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
      return values[a * heads + by] > values[b * heads + by];
    });
    order.resize(std::min<std::size_t>(order.size(), of.top));
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    out += i > 0 ? ",{" : "{";
    if (of.top > 0) {
      out += of.shared ? "\"candidate\":" : "\"instance\":";
      append_number(out, order[i]);
      out += ',';
    }
    for (std::size_t h = 0; h < of.heads.size(); ++h) {
      if (h > 0) out += ',';
      append_float(out += names[h], values[order[i] * heads + of.heads[h]]);
    }
    out += '}';
  }
  return out += "]}\n";
}

std::string answerer::v2_answer(const wanted& of,
                                const predictions& all,
                                std::size_t request,
                                std::uint64_t now_ms) const {
  const std::size_t heads = model_->heads().size();
  const auto values = all.of(request, heads);
  const std::size_t samples = all.requests[request].samples;
  std::string out = "{\"model_name\":";
  append_json_string(out, model_->name());
  out += ",\"model_version\":\"";
  append_number(out, all.stamp.version);
  out += '"';
  if (!of.id.empty()) append_json_string(out += ",\"id\":", of.id);
  out += ",\"outputs\":[";
  for (std::size_t h = 0; h < of.heads.size(); ++h) {
    if (h > 0) out += ',';
    append_json_string(out += "{\"name\":", model_->head_name(of.heads[h]));
    out += ",\"datatype\":\"FP32\",\"shape\":[";
    append_number(out, samples);
    out += "],\"data\":[";
    for (std::size_t s = 0; s < samples; ++s) {
      if (s > 0) out += ',';
      append_float(out, values[s * heads + of.heads[h]]);
    }
    out += "]}";
  }
  append_age(out += "],\"parameters\":{", all.stamp, now_ms);
  out += ",\"unknown_ids\":";
  append_number(out, all.requests[request].unknown_ids);
  return out += "}}\n";
}

result<answerer::answered> answerer::explain(std::string_view text, std::uint64_t now_ms) {
  const auto request = requests_.explain(text);
  if (!request) return request.error();
  predictor::explain_options how;
  if (!request->head.empty()) {
    const auto head = model_->head(request->head);
    if (!head) return head.error();
    how.head = *head;
  }
  how.permutations = request->permutations;
  how.seed = request->seed;
  const auto made = scores_.explain(requests_.columns(), request->shared, how);
  if (!made) return made.error();
  std::string out;
  begin_answer(out, "model", model_->name(), made->stamp, now_ms, made->unknown_ids);
  append_json_string(out += ",\"head\":", model_->head_name(how.head));
  append_float(out += ",\"probability\":", made->probability);
  append_json_number(out += ",\"logit\":", made->logit);
  append_json_number(out += ",\"baseline_logit\":", made->baseline_logit);
  out += ",\"features\":[";
  for (const auto& share : made->features) {
    if (&share != made->features.data()) out += ',';
    append_json_string(out += "{\"feature\":", share.feature);
    append_json_number(out += ",\"logit\":", share.logit);
    append_json_number(out += ",\"error\":", share.error);
    out += '}';
  }
  out += "]}\n";
  return answered{std::move(out), 1, made->unknown_ids};
}

result<answerer::answered> answerer::lookup(std::string_view table,
                                            std::string_view text,
                                            std::uint64_t now_ms) {
  const auto found = model_->table(table);
  if (!found) return found.error();
  const auto request = requests_.lookup(text);
  if (!request) return request.error();
  std::vector<std::uint64_t> keys = request->keys;
  std::string feature = request->feature;
  if (keys.empty() && feature.empty()) {
    const auto only = model_->only_feature_of(*found);
    if (!only)
      return error{errc::bad_input, "feature: several look up this table; name the one of the ids"};
    feature = *only;
  }
  for (const std::string& id : request->ids) {
    const auto key = model_->key_of(feature, id);
    if (!key) return key.error();
    keys.push_back(*key);
  }
  const std::size_t dim = model_->schema().tables[found->value].dim;
  if (keys.size() * dim > looked_up_max) {
    return error{errc::too_large,
                 std::to_string(keys.size()) + " rows of " + std::to_string(dim) +
                     " values are more than the " + std::to_string(looked_up_max) +
                     " values of an answer"};
  }
  std::vector<float> values(keys.size() * dim);
  const auto read = rows_->read(*found, keys, values);
  if (!read) return read.error();
  if (!read->stamp.whole) return error{errc::unavailable, "the replica does not have all rows yet"};
  std::string out;
  out.reserve(200 + values.size() * 14 + keys.size() * 24);
  begin_answer(out, "table", table, read->stamp, now_ms, read->absent);
  out += ",\"dim\":";
  append_number(out, dim);
  out += ",\"rows\":[";
  for (std::size_t i = 0; i < keys.size(); ++i) {
    out += i > 0 ? ",[" : "[";
    for (std::size_t c = 0; c < dim; ++c) {
      if (c > 0) out += ',';
      append_float(out, values[i * dim + c]);
    }
    out += ']';
  }
  out += "],\"keys\":[";
  for (std::size_t i = 0; i < keys.size(); ++i) {
    out += i > 0 ? ",\"" : "\"";
    append_number(out, keys[i]);
    out += '"';
  }
  out += "]}\n";
  return answered{std::move(out), keys.size(), read->absent};
}

std::string described(const served_model& model, const replica_stamp& stamp, std::uint64_t now_ms) {
  json_line line;
  line.add("model", model.name()).add("model_version", stamp.version).add("whole", stamp.whole);
  line.add("applied_through_ms", stamp.accepted_ms);
  if (stamp.accepted_ms == 0) {
    line.add_null("age_ms");
  } else {
    line.add("age_ms", now_ms - std::min(now_ms, stamp.accepted_ms));
  }
  line.begin_array("columns");
  for (const request_column& column : model.columns()) {
    line.begin_object_item();
    line.add("name", column.name).add("kind", kind_name(column.kind)).end();
  }
  line.end().begin_array("heads");
  for (std::size_t h = 0; h < model.heads().size(); ++h) line.add_item(model.head_name(h));
  line.end().begin_array("tables");
  for (const auto& table : model.graph()->tables()) {
    if (table.rows > 0 || table.network) continue;
    line.begin_object_item();
    line.add("name", table.name).add("dim", table.dim).end();
  }
  line.end();
  return line.text() + '\n';
}

std::string described_v2(const served_model& model) {
  json_line line;
  line.add("name", model.name()).add("platform", "headrace");
  line.begin_array("inputs");
  for (const request_column& column : model.columns()) {
    line.begin_object_item();
    line.add("name", column.name).add("datatype", v2_type(column.kind)).begin_array("shape");
    line.add_item(-1);
    if (column.kind == worker::feature_kind::ids) line.add_item(-1);
    line.end().end();
  }
  line.end().begin_array("outputs");
  for (std::size_t h = 0; h < model.heads().size(); ++h) {
    line.begin_object_item();
    line.add("name", model.head_name(h)).add("datatype", "FP32").begin_array("shape");
    line.add_item(-1).end().end();
  }
  line.end();
  return line.text() + '\n';
}

}  // namespace headrace::serve
