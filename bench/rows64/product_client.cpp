#include "actors/transport/zmq_frame.hpp"
#include "base/check.hpp"
#include "bench/rows64/peer_client.hpp"
#include "bench/rows64/shard_part.hpp"
#include "schemas/control.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"
#include "schemas/wire.hpp"

#include <zmq.hpp>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace headrace::bench {
namespace {

using schemas::message_kind;
using schemas::value_codec;

constexpr int patience_ms = 20'000;
constexpr int ask_again_ms = 50;
constexpr std::chrono::seconds ready_within{120};  // a log of some seconds' load is read again
constexpr table_id rows64_table{0};

class product_client final : public product_peer {
 public:
  product_client(zmq::context_t& context,
                 const std::string& endpoint,
                 std::span<const row_batch> pool,
                 const rows64_options& options,
                 const std::string& source)
      : context_(context),
        shards_(options.shards),
        quantize_(options.quantize),
        source_{source, 1},
        acked_(options.shards) {
    connect(endpoint);
    (void)wait_until_ready();  // where nobody is, the first request says so
    for (const auto& batch : pool) {
      auto& parts = pool_parts_[&batch] = split(batch, shards_);
      for (auto& part : parts) encode_values(part, options.codec);
    }
  }

  std::uint64_t send_push(const row_batch& batch, value_codec codec) override {
    ++pushed_;
    return send(message_kind::push, push_sections(batch, codec, pushed_), {&batch, codec, pushed_});
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
    return send(message_kind::pull, sections, {});
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

  result<found_again> reconnect(const std::string& endpoint) override {
    const auto unanswered = std::exchange(waiting_, {});
    found_again found;
    found.in_flight = unanswered.size();
    found.acknowledged = pushed_ - unanswered.size();
    connect(endpoint);
    if (auto ready = wait_until_ready(); !ready) return ready.error();
    const auto lost = ask_for_lost();
    if (!lost) return lost.error();
    found.lost = *lost;
    std::fill(versions_.begin(), versions_.end(), 0);
    for (const auto& [id, request] : unanswered) {
      CHECK(request.kind == message_kind::push);
      const push_of& push = request.push;
      send_as(id, message_kind::push, push_sections(*push.batch, push.codec, push.number), push);
      waiting_.at(id).again = true;
    }
    return found;
  }

  std::uint64_t applied_twice() const override {
    std::uint64_t beyond = 0;
    for (const auto version : versions_) beyond += version > pushed_ ? version - pushed_ : 0;
    return beyond;
  }

 private:
  /// What a push was made of, to make it again.
  struct push_of {
    const row_batch* batch = nullptr;
    value_codec codec = value_codec::fp32;
    std::uint64_t number = 0;
  };
  /// Sections of a request not answered yet, and the answers that came.
  struct waiting {
    message_kind kind = message_kind::push;
    std::uint32_t missing = 0;
    push_of push;
    bool again = false;  // sent before: a duplicate is an answer
    std::vector<frame> answers;
  };

  void connect(const std::string& endpoint) {
    socket_ = zmq::socket_t(context_, zmq::socket_type::dealer);
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::rcvtimeo, patience_ms);
    socket_.connect(endpoint);
  }

  /// Asks every shard for nothing, again and again, until all have answered. What is sent while a
  /// shard opens its log is dropped (actors/server_node.hpp): workers send it again, and the load,
  /// which must not, begins behind this.
  result<void> wait_until_ready() {
    const auto deadline = std::chrono::steady_clock::now() + ready_within;
    socket_.set(zmq::sockopt::rcvtimeo, ask_again_ms);
    bool ready = false;
    while (!ready && std::chrono::steady_clock::now() < deadline) {
      send_pull(row_batch{}, value_codec::fp32);
      ready = wait().ok();
      waiting_.clear();  // answers that still come are to no request
    }
    socket_.set(zmq::sockopt::rcvtimeo, patience_ms);
    if (!ready) return error{errc::timeout, "the server did not answer in 120 s"};
    return {};
  }

  /// Pushes that a shard had acknowledged and does not have, over all shards.
  result<std::uint64_t> ask_for_lost() {
    std::vector<frame> sections;
    for (std::uint32_t s = 0; s < shards_; ++s) {
      sections.push_back(schemas::encode(schemas::watermark_request{shard_id{s}, source_}));
    }
    send(message_kind::watermarks, sections, {});
    if (auto answered = wait(); !answered) return answered.error();
    std::uint64_t lost = 0;
    for (std::uint32_t s = 0; s < shards_; ++s) {
      const auto reply = schemas::decode_watermark_reply(answered_[s]);
      if (!reply) return reply.error();
      if (acked_[s] > reply->rows.value) lost += acked_[s] - reply->rows.value;
    }
    return lost;
  }

  std::vector<shard_part>& parts_of(const row_batch& batch, value_codec codec) {
    if (const auto known = pool_parts_.find(&batch); known != pool_parts_.end())
      return known->second;
    other_parts_ = split(batch, shards_);
    for (auto& part : other_parts_) encode_values(part, codec);
    return other_parts_;
  }

  std::vector<frame> push_sections(const row_batch& batch,
                                   value_codec codec,
                                   std::uint64_t number) {
    auto& parts = parts_of(batch, codec);
    if (quantize_) {
      for (auto& part : parts) encode_values(part, codec);
    }
    schemas::push_section section;
    section.source = source_;
    section.batch = batch_number{number};
    section.prev = batch_number{number - 1};
    std::vector<frame> sections;
    for (std::uint32_t s = 0; s < shards_; ++s) {
      section.shard = shard_id{s};
      section.blocks.clear();
      if (!parts[s].keys.empty()) section.blocks.push_back(block_of(parts[s], codec));
      sections.push_back(schemas::encode(section));
    }
    return sections;
  }

  std::uint64_t send(message_kind kind, const std::vector<frame>& sections, const push_of& push) {
    const std::uint64_t id = next_request_++;
    send_as(id, kind, sections, push);
    return id;
  }

  void send_as(std::uint64_t id,
               message_kind kind,
               const std::vector<frame>& sections,
               const push_of& push) {
    schemas::envelope head;
    head.kind = kind;
    head.request_id = id;
    head.sender = "rows64";
    for (std::uint32_t s = 0; s < shards_; ++s) head.sections.push_back({shard_id{s}});
    waiting_[id] = {kind, shards_, push, false, std::vector<frame>(shards_)};
    socket_.send(actors::to_message(schemas::encode(head)), zmq::send_flags::sndmore);
    for (std::uint32_t s = 0; s < shards_; ++s) {
      socket_.send(actors::to_message(sections[s]),
                   s + 1 == shards_ ? zmq::send_flags::none : zmq::send_flags::sndmore);
    }
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
    if (auto fine = accept(at->second, section); !fine) return fine.error();
    at->second.answers[head->first_section] = std::move(section);
    if (--at->second.missing != 0) return std::optional<std::uint64_t>{};
    answered_ = std::move(at->second.answers);
    waiting_.erase(at);
    return std::optional(head->request_id);
  }

  result<void> accept(const waiting& request, const frame& section) {
    if (request.kind == message_kind::push) return accept_ack(request, section);
    if (request.kind == message_kind::watermarks) return {};
    const auto reply = schemas::decode_pull_reply(section);
    if (!reply) return reply.error();
    if (reply->status != errc::ok) return error{reply->status, "pull refused: " + reply->detail};
    return {};
  }

  result<void> accept_ack(const waiting& request, const frame& section) {
    const auto ack = schemas::decode_push_ack(section);
    if (!ack) return ack.error();
    if (ack->status != errc::ok) return error{ack->status, "push refused: " + ack->detail};
    if (!ack->applied && !request.again) return error{errc::malformed, "a push was not applied"};
    if (ack->shard.value >= shards_) return error{errc::malformed, "an answer of no shard"};
    std::uint64_t& acked = acked_[ack->shard.value];
    acked = std::max(acked, ack->watermark.value);
    std::uint64_t& version = versions_[ack->shard.value];
    version = std::max(version, ack->version);
    return {};
  }

  zmq::context_t& context_;
  zmq::socket_t socket_;
  std::uint32_t shards_;
  bool quantize_;
  schemas::source_id source_;
  std::uint64_t pushed_ = 0;
  std::uint64_t next_request_ = 0;
  std::vector<std::uint64_t> acked_;  // highest watermark each shard told
  std::vector<std::uint64_t> versions_ = std::vector<std::uint64_t>(acked_.size());  // and version
  std::unordered_map<const row_batch*, std::vector<shard_part>> pool_parts_;
  std::vector<shard_part> other_parts_;
  std::map<std::uint64_t, waiting> waiting_;  // in the order sent
  std::vector<frame> answered_;               // of the request that `wait` returned
};

}  // namespace

std::unique_ptr<product_peer> connect_product(actors::transport_context& context,
                                              const std::string& endpoint,
                                              std::span<const row_batch> pool,
                                              const rows64_options& options,
                                              const std::string& source) {
  return std::make_unique<product_client>(
      *static_cast<zmq::context_t*>(context.native()), endpoint, pool, options, source);
}

}  // namespace headrace::bench
