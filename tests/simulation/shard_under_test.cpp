#include "tests/simulation/shard_under_test.hpp"

#include "ps/shard/durable_shard.hpp"
#include "tests/simulation/known_wrong_shard.hpp"

#include <utility>

namespace headrace::simulation {
namespace {

class product_shard final : public shard_under_test {
 public:
  explicit product_shard(std::unique_ptr<ps::durable_shard> shard) : shard_(std::move(shard)) {}

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
  const ps::shard& state() const override { return shard_->state(); }

 private:
  std::unique_ptr<ps::durable_shard> shard_;
};

}  // namespace

std::string_view name(variant kind) {
  switch (kind) {
    case variant::product:
      return "product";
    case variant::twin:
      return "twin";
    case variant::no_dedupe:
      return "no dedupe";
    case variant::acknowledge_before_commit:
      return "acknowledge before commit";
    case variant::gap_accepted:
      return "gap accepted";
    case variant::watermark_before_record:
      return "watermark apart from record, written before it";
    case variant::watermark_after_record:
      return "watermark apart from record, written after it";
    case variant::shows_uncommitted:
      return "shows uncommitted rows";
  }
  return "?";
}

std::unique_ptr<ps::shard> new_state(shard_id id, const schemas::job_schema& schema) {
  ps::shard_limits limits;
  limits.in_flight_max = 4;  // so that the bound is met
  return std::make_unique<ps::shard>(id, schema, limits, epoch{1});
}

result<std::unique_ptr<shard_under_test>> shard_under_test::open(variant kind, parts from) {
  if (kind != variant::product) return known_wrong_shard::open(kind, std::move(from));
  ps::durable_shard::parts parts;
  parts.state = new_state(from.id, from.schema);
  parts.log = std::move(from.log);
  parts.rows = from.rows;
  parts.time = from.time;
  parts.deliver = std::move(from.deliver);
  parts.how.mode = schemas::log_mode::fsync;
  auto opened = ps::durable_shard::open(std::move(parts));
  if (!opened) return opened.error();
  return std::unique_ptr<shard_under_test>(new product_shard(std::move(*opened)));
}

}  // namespace headrace::simulation
