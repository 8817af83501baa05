#include "actors/routing_table.hpp"

#include <mutex>
#include <utility>
#include <vector>

namespace headrace::actors {

// Read by the router, written at restarts: a mutex held for one copy of a handle.
struct routing_table::state {
  mutable std::mutex mutex;
  std::vector<shard_handle> owners;
};

routing_table::routing_table(std::size_t shards) : state_(std::make_shared<state>()) {
  state_->owners.resize(shards);
}
shard_handle routing_table::find(shard_id id) const {
  const std::lock_guard lock(state_->mutex);
  if (id.value >= state_->owners.size()) return {};
  return state_->owners[id.value];
}
void routing_table::replace(shard_id id, shard_handle owner) {
  const std::lock_guard lock(state_->mutex);
  state_->owners[id.value] = std::move(owner);
}
void routing_table::clear() {
  const std::lock_guard lock(state_->mutex);
  for (auto& owner : state_->owners) owner = shard_handle{};
}
std::size_t routing_table::size() const { return state_->owners.size(); }

}  // namespace headrace::actors
