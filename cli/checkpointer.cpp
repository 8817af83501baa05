#include "cli/checkpointer.hpp"

#include "base/log.hpp"
#include "ps/shard/durable_shard.hpp"

#include <algorithm>
#include <chrono>
#include <future>
#include <pthread.h>
#include <utility>

namespace headrace::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t second_ns = 1'000'000'000;
constexpr std::uint64_t try_again_ms = 60'000;
constexpr std::size_t requests_kept = 64;  // a client asks about one for as long as it waits

}  // namespace

checkpointer::checkpointer(cut_parts of,
                           checkpoint_spec how,
                           std::unique_ptr<storage::object_store> store)
    : of_(std::move(of)),
      how_(std::move(how)),
      archive_(std::move(store),
               *of_.time,
               {.hash_cache = of_.folder->root() / "checkpoint-hashes",
                .cancelled = [this] { return stopping_.load(); }}) {
  of_.cancelled = [this] { return stopping_.load(); };
  if (!how_.keep_log) return;
  for (std::uint32_t s = 0; s < of_.described->schema.shards; ++s)
    of_.holds->keep(shard_id{s}, lsn{1});
}

result<std::unique_ptr<checkpointer>> checkpointer::open(cut_parts of, checkpoint_spec how) {
  auto store = storage::open_object_store(how.to);
  if (!store) return store.error();
  return std::unique_ptr<checkpointer>(
      new checkpointer(std::move(of), std::move(how), std::move(*store)));
}

void checkpointer::begin(actors::server_node& node) {
  of_.node = &node;
  std::error_code ignored;
  std::filesystem::remove_all(scratch_home(), ignored);  // what a killed process left
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "checkpoints");
    run();
  });
}

void checkpointer::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  asked_.notify_all();
  if (thread_.joinable()) thread_.join();
}

schemas::checkpoint_reply checkpointer::ask(const schemas::checkpoint_request& request) {
  const std::lock_guard lock(mutex_);
  const auto [found, is_new] = requests_.try_emplace(request.token);
  if (is_new) {
    while (requests_.size() > requests_kept) {
      const auto done = std::find_if(
          requests_.begin(), requests_.end(), [](const auto& one) { return one.second; });
      if (done == requests_.end()) break;
      requests_.erase(done);
    }
    asked_.notify_all();
  }
  const auto known = requests_.find(request.token);
  return known == requests_.end() || !known->second ? schemas::checkpoint_reply{} : *known->second;
}

void checkpointer::answer(const std::vector<std::uint64_t>& tokens,
                          const schemas::checkpoint_reply& reply) {
  const std::lock_guard lock(mutex_);
  for (const std::uint64_t token : tokens) {
    const auto request = requests_.find(token);
    if (request != requests_.end() && !request->second) request->second = reply;
  }
}

std::vector<std::uint64_t> checkpointer::waiting() {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint64_t> tokens;
  for (const auto& [token, told] : requests_) {
    if (!told) tokens.push_back(token);
  }
  return tokens;
}

void checkpointer::run() {
  while (!stopping_) {
    if (due()) take();
    std::unique_lock lock(mutex_);
    asked_.wait_for(lock, 200ms, [this] { return stopping_.load(); });
  }
}

// When the newest checkpoint was taken, and from where on logs are needed behind those that are
// kept.
result<void> checkpointer::learn_archive() {
  if (!how_.keep_log) {
    const auto ids = archive_.ids();
    if (!ids) return ids.error();
    newest_ms_ = ids->empty() ? 0 : storage::checkpoint_time_ms(ids->front()).value_or(0);
    return {};
  }
  const auto found = archive_.list();
  if (!found) return found.error();
  if (!found->damaged.empty()) return found->damaged.front();
  std::vector<lsn> needed(of_.described->schema.shards, lsn{UINT64_MAX});
  for (const auto& one : found->checkpoints) {
    newest_ms_ = std::max<std::uint64_t>(newest_ms_, one.written_ms);
    for (const auto& shard : one.shards) {
      if (shard.id.value >= needed.size()) continue;
      lsn& from = needed[shard.id.value];
      from =
          std::min(from, std::max(shard.cut, lsn{1}));  // the record at the cut tells whose it is
    }
  }
  // Before there is a checkpoint, the log from its beginning is what `undo` can begin from.
  for (std::uint32_t s = 0; s < needed.size(); ++s)
    of_.holds->keep(shard_id{s}, found->checkpoints.empty() ? lsn{1} : needed[s]);
  return {};
}

std::optional<std::vector<lsn>> checkpointer::applied() {
  std::vector<lsn> all;
  for (std::uint32_t s = 0; s < of_.described->schema.shards; ++s) {
    auto told = std::make_shared<std::promise<lsn>>();
    auto answer = told->get_future();
    const bool there = of_.node->visit(shard_id{s}, [told](ps::durable_shard& shard) {
      told->set_value(shard.state().applied());
    });
    told.reset();
    if (!there || answer.wait_for(1s) != std::future_status::ready) return std::nullopt;
    try {
      all.push_back(answer.get());
    } catch (const std::future_error&) {  // the shard ended before its turn came
      return std::nullopt;
    }
  }
  return all;
}

bool checkpointer::due() {
  if (!waiting().empty()) return true;
  const std::uint64_t now_ns = of_.time->steady_ns();
  if (now_ns < try_again_ns_) return false;
  if (!archive_known_) {
    if (auto learned = learn_archive(); !learned) {
      log_warn("checkpoint.archive",
               {{"to", archive_.store().uri()}, {"error", describe(learned.error())}});
      try_again_ns_ = now_ns + try_again_ms * 1'000'000;
      return false;
    }
    archive_known_ = true;
  }
  const bool by_time = how_.every_ms > 0 && of_.time->now_ms() >= newest_ms_ + how_.every_ms;
  const bool look = how_.batches > 0 && now_ns >= looked_ns_ + second_ns;
  if (!by_time && !look) return false;
  looked_ns_ = now_ns;
  const auto now_at = applied();
  if (!now_at) return false;
  if (last_cut_.empty()) {  // what came before this process does not count
    if (!by_time) last_cut_ = *now_at;
    return by_time;
  }
  std::uint64_t records = 0;
  for (std::size_t s = 0; s < now_at->size(); ++s)
    records = std::max(records, (*now_at)[s].value - last_cut_[s].value);
  return records > 0 && (by_time || (how_.batches > 0 && records >= how_.batches));
}

void checkpointer::take() {
  const auto asked = waiting();  // who asks later gets one that is cut later
  auto made = take_one();
  release_logs();
  std::error_code ignored;
  std::filesystem::remove_all(scratch_home(), ignored);
  if (made) {
    ++taken_;
    took_ms_ = made->took_ms;
    try_again_ns_ = 0;
    log_info("checkpoint.taken",
             {{"id", made->id},
              {"files", made->files_uploaded},
              {"bytes", made->bytes_uploaded},
              {"reused_bytes", made->bytes_reused},
              {"took_ms", made->took_ms}});
    return answer(asked, *made);
  }
  if (made.error().code != errc::cancelled) {
    ++failed_;
    log_warn("checkpoint.failed", {{"error", describe(made.error())}, {"failed", failed_.load()}});
  }
  try_again_ns_ =
      of_.time->steady_ns() +
      std::min(how_.every_ms > 0 ? how_.every_ms : try_again_ms, try_again_ms) * 1'000'000;
  answer(asked,
         {.status = made.error().code, .detail = made.error().detail, .done = true, .id = ""});
}

result<schemas::checkpoint_reply> checkpointer::take_one() {
  const std::uint64_t begun_ns = of_.time->steady_ns();
  // A name of its own: what a shard still writes for one that was given up must not come into it.
  const auto scratch = scratch_home() / std::to_string(++scratches_);
  const auto about = cut_checkpoint(of_, scratch);
  if (!about) return about.error();
  const auto sent = archive_.upload(scratch, *about);
  if (!sent) return sent.error();
  newest_ms_ = storage::checkpoint_time_ms(sent->id).value_or(0);
  last_cut_.clear();
  for (const auto& shard : about->shards) last_cut_.push_back(shard.cut);
  // The checkpoint is there: that old ones could not be removed does not change it.
  auto kept = archive_.retain(how_.keep, how_.keep_for_ms);
  if (!kept) log_warn("checkpoint.retain", {{"error", describe(kept.error())}});
  if (auto learned = learn_archive(); !learned)
    log_warn("checkpoint.archive", {{"error", describe(learned.error())}});
  return schemas::checkpoint_reply{.detail = "",
                                   .done = true,
                                   .id = sent->id,
                                   .files_uploaded = sent->files_uploaded,
                                   .bytes_uploaded = sent->bytes_uploaded,
                                   .bytes_reused = sent->bytes_reused,
                                   .took_ms = (of_.time->steady_ns() - begun_ns) / 1'000'000};
}

void checkpointer::release_logs() {
  for (std::uint32_t s = 0; s < of_.described->schema.shards; ++s) {
    of_.holds->taken(shard_id{s});
    of_.node->visit(shard_id{s}, [holds = of_.holds](ps::durable_shard& shard) {
      holds->taken(shard.state().id());  // again: a hold that was asked for may have come after
      shard.keep_log_from(holds->keep_from(shard.state().id()));
    });
  }
}

}  // namespace headrace::cli
