#include "actors/control_client.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

namespace headrace::actors {
namespace {

constexpr std::chrono::milliseconds resend_interval{300};
constexpr std::uint32_t shards_max = 1'024;  // that a peer is believed to have

}  // namespace

// Filled by the link's thread, read by the caller: the mutex guards all of it.
struct control_client::mailbox {
  std::mutex mutex;
  std::condition_variable arrived;
  std::uint64_t awaited = 0;
  std::optional<frame> answer;
};

result<std::unique_ptr<control_client>> control_client::open(transport_context& context,
                                                             const std::string& endpoint,
                                                             std::string sender) {
  std::unique_ptr<control_client> made(new control_client);
  made->mailbox_ = std::make_shared<mailbox>();
  made->endpoint_ = endpoint;
  made->sender_ = std::move(sender);
  auto opened = link::open(
      context, endpoint, [box = made->mailbox_](const schemas::envelope& head, frame section) {
        const std::lock_guard lock(box->mutex);
        if (head.request_id != box->awaited) return;  // late, or a second answer
        box->answer = std::move(section);
        box->arrived.notify_all();
      });
  if (!opened) return opened.error();
  made->link_ = std::move(*opened);
  return made;
}

control_client::~control_client() {
  if (link_) link_->stop();
}

result<frame> control_client::ask(schemas::message_kind kind,
                                  shard_id shard,
                                  const frame& section,
                                  std::chrono::milliseconds deadline) {
  schemas::envelope head;
  head.kind = kind;
  head.sender = sender_;
  head.request_id = next_request_++;
  head.sections.push_back({shard});
  const auto give_up = std::chrono::steady_clock::now() + deadline;
  std::unique_lock lock(mailbox_->mutex);
  mailbox_->awaited = head.request_id;
  mailbox_->answer.reset();
  while (std::chrono::steady_clock::now() < give_up) {
    lock.unlock();
    link_->send(head, {section});
    lock.lock();
    const auto again = std::min(give_up, std::chrono::steady_clock::now() + resend_interval);
    if (mailbox_->arrived.wait_until(lock, again, [&] { return mailbox_->answer.has_value(); })) {
      return std::move(*mailbox_->answer);
    }
  }
  return error{errc::unavailable,
               "no answer from '" + endpoint_ + "' for shard " + std::to_string(shard.value) +
                   "; is the server running, and is the address right?"};
}

template <class Reply, class Encode, class Decode>
result<std::vector<Reply>> control_client::ask_all(schemas::message_kind kind,
                                                   std::uint32_t shards,
                                                   std::chrono::milliseconds deadline,
                                                   Encode encode,
                                                   Decode decode) {
  std::vector<Reply> replies;
  for (std::uint32_t i = 0; i < shards; ++i) {
    auto bytes = ask(kind, shard_id{i}, encode(shard_id{i}), deadline);
    if (!bytes) return bytes.error();
    auto reply = decode(*bytes);
    if (!reply) return reply.error();
    if (reply->status != errc::ok) return error{reply->status, reply->detail};
    replies.push_back(std::move(*reply));
  }
  return replies;
}

result<schemas::welcome> control_client::hello(std::uint64_t job_fingerprint,
                                               std::chrono::milliseconds deadline) {
  schemas::hello greeting;
  greeting.protocol = schemas::protocol_version;
  greeting.protocol_min = schemas::protocol_version_min;
  greeting.job_fingerprint = job_fingerprint;
  greeting.sender = sender_;
  auto bytes = ask(schemas::message_kind::hello, shard_id{0}, schemas::encode(greeting), deadline);
  if (!bytes) return bytes.error();
  auto reply = schemas::decode_welcome(*bytes);
  if (reply && reply->status != errc::ok) return error{reply->status, reply->detail};
  return reply;
}

result<std::vector<schemas::watermark_reply>> control_client::watermarks(
    const schemas::source_id& source, std::uint32_t shards, std::chrono::milliseconds deadline) {
  return ask_all<schemas::watermark_reply>(
      schemas::message_kind::watermarks,
      shards,
      deadline,
      [&](shard_id id) {
        return schemas::encode(schemas::watermark_request{id, source});
      },
      schemas::decode_watermark_reply);
}

result<std::vector<schemas::digest_reply>> control_client::digests(
    std::uint32_t shards, std::chrono::milliseconds deadline) {
  return ask_all<schemas::digest_reply>(
      schemas::message_kind::digest,
      shards,
      deadline,
      [](shard_id id) { return schemas::encode(schemas::digest_request{id}); },
      schemas::decode_digest_reply);
}

result<std::vector<schemas::flush_reply>> control_client::flush(
    std::uint32_t shards, std::chrono::milliseconds deadline) {
  return ask_all<schemas::flush_reply>(
      schemas::message_kind::flush,
      shards,
      deadline,
      [](shard_id id) { return schemas::encode(schemas::flush_request{id}); },
      schemas::decode_flush_reply);
}

result<std::vector<schemas::status_reply>> control_client::status(
    std::chrono::milliseconds deadline) {
  std::vector<schemas::status_reply> replies;
  std::uint32_t shards = 1;
  for (std::uint32_t i = 0; i < shards; ++i) {
    auto bytes = ask(schemas::message_kind::status,
                     shard_id{i},
                     schemas::encode(schemas::status_request{shard_id{i}}),
                     deadline);
    if (!bytes) return bytes.error();
    auto reply = schemas::decode_status_reply(*bytes);
    if (!reply) return reply.error();
    if (reply->status != errc::ok) return error{reply->status, reply->detail};
    if (i == 0) shards = std::min(reply->shards, shards_max);
    replies.push_back(std::move(*reply));
  }
  return replies;
}

result<schemas::checkpoint_reply> control_client::checkpoint(std::uint64_t token,
                                                             std::chrono::milliseconds deadline) {
  const auto bytes = ask(schemas::message_kind::checkpoint,
                         shard_id{0},
                         schemas::encode(schemas::checkpoint_request{token}),
                         deadline);
  if (!bytes) return bytes.error();
  return schemas::decode_checkpoint_reply(*bytes);
}

result<schemas::forget_reply> control_client::forget(const schemas::forget_request& what,
                                                     std::chrono::milliseconds deadline) {
  const auto bytes =
      ask(schemas::message_kind::forget, what.shard, schemas::encode(what), deadline);
  if (!bytes) return bytes.error();
  auto reply = schemas::decode_forget_reply(*bytes);
  if (reply && reply->status != errc::ok) return error{reply->status, reply->detail};
  return reply;
}

result<std::vector<schemas::release_reply>> control_client::release(
    const std::string& source, std::uint32_t shards, std::chrono::milliseconds deadline) {
  return ask_all<schemas::release_reply>(
      schemas::message_kind::release,
      shards,
      deadline,
      [&](shard_id id) {
        return schemas::encode(schemas::release_request{id, source});
      },
      schemas::decode_release_reply);
}

}  // namespace headrace::actors
