#include "tests/simulation/shard_under_test.hpp"

#include "ps/shard/durable_shard.hpp"
#include "tests/simulation/known_wrong_shard.hpp"

#include <utility>

namespace headrace::simulation {
namespace {

class product_shard final : public shard_under_test {
 public:
  product_shard(variant kind, std::unique_ptr<ps::durable_shard> shard)
      : kind_(kind), shard_(std::move(shard)) {}

  void push(const frame& section, answer reply) override {
    shard_->push(section, std::move(reply));
  }
  void pull(const frame& section, answer reply) override {
    shard_->pull(section, std::move(reply));
  }
  schemas::watermark_reply watermarks(const schemas::watermark_request& request) const override {
    return shard_->state().watermarks(request);
  }
  bool outcome(lsn at, const storage::append_outcome& outcome) override {
    return shard_->outcome(at, outcome);
  }
  bool failed() const override { return shard_->failed(); }
  result<lsn> flush() override { return shard_->flush(); }
  void flush_later(flushed done) override { shard_->flush_later(std::move(done)); }
  void tick() override { shard_->tick(); }
  void keep_log_from(lsn keep) override {
    if (kind_ != variant::ignores_keep_log_from) shard_->keep_log_from(keep);
  }
  result<schemas::digest_reply> digest() const override { return shard_->digest(); }
  const ps::shard& state() const override { return shard_->state(); }

 private:
  variant kind_;
  std::unique_ptr<ps::durable_shard> shard_;
};

}  // namespace

std::unique_ptr<ps::shard> new_state(shard_id id, const schemas::job_schema& schema) {
  ps::shard_limits limits;
  limits.in_flight_max = in_flight_max;
  return std::make_unique<ps::shard>(id, schema, limits, epoch{1});
}

result<std::unique_ptr<shard_under_test>> shard_under_test::open(variant kind, parts from) {
  if (is_known_wrong(kind)) return known_wrong_shard::open(kind, std::move(from));
  ps::durable_shard::parts parts;
  parts.state = new_state(from.id, from.schema);
  parts.log = std::move(from.log);
  parts.rows = from.rows;
  parts.time = from.time;
  parts.deliver = std::move(from.deliver);
  parts.io = std::move(from.io);
  parts.how = from.how;
  auto opened = ps::durable_shard::open(std::move(parts));
  if (!opened) return opened.error();
  return std::unique_ptr<shard_under_test>(new product_shard(kind, std::move(*opened)));
}

}  // namespace headrace::simulation
