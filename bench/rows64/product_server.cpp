#include "actors/server_node.hpp"
#include "actors/system_config.hpp"
#include "base/clock.hpp"
#include "bench/rows64/ledger.hpp"
#include "bench/rows64/server.hpp"
#include "bench/rows64/workload.hpp"
#include "ps/shard/durable_shard.hpp"
#include "ps/shard/shard.hpp"
#include "storage/io_pool.hpp"
#include "storage/rocks_row_store.hpp"
#include "storage/segment_log.hpp"

#include <caf/actor_system.hpp>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

namespace headrace::bench {
namespace {

constexpr unsigned io_threads = 4;  // as the product's server has

/// Keeps nothing, where write-back is not what is measured: the log is thrown away.
class no_row_store final : public storage::row_store {
 public:
  result<void> write(shard_id, std::span<const storage::stored_row>) override { return {}; }
  result<void> commit(shard_id, const storage::shard_position&) override { return {}; }
  result<storage::shard_position> position(shard_id) override { return storage::shard_position{}; }
  result<void> read(shard_id,
                    table_id,
                    std::span<const row_key>,
                    const std::function<void(const storage::stored_row&)>&) override {
    return {};
  }
  result<void> scan_from(shard_id,
                         storage::row_place,
                         std::size_t,
                         const std::function<void(const storage::stored_row&)>&) override {
    return {};
  }
};

schemas::job_schema schema_of(const rows64_options& options) {
  schemas::table_spec table;
  table.id = table_id{0};
  table.name = "rows64";
  table.dim = row_dim;
  table.optimizer = rows64_optimizer(options.optimizer);
  table.init.scale = 0.0F;
  schemas::job_schema schema;
  schema.shards = options.shards;
  schema.tables.push_back(table);
  return schema;
}

class product_server final : public server {
 public:
  static result<std::unique_ptr<server>> start(actors::transport_context& context,
                                               const std::string& listen,
                                               std::filesystem::path folder,
                                               const rows64_options& options) {
    std::unique_ptr<product_server> made(new product_server(std::move(folder), options));
    if (auto opened = made->open_rows(); !opened) return opened.error();
    actors::server_node::options how;
    how.endpoints = {listen};
    how.transport = rows64_credit();
    how.schema = schema_of(options);
    how.flush_interval_ms = 0;
    how.pool = made->pool_.get();
    how.opener = [self = made.get()](shard_id id) { return self->opener(id); };
    how.on_failure = [](const error& why) {
      std::fprintf(stderr, "headrace bench rows64: %s\n", describe(why).c_str());
      std::_Exit(1);
    };
    auto node = actors::server_node::start(*made->system_, context, std::move(how));
    if (!node) return node.error();
    made->node_ = std::move(*node);
    return std::unique_ptr<server>(std::move(made));
  }
  ~product_server() override {
    if (node_) node_->stop();
  }

  const std::string& endpoint() const override { return node_->endpoints().front(); }

 private:
  product_server(std::filesystem::path folder, const rows64_options& options)
      : folder_(std::move(folder)),
        options_(options),
        schema_(schema_of(options)),
        system_(std::make_unique<caf::actor_system>(config_)) {}

  result<void> open_rows() {
    if (!options_.row_store) {
      rows_ = std::make_unique<no_row_store>();
      return {};
    }
    pool_ = std::make_unique<storage::io_pool>(io_threads);
    storage::rocks_row_store::options how;
    how.path = folder_ / "rows";
    how.pool = pool_.get();
    how.compress_oldest = false;  // as for any table without a memory budget
    auto opened = storage::rocks_row_store::open(std::move(how));
    if (!opened) return opened.error();
    rows_ = std::move(*opened);
    return {};
  }

  actors::open_shard opener(shard_id id) {
    return [this, id](
               ps::durable_shard::delivery deliver,
               std::unique_ptr<ps::background> io) -> result<std::unique_ptr<ps::durable_shard>> {
      const auto position = rows_->position(id);
      if (!position) return position.error();
      storage::segment_log::options how;
      how.continue_after = position->flushed;
      how.folder = folder_ / ("shard-" + std::to_string(id.value));
      how.mode = options_.durable;
      auto log = storage::segment_log::open(how);
      if (!log) return log.error();
      ps::durable_shard::parts parts;
      parts.state = std::make_unique<ps::shard>(id, schema_, ps::shard_limits{}, epoch{1});
      parts.log = std::move(*log);
      parts.rows = rows_.get();
      parts.time = &time_;
      parts.io = std::move(io);
      parts.deliver = std::move(deliver);
      parts.how.mode = options_.durable;
      parts.how.truncate = options_.row_store;
      if (!options_.row_store || options_.tail_in_memory) {  // nothing is written back
        parts.how.tail_rows_max = UINT64_MAX;
        parts.how.tail_bytes_max = UINT64_MAX;
      }
      return ps::durable_shard::open(std::move(parts));
    };
  }

  std::filesystem::path folder_;
  rows64_options options_;
  schemas::job_schema schema_;
  std::unique_ptr<storage::io_pool> pool_;  // outlives what waits on it
  std::unique_ptr<storage::row_store> rows_;
  system_clock time_;
  actors::system_config config_;
  std::unique_ptr<caf::actor_system> system_;
  std::unique_ptr<actors::server_node> node_;
};

}  // namespace

result<std::unique_ptr<server>> start_product_server(actors::transport_context& context,
                                                     const std::string& listen,
                                                     const std::filesystem::path& folder,
                                                     const rows64_options& options) {
  return product_server::start(context, listen, folder, options);
}

}  // namespace headrace::bench
