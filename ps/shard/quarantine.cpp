#include "ps/shard/quarantine.hpp"

#include "base/check.hpp"

#include <bit>
#include <utility>

namespace headrace::ps {
namespace {

/// What an exploding source looks like; other refusals are mistakes of whoever configured it.
bool explodes(errc status) { return status == errc::norm_exceeded || status == errc::not_finite; }

constexpr std::uint32_t window_max = 64;
constexpr std::size_t name_bytes_max = 64;

}  // namespace

quarantine::quarantine(const quarantine_limits& limits) : limits_(limits) {
  CHECK(limits.window >= 1);
  CHECK(limits.window <= window_max);
  CHECK(limits.sources_max >= 1);
  mask_ = ~std::uint64_t{0} >> (window_max - limits.window);
}

bool quarantine::note(std::string_view source, errc status) {
  if (limits_.refusals_max == 0) return false;
  const bool refused = explodes(status);
  auto at = sources_.find(source);
  if (at == sources_.end()) {
    if (!refused || (sources_.size() >= limits_.sources_max && !make_room())) return false;
    at = sources_.emplace(source, record{}).first;
  }
  record& of = at->second;
  if (of.quarantined) return false;
  of.window = (of.window << 1 | std::uint64_t{refused}) & mask_;
  if (of.window == 0) {  // as good as one never met
    sources_.erase(at);
    return false;
  }
  if (!refused) return false;
  of.last = status;
  of.refused = ++refusals_;
  of.quarantined = static_cast<std::uint32_t>(std::popcount(of.window)) >= limits_.refusals_max;
  return of.quarantined;
}

bool quarantine::is_quarantined(std::string_view source) const {
  const auto at = sources_.find(source);
  return at != sources_.end() && at->second.quarantined;
}

bool quarantine::release(std::string_view source) {
  const auto at = sources_.find(source);
  if (at == sources_.end() || !at->second.quarantined) return false;
  sources_.erase(at);
  return true;
}

void quarantine::visit(
    const std::function<void(const std::string& source, const standing&)>& see) const {
  for (const auto& [name, of] : sources_) {
    see(name, {static_cast<std::uint32_t>(std::popcount(of.window)), of.last, of.quarantined});
  }
}

void quarantine::save(byte_writer& to) const {
  to.number(refusals_);
  to.number(static_cast<std::uint32_t>(sources_.size()));
  for (const auto& [name, of] : sources_) {
    to.text(name);
    to.number(of.window);
    to.number(of.refused);
    to.number(static_cast<std::uint16_t>(of.last));
    to.number(static_cast<std::uint8_t>(of.quarantined));
  }
}

result<void> quarantine::load(byte_reader& from) {
  sources_.clear();
  refusals_ = 0;
  const auto refusals = from.number<std::uint64_t>();
  const auto count = from.number<std::uint32_t>();
  std::map<std::string, record, std::less<>> read;
  for (std::uint32_t i = 0; i < count && from.ok(); ++i) {
    std::string name = from.text();
    record of;
    of.window = from.number<std::uint64_t>();
    of.refused = from.number<std::uint64_t>();
    of.last = static_cast<errc>(from.number<std::uint16_t>());
    of.quarantined = from.number<std::uint8_t>() != 0;
    const bool in_order = read.empty() || read.rbegin()->first < name;
    if (!from.ok() || name.empty() || name.size() > name_bytes_max || !in_order ||
        !explodes(of.last) || of.refused > refusals) {
      return error{errc::corrupt,
                   "quarantine: source " + std::to_string(i) + " of " + std::to_string(count) +
                       " does not read; restore an earlier checkpoint"};
    }
    read.emplace_hint(read.end(), std::move(name), of);
  }
  if (!from.ok()) return error{errc::corrupt, "quarantine: its state is cut short"};
  sources_ = std::move(read);
  refusals_ = refusals;
  return {};
}

bool quarantine::make_room() {
  auto oldest = sources_.end();
  for (auto it = sources_.begin(); it != sources_.end(); ++it) {
    if (it->second.quarantined) continue;
    if (oldest == sources_.end() || it->second.refused < oldest->second.refused) oldest = it;
  }
  if (oldest == sources_.end()) return false;
  sources_.erase(oldest);
  return true;
}

}  // namespace headrace::ps
