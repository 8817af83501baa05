#pragma once

#include "actors/transport/context.hpp"
#include "actors/transport/link.hpp"
#include "base/result.hpp"
#include "schemas/control.hpp"
#include "schemas/pull.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace headrace::actors {

/// Asks a server node questions and waits for the answers: what the command line needs before a
/// worker starts and after it ended. Each call sends again every 300 ms until `deadline`. One
/// thread.
class control_client {
 public:
  static result<std::unique_ptr<control_client>> open(transport_context& context,
                                                      const std::string& endpoint,
                                                      std::string sender);
  ~control_client();

  /// Fails: unavailable (nobody answers at the endpoint), wrong_job, bad_protocol.
  result<schemas::welcome> hello(std::uint64_t job_fingerprint, std::chrono::milliseconds deadline);
  /// One reply for each shard, in shard order.
  result<std::vector<schemas::watermark_reply>> watermarks(const schemas::source_id& source,
                                                           std::uint32_t shards,
                                                           std::chrono::milliseconds deadline);
  result<std::vector<schemas::digest_reply>> digests(std::uint32_t shards,
                                                     std::chrono::milliseconds deadline);
  result<std::vector<schemas::flush_reply>> flush(std::uint32_t shards,
                                                  std::chrono::milliseconds deadline);
  /// One reply for each shard of the job: the first one says how many there are.
  result<std::vector<schemas::status_reply>> status(std::chrono::milliseconds deadline);
  /// Begins a checkpoint, or asks how far it is: the same `token` is the same checkpoint.
  result<schemas::checkpoint_reply> checkpoint(std::uint64_t token,
                                               std::chrono::milliseconds deadline);
  /// Removes rows of one shard, or says which there are. Sent again it removes nothing more, and
  /// the first answer counts. Fails: unknown_table, bad_keys, overloaded, unavailable.
  result<schemas::forget_reply> forget(const schemas::forget_request& what,
                                       std::chrono::milliseconds deadline);
  /// Lets a source out of quarantine on every shard; a shard answers when that survives a restart.
  /// Fails also where a shard cannot write that down; those before it have let the source out.
  result<std::vector<schemas::release_reply>> release(const std::string& source,
                                                      std::uint32_t shards,
                                                      std::chrono::milliseconds deadline);
  /// One section to one shard, its answer as bytes.
  result<frame> ask(schemas::message_kind kind,
                    shard_id shard,
                    const frame& section,
                    std::chrono::milliseconds deadline);

 private:
  struct mailbox;
  control_client() = default;
  template <class Reply, class Encode, class Decode>
  result<std::vector<Reply>> ask_all(schemas::message_kind kind,
                                     std::uint32_t shards,
                                     std::chrono::milliseconds deadline,
                                     Encode encode,
                                     Decode decode);

  std::shared_ptr<mailbox> mailbox_;
  std::unique_ptr<link> link_;
  std::string endpoint_;
  std::string sender_;
  std::uint64_t next_request_ = 1;
};

}  // namespace headrace::actors
