#include "actors/shard_background.hpp"

#include <caf/send.hpp>

#include <utility>

namespace headrace::actors {

shard_background::shard_background(storage::io_pool& pool, shard_handle owner)
    : pool_(pool), owner_(std::move(owner)) {}

void shard_background::run(std::function<void()> work, std::function<void()> done) {
  {
    const std::lock_guard lock(count_->mutex);
    ++count_->running;
  }
  pool_.run([count = count_,
             owner = owner_,
             work = std::move(work),
             done = std::make_shared<const std::function<void()>>(std::move(done))]() mutable {
    work();
    work = nullptr;  // what it held is free before its owner hears of it
    caf::anon_send(owner, done_atom_v, std::move(done));
    const std::lock_guard lock(count->mutex);
    if (--count->running == 0) count->none.notify_all();
  });
}

void shard_background::finish() {
  std::unique_lock lock(count_->mutex);
  count_->none.wait(lock, [this] { return count_->running == 0; });
}

}  // namespace headrace::actors
