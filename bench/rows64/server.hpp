#pragma once

#include "actors/transport/context.hpp"
#include "actors/transport/router.hpp"
#include "base/result.hpp"
#include "bench/rows64/options.hpp"

#include <filesystem>
#include <memory>
#include <string>

namespace headrace::bench {

/// The load generator keeps to its depth by itself, and its largest batches at its largest depth
/// are beyond what a peer is granted by default: it may use the whole router's bound.
inline actors::router_options rows64_credit() {
  actors::router_options how;
  how.peer_bytes_max = how.bytes_max;
  return how;
}

/// One server under test, in this process, until it is destroyed.
class server {
 public:
  virtual ~server() = default;
  /// Where clients connect.
  virtual const std::string& endpoint() const = 0;
};

/// The product: router, shard actors, durable shards over segment logs in `folder`. Rows are
/// written back with `options.row_store` only. Fails as the parts do: in_use, io_error, disk_full.
result<std::unique_ptr<server>> start_product_server(actors::transport_context& context,
                                                     const std::string& listen,
                                                     const std::filesystem::path& folder,
                                                     const rows64_options& options);

/// The product's router and wire with a handler that looks at nothing and answers at once: what the
/// transport alone can do. Pulled rows are zeros of the right size.
result<std::unique_ptr<server>> start_empty_server(actors::transport_context& context,
                                                   const std::string& listen,
                                                   const rows64_options& options);

/// The stand-in for ps-lite, in a context of its own; see plain_server.cpp for what makes it
/// faithful.
std::unique_ptr<server> start_plain_server(const std::string& listen);

}  // namespace headrace::bench
