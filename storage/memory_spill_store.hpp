#pragma once

#include "base/check.hpp"
#include "storage/spill_store.hpp"

#include <map>
#include <vector>

namespace headrace::storage {

/// A spill store in memory, for tests.
class memory_spill_store final : public spill_store {
 public:
  result<void> write(std::span<const spilled_bytes> batch) override {
    if (fails_) return error{errc::disk_full, "no space for what is spilled"};
    for (const spilled_bytes& one : batch) {
      CHECK(held_.emplace(one.number, std::vector(one.bytes.begin(), one.bytes.end())).second);
    }
    written_ += batch.size();
    return {};
  }
  result<void> read(std::span<const std::uint64_t> numbers,
                    const std::function<void(const spilled_bytes&)>& visit) override {
    if (fails_) return error{errc::io_error, "cannot read what is spilled"};
    for (const std::uint64_t number : numbers) {
      const auto found = held_.find(number);
      if (found == held_.end()) return error{errc::corrupt, "what was spilled is missing"};
      visit({number, found->second});
    }
    return {};
  }
  result<void> remove(std::span<const std::uint64_t> numbers) override {
    if (fails_) return error{errc::io_error, "cannot remove what is spilled"};
    for (const std::uint64_t number : numbers) CHECK(held_.erase(number) == 1);
    return {};
  }

  std::size_t held() const { return held_.size(); }
  std::uint64_t written() const { return written_; }  // since the beginning
  /// From now on.
  void fail() { fails_ = true; }

 private:
  std::map<std::uint64_t, std::vector<std::byte>> held_;
  std::uint64_t written_ = 0;
  bool fails_ = false;
};

}  // namespace headrace::storage
