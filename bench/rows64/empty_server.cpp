#include "actors/transport/router.hpp"
#include "bench/rows64/server.hpp"
#include "bench/rows64/workload.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"
#include "schemas/wire.hpp"

#include <memory>
#include <unordered_map>
#include <utility>

namespace headrace::bench {
namespace {

/// Answers made once and sent again: for pushes one, for pulls one for each size of request.
class ready_answers {
 public:
  explicit ready_answers(schemas::value_codec codec) : codec_(codec) {
    schemas::push_ack ack;
    ack.applied = true;
    ack_ = schemas::encode(ack);
  }

  const frame& to(const actors::section_job& job) {
    return job.kind == schemas::message_kind::push ? ack_ : rows_for(job.section);
  }

 private:
  const frame& rows_for(const frame& section) {
    frame& known = rows_[section.size()];
    if (!known.empty()) return known;
    const auto request = schemas::decode_pull(section);
    std::vector<schemas::pulled_block_layout> layouts;
    if (request.ok() && !request->blocks.empty()) {
      const auto& asked = request->blocks[0];
      layouts.push_back(
          {asked.table, row_dim, codec_, static_cast<std::uint32_t>(asked.keys.size())});
    }
    schemas::pull_reply_builder builder({}, layouts);
    return known = builder.finish();
  }

  schemas::value_codec codec_;
  frame ack_;
  std::unordered_map<std::size_t, frame> rows_;
};

class empty_server final : public server {
 public:
  explicit empty_server(std::shared_ptr<actors::router> router) : router_(std::move(router)) {}
  ~empty_server() override { router_->stop(); }
  const std::string& endpoint() const override { return router_->endpoints().front(); }

 private:
  std::shared_ptr<actors::router> router_;
};

}  // namespace

result<std::unique_ptr<server>> start_empty_server(actors::transport_context& context,
                                                   const std::string& listen,
                                                   const rows64_options& options) {
  auto answers = std::make_shared<ready_answers>(options.codec);
  auto opened = actors::router::open(
      context,
      {listen},
      [answers](actors::section_job job) { job.answer(answers->to(job)); },
      rows64_credit());
  if (!opened) return opened.error();
  return std::unique_ptr<server>(std::make_unique<empty_server>(std::move(*opened)));
}

}  // namespace headrace::bench
