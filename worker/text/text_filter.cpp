#include "worker/text/text_filter.hpp"

#include "base/byte_io.hpp"
#include "base/check.hpp"
#include "schemas/hash.hpp"
#include "worker/text/simhash.hpp"
#include "worker/text/text_quality.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

constexpr std::uint64_t format = 1;

// Of what gives the hashes of its texts a meaning.
std::uint64_t hashed_by(const text_spec& spec) {
  byte_writer all;
  all.text(spec.column);
  all.number(std::uint64_t{spec.shingle_words});
  return schemas::hash64(all.take());
}

}  // namespace

std::uint64_t fingerprint_of(const std::vector<text_spec>& texts) {
  if (texts.empty()) return 0;
  byte_writer all;
  for (const text_spec& text : texts) {
    all.text(text.column);
    for (const std::uint64_t bound : {text.chars_min,
                                      text.chars_max,
                                      std::uint64_t{text.scripts},
                                      std::uint64_t{text.near.value_or(UINT32_MAX)},
                                      std::uint64_t{text.near_window},
                                      std::uint64_t{text.shingle_words}})
      all.number(bound);
    all.number(text.symbols_max);
    all.number(text.script_share);
  }
  return schemas::hash64(all.take()) | 1U;
}

text_filter::text_filter(const std::vector<text_spec>& texts) {
  for (const text_spec& spec : texts) {
    texts_.push_back({spec, std::nullopt, hashed_by(spec)});
    if (spec.near) texts_.back().seen.emplace(spec.near_window, *spec.near);
  }
  hashes_.resize(texts_.size());
}

std::optional<text_filter::refusal> text_filter::judge(std::span<const std::string> texts) {
  CHECK(texts.size() == texts_.size());
  const auto refused = [&](std::size_t t, text_fault why) {
    ++counts_.refused[static_cast<std::size_t>(why)];
    return refusal{why, t};
  };
  for (std::size_t t = 0; t < texts_.size(); ++t) {
    if (const auto why = judge_text(texts_[t].spec, texts[t])) return refused(t, *why);
  }
  for (std::size_t t = 0; t < texts_.size(); ++t) {
    const one& each = texts_[t];
    if (!each.seen) continue;
    hashes_[t] = simhash(texts[t], each.spec.shingle_words);
    if (hashes_[t] && each.seen->knows_near(*hashes_[t]))
      return refused(t, text_fault::near_duplicate);
  }
  for (std::size_t t = 0; t < texts_.size(); ++t) {
    if (texts_[t].seen && hashes_[t]) texts_[t].seen->add(*hashes_[t]);
  }
  ++counts_.taken;
  return std::nullopt;
}

std::uint64_t text_filter::known() const {
  std::uint64_t all = 0;
  for (const one& each : texts_) all += each.seen ? each.seen->size() : 0;
  return all;
}

std::vector<std::byte> text_filter::save() const {
  byte_writer out;
  out.number(format);
  out.number(counts_.taken);
  for (const std::uint64_t refused : counts_.refused) out.number(refused);
  out.number(static_cast<std::uint64_t>(
      std::ranges::count_if(texts_, [](const one& each) { return each.seen.has_value(); })));
  for (const one& each : texts_) {
    if (!each.seen) continue;
    const auto hashes = each.seen->hashes();
    out.number(each.fingerprint);
    out.number(std::uint64_t{hashes.size()});
    out.numbers(std::span(hashes));
  }
  return out.take();
}

result<std::size_t> text_filter::load(std::span<const std::byte> saved) {
  const error corrupt{errc::corrupt, "the state of the texts is damaged"};
  byte_reader in(saved);
  if (in.number<std::uint64_t>() != format) return corrupt;
  counts_.taken = in.number<std::uint64_t>();
  for (std::uint64_t& refused : counts_.refused) refused = in.number<std::uint64_t>();
  std::size_t loaded = 0;
  std::vector<std::uint64_t> hashes;
  for (auto left = in.number<std::uint64_t>(); left > 0 && in.ok(); --left) {
    const auto fingerprint = in.number<std::uint64_t>();
    const auto count = in.number<std::uint64_t>();
    if (count > in.left() / sizeof(std::uint64_t)) return corrupt;
    hashes.resize(count);
    in.numbers(std::span(hashes));
    const auto to = std::ranges::find_if(texts_, [&](const one& each) {
      return each.seen && each.fingerprint == fingerprint && each.seen->size() == 0;
    });
    if (to == texts_.end()) continue;
    for (const std::uint64_t hash : hashes) to->seen->add(hash);
    ++loaded;
  }
  if (!in.at_end()) return corrupt;
  const auto windows = static_cast<std::size_t>(
      std::ranges::count_if(texts_, [](const one& each) { return each.seen.has_value(); }));
  return windows - loaded;
}

}  // namespace headrace::worker
