#include "bench/deepfm/training_thread.hpp"

#include "base/check.hpp"
#include "kernels/init_rows/init_rows.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>

namespace headrace::bench {
namespace {

const error not_finite{errc::malformed, "a loss was not finite"};

class ps_thread final : public training_thread {
 public:
  ps_thread(const deepfm_job& job,
            locked_shards& shards,
            deepfm_batches batches,
            std::uint32_t number,
            std::uint32_t dense_every,
            worker::precision as)
      : trainer_(job.model, job.schema, schemas::value_codec::int8, dense_every, as),
        shards_(shards),
        batches_(std::move(batches)),
        number_(number),
        dense_every_(dense_every) {
    for (const auto& batch : batches_) batch->source = {"bench-" + std::to_string(number), 1};
  }

  result<std::size_t> step() override {
    clock.start();
    const std::uint64_t before = done_++;
    const auto& batch = batches_[before % batches_.size()];
    batch->prev = batch_number{before};
    batch->batch = batch_number{before + 1};
    auto step = trainer_.begin(batch);
    clock.end(step_part::begin);
    for (std::uint32_t i = 0; i < shards_.count(); ++i) {
      if (auto pulled = pull(*step, turn(i)); !pulled) return pulled.error();
    }
    trainer_.learn(*step);
    clock.end(step_part::learn);
    if (keeps_loss) add_loss(*step);
    for (std::uint32_t i = 0; i < shards_.count(); ++i) {
      const frame section = trainer_.push_section(*step, turn(i), batch->prev);
      if (auto pushed = push(section, turn(i)); !pushed) return pushed.error();
    }
    if (done_ % dense_every_ == 0) {
      const auto sections = trainer_.push_dense(*step, batch_number{done_ - dense_every_});
      for (std::uint32_t i = 0; i < shards_.count(); ++i) {
        if (auto pushed = push(sections[turn(i).value], turn(i)); !pushed) return pushed.error();
      }
    }
    const std::size_t samples = batch->samples;
    trainer_.recycle(std::move(step));
    if (trainer_.steps_not_finite() > 0 && trainer_.precision_so_far().scale == 1.0F)
      return not_finite;  // a loss scale finds its size by steps that overflow
    return samples;
  }
  void watch_layers() override { trainer_.watch_layers(&layers); }

 private:
  // Each thread begins at another shard: they seldom want the same one.
  shard_id turn(std::uint32_t i) const { return shard_id{(i + 2 * number_) % shards_.count()}; }

  void add_loss(const worker::training_step& step) {
    for (std::size_t s = 0; s < step.online.size(); ++s) {
      const double p = std::clamp(static_cast<double>(step.online[s]), 1e-9, 1 - 1e-9);
      loss -= std::log(step.batch->labels[s] > 0 ? p : 1 - p);
    }
  }

  result<void> pull(worker::training_step& step, shard_id from) {
    const frame section = step.plan.section(from, step.sets, trainer_.schema_version());
    if (section.size() == 0) return {};
    const auto answer = shards_.pull(from, section, clock);
    if (!answer) return answer.error();
    const auto reply = schemas::decode_pull_reply(*answer);
    if (!reply) return reply.error();
    if (reply->status != errc::ok) return error{reply->status, reply->detail};
    clock.end(step_part::pull_messages);
    auto taken = trainer_.accept(step, *reply);
    clock.end(step_part::accept);
    return taken;
  }

  result<void> push(const frame& section, shard_id to) {
    clock.end(step_part::push_sections);
    CHECK(section.size() > 0);  // thousands of rows, and 817 of matrices: each shard has some
    const auto answer = shards_.push(to, section, clock);
    if (!answer) return answer.error();
    const auto ack = schemas::decode_push_ack(*answer);
    if (!ack) return ack.error();
    clock.end(step_part::push_messages);
    return {};
  }

  worker::trainer trainer_;
  locked_shards& shards_;
  deepfm_batches batches_;
  std::uint32_t number_;
  std::uint32_t dense_every_;
  std::uint64_t done_ = 0;
};

class direct_thread final : public training_thread {
 public:
  direct_thread(const deepfm_job& job, deepfm_batches batches, worker::precision as)
      : model_(job.model, as), batches_(std::move(batches)) {
    batches_.resize(std::min(batches_.size(), resident));
    for (const auto& batch : batches_) {
      sets_.emplace_back();
      model_.plan(*batch, sets_.back());
      model_.plan_network(sets_.back());
      for (worker::row_set& set : sets_.back()) start(set, job.schema.tables[set.table.value]);
    }
  }

  result<std::size_t> step() override {
    clock.start();
    const std::size_t at = done_++ % batches_.size();
    for (worker::row_set& set : sets_[at]) std::ranges::fill(set.gradients, 0.0F);
    probabilities_.resize(batches_[at]->samples);
    const bool finite = model_.learn(*batches_[at], sets_[at], probabilities_);
    clock.end(step_part::learn);
    if (!finite) return not_finite;
    return probabilities_.size();
  }
  void watch_layers() override { model_.watch_layers(&layers); }

 private:
  static constexpr std::size_t resident = 8;  // batches; 5 MB of rows each at 4096 samples

  static void start(worker::row_set& set, const schemas::table_spec& table) {
    kernels::init_rows({.keys = set.keys,
                        .seed = table.init.seed,
                        .scale = table.init.scale,
                        .first_order_columns = table.optimizer.first_order_columns,
                        .dim = set.dim,
                        .values = set.values,
                        .rows = {}});
  }

  worker::graph_model model_;
  deepfm_batches batches_;
  std::vector<std::vector<worker::row_set>> sets_;  // of each batch
  std::vector<float> probabilities_;
  std::size_t done_ = 0;
};

}  // namespace

std::unique_ptr<training_thread> make_ps_thread(const deepfm_job& job,
                                                locked_shards& shards,
                                                deepfm_batches batches,
                                                std::uint32_t number,
                                                std::uint32_t dense_every,
                                                worker::precision as) {
  return std::make_unique<ps_thread>(job, shards, std::move(batches), number, dense_every, as);
}

std::unique_ptr<training_thread> make_direct_thread(const deepfm_job& job,
                                                    deepfm_batches batches,
                                                    worker::precision as) {
  return std::make_unique<direct_thread>(job, std::move(batches), as);
}

}  // namespace headrace::bench
