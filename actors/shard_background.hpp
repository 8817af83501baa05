#pragma once

#include "actors/contracts.hpp"
#include "ps/shard/background.hpp"
#include "storage/io_pool.hpp"

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

namespace headrace::actors {

/// Works of one shard on the node's I/O pool; what follows comes back to its actor as a message.
class shard_background final : public ps::background {
 public:
  /// `pool` must outlive this object.
  shard_background(storage::io_pool& pool, shard_handle owner);

  void run(std::function<void()> work, std::function<void()> done) override;
  void finish() override;

 private:
  /// Shared with works under way.
  struct count {
    std::mutex mutex;  // guards `running`
    std::condition_variable none;
    std::size_t running = 0;
  };
  storage::io_pool& pool_;
  shard_handle owner_;
  std::shared_ptr<count> count_ = std::make_shared<count>();
};

}  // namespace headrace::actors
