#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <string>
#include <vector>

/// What one ZeroMQ multipart message holds: an envelope frame, then one frame for each section it
/// names. Source of the rules: design §6. Every frame is one flat Cap'n Proto message.
namespace headrace::schemas {

/// Version of the wire this build speaks; a peer may speak this one or the one before.
inline constexpr std::uint16_t protocol_version = 1;
inline constexpr std::uint16_t protocol_version_min = 1;

/// Largest frame a decoder accepts; the sockets enforce the same (ZMQ_MAXMSGSIZE).
inline constexpr std::size_t frame_bytes_max = std::size_t{64} << 20;
/// Largest number of rows in one block, of blocks in one section, of sections in one envelope. An
/// encoder CHECKs them, so what a batch may hold is limited where batches are configured.
inline constexpr std::uint32_t block_rows_max = 65'536;
inline constexpr std::size_t section_blocks_max = 1'024;
inline constexpr std::size_t envelope_sections_max = 1'024;

enum class message_kind : std::uint16_t {
  // request → reply
  push = 1,        // push_section → push_ack
  pull = 2,        // pull_section → pull_reply
  hello = 3,       // hello → welcome
  watermarks = 4,  // watermark_request → watermark_reply
  digest = 5,      // digest_request → digest_reply
  flush = 6,   // flush_request → flush_reply: rows written whole, checkpoint position advanced
  status = 7,  // status_request → status_reply
  checkpoint = 8,  // checkpoint_request → checkpoint_reply; the shard named is not looked at
  forget = 9,      // forget_request → forget_reply: rows removed for good
  release = 10,    // release_request → release_reply: a source let out of quarantine
  events = 11,     // event_push → event_ack; the shard named is not looked at
  samples = 12,    // samples_request → samples_reply; the shard named is not looked at
  follow = 13,     // follow_request → follow_reply: what a shard changed
  // 32 and up: reserved for lookup, predict and audit
};

/// One section: which shard it is for, and its frame's place is its index.
struct section_ref {
  shard_id shard;
  friend bool operator==(const section_ref&, const section_ref&) = default;
};

/// First frame of a request or a reply. A reply repeats the request's id and kind, sets `reply`,
/// and names in `first_section` which section of the request its first section answers.
struct envelope {
  std::uint16_t protocol = protocol_version;
  message_kind kind = message_kind::push;
  bool reply = false;
  std::uint64_t request_id = 0;
  std::uint32_t first_section = 0;
  std::string sender;  // worker name, for logs; at most 64 bytes
  std::vector<section_ref> sections;
  friend bool operator==(const envelope&, const envelope&) = default;
};

frame encode(const envelope& message);
/// Fails: malformed, too_large, bad_protocol (both versions named). A hello and its welcome are
/// read whatever their envelope's protocol is, so that a peer of any version is told which versions
/// are spoken here.
result<envelope> decode_envelope(const frame& bytes);

}  // namespace headrace::schemas
