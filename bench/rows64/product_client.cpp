#include "actors/transport/zmq_frame.hpp"
#include "base/check.hpp"
#include "bench/rows64/peer_client.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"
#include "schemas/schema.hpp"
#include "schemas/wire.hpp"

#include <zmq.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace headrace::bench {
namespace {

using schemas::value_codec;

constexpr int patience_ms = 20'000;
constexpr int ask_again_ms = 50;
constexpr table_id rows64_table{0};

/// The rows of a batch that live on one shard.
struct shard_part {
  std::vector<std::uint32_t> places;  // in the batch
  std::vector<std::uint64_t> keys;
  std::vector<float> values;
  std::vector<std::int8_t> codes;
  std::vector<std::uint16_t> scales;
};

std::vector<shard_part> split(const row_batch& batch, std::uint32_t shards) {
  std::vector<shard_part> parts(shards);
  for (std::uint32_t i = 0; i < batch.rows(); ++i) {
    auto& part = parts[schemas::shard_of(row_key{batch.keys[i]}, shards).value];
    part.places.push_back(i);
    part.keys.push_back(batch.keys[i]);
    const auto row = batch.row(i);
    part.values.insert(part.values.end(), row.begin(), row.end());
  }
  return parts;
}

void quantize(shard_part& part) {
  part.codes.resize(part.values.size());
  part.scales.resize(part.keys.size());
  kernels::quantize_rows({part.values, part.codes, part.scales, row_dim});
}

schemas::row_block block_of(const shard_part& part, value_codec codec) {
  schemas::row_block block;
  block.table = rows64_table;
  block.dim = row_dim;
  block.codec = codec;
  block.keys = part.keys;
  if (codec == value_codec::int8) {
    block.scales = part.scales;
    block.values = std::as_bytes(std::span(part.codes));
  } else {
    block.values = std::as_bytes(std::span(part.values));
  }
  return block;
}

class product_client final : public peer_client {
 public:
  product_client(zmq::context_t& context,
                 const std::string& endpoint,
                 std::span<const row_batch> pool,
                 const rows64_options& options)
      : socket_(context, zmq::socket_type::dealer), shards_(options.shards) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::rcvtimeo, patience_ms);
    socket_.connect(endpoint);
    wait_until_ready();
    for (const auto& batch : pool) {
      auto& parts = pool_parts_[&batch] = split(batch, shards_);
      if (options.codec != value_codec::int8) continue;
      for (auto& part : parts) quantize(part);
    }
  }

  std::uint64_t send_push(const row_batch& batch, value_codec codec) override {
    const auto& parts = parts_of(batch, codec);
    ++pushed_;
    schemas::push_section section;
    section.source = source_;
    section.batch = batch_number{pushed_};
    section.prev = batch_number{pushed_ - 1};
    std::vector<frame> sections;
    for (std::uint32_t s = 0; s < shards_; ++s) {
      section.shard = shard_id{s};
      section.blocks.clear();
      if (!parts[s].keys.empty()) section.blocks.push_back(block_of(parts[s], codec));
      sections.push_back(schemas::encode(section));
    }
    return send(schemas::message_kind::push, sections);
  }

  std::uint64_t send_pull(const row_batch& batch, value_codec codec) override {
    const auto& parts = parts_of(batch, codec);
    std::vector<frame> sections;
    for (std::uint32_t s = 0; s < shards_; ++s) {
      schemas::pull_section section;
      section.shard = shard_id{s};
      if (!parts[s].keys.empty()) section.blocks.push_back({rows64_table, codec, parts[s].keys});
      sections.push_back(schemas::encode(section));
    }
    return send(schemas::message_kind::pull, sections);
  }

  result<std::uint64_t> wait() override {
    while (true) {
      auto answered = take_answer();
      if (!answered) return answered.error();
      if (*answered) return **answered;
    }
  }

  void copy_rows(const row_batch& batch, std::span<float> rows) const override {
    const auto parts = split(batch, shards_);
    for (std::uint32_t s = 0; s < shards_; ++s) {
      if (parts[s].keys.empty()) continue;
      const auto reply = schemas::decode_pull_reply(answered_.at(s));
      CHECK(reply.ok());
      CHECK(reply->blocks.size() == 1);
      copy_block(reply->blocks[0], parts[s], rows);
    }
  }

 private:
  /// Asks every shard for nothing, again and again, until all have answered. What is sent while a
  /// shard opens its log is dropped (actors/server_node.hpp): workers send it again, and the load,
  /// which must not, begins behind this.
  void wait_until_ready() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
    socket_.set(zmq::sockopt::rcvtimeo, ask_again_ms);
    while (std::chrono::steady_clock::now() < deadline) {
      send_pull(row_batch{}, value_codec::fp32);
      if (wait().ok()) break;
      waiting_.clear();  // answers that still come are to no request
    }
    socket_.set(zmq::sockopt::rcvtimeo, patience_ms);
  }

  /// Sections of a request not answered yet, and the answers that came.
  struct waiting {
    schemas::message_kind kind = schemas::message_kind::push;
    std::uint32_t missing = 0;
    std::vector<frame> answers;
  };

  const std::vector<shard_part>& parts_of(const row_batch& batch, value_codec codec) {
    if (const auto known = pool_parts_.find(&batch); known != pool_parts_.end())
      return known->second;
    other_parts_ = split(batch, shards_);
    if (codec == value_codec::int8) {
      for (auto& part : other_parts_) quantize(part);
    }
    return other_parts_;
  }

  std::uint64_t send(schemas::message_kind kind, const std::vector<frame>& sections) {
    schemas::envelope head;
    head.kind = kind;
    head.request_id = next_request_++;
    head.sender = "rows64";
    for (std::uint32_t s = 0; s < shards_; ++s) head.sections.push_back({shard_id{s}});
    waiting_[head.request_id] = {kind, shards_, std::vector<frame>(shards_)};
    socket_.send(actors::to_message(schemas::encode(head)), zmq::send_flags::sndmore);
    for (std::uint32_t s = 0; s < shards_; ++s) {
      socket_.send(actors::to_message(sections[s]),
                   s + 1 == shards_ ? zmq::send_flags::none : zmq::send_flags::sndmore);
    }
    return head.request_id;
  }

  /// One answered section; the request's number when it was the last one missing.
  result<std::optional<std::uint64_t>> take_answer() {
    zmq::message_t head_bytes;
    zmq::message_t section_bytes;
    if (!socket_.recv(head_bytes)) return error{errc::timeout, "the server did not answer in 20 s"};
    (void)socket_.recv(section_bytes);
    const auto head = schemas::decode_envelope(actors::to_frame(std::move(head_bytes)));
    if (!head) return head.error();
    const auto at = waiting_.find(head->request_id);
    if (at == waiting_.end())
      return std::optional<std::uint64_t>{};  // asked twice, see wait_until_ready
    frame section = actors::to_frame(std::move(section_bytes));
    if (auto fine = accept(at->second.kind, section); !fine) return fine.error();
    at->second.answers[head->first_section] = std::move(section);
    if (--at->second.missing != 0) return std::optional<std::uint64_t>{};
    answered_ = std::move(at->second.answers);
    waiting_.erase(at);
    return std::optional(head->request_id);
  }

  static result<void> accept(schemas::message_kind kind, const frame& section) {
    if (kind == schemas::message_kind::push) {
      const auto ack = schemas::decode_push_ack(section);
      if (!ack) return ack.error();
      if (ack->status != errc::ok) return error{ack->status, "push refused: " + ack->detail};
      if (!ack->applied) return error{errc::malformed, "a push was not applied"};
      return {};
    }
    const auto reply = schemas::decode_pull_reply(section);
    if (!reply) return reply.error();
    if (reply->status != errc::ok) return error{reply->status, "pull refused: " + reply->detail};
    return {};
  }

  static void copy_block(const schemas::pulled_block& block,
                         const shard_part& part,
                         std::span<float> rows) {
    std::vector<float> widened;
    std::span<const float> values;
    if (block.codec == value_codec::int8) {
      widened.resize(block.values.size());
      kernels::dequantize_rows(
          {{reinterpret_cast<const std::int8_t*>(block.values.data()), block.values.size()},
           block.scales,
           row_dim,
           widened});
      values = widened;
    } else {
      values = block.fp32_values();
    }
    CHECK(values.size() == part.places.size() * row_dim);
    for (std::size_t i = 0; i < part.places.size(); ++i) {
      std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(i * row_dim),
                  row_dim,
                  rows.begin() + static_cast<std::ptrdiff_t>(part.places[i] * row_dim));
    }
  }

  zmq::socket_t socket_;
  std::uint32_t shards_;
  schemas::source_id source_{"rows64", 1};
  std::uint64_t pushed_ = 0;
  std::uint64_t next_request_ = 0;
  std::unordered_map<const row_batch*, std::vector<shard_part>> pool_parts_;
  std::vector<shard_part> other_parts_;
  std::unordered_map<std::uint64_t, waiting> waiting_;
  std::vector<frame> answered_;  // of the request that `wait` returned
};

}  // namespace

std::unique_ptr<peer_client> connect_product(actors::transport_context& context,
                                             const std::string& endpoint,
                                             std::span<const row_batch> pool,
                                             const rows64_options& options) {
  return std::make_unique<product_client>(
      *static_cast<zmq::context_t*>(context.native()), endpoint, pool, options);
}

}  // namespace headrace::bench
