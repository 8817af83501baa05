#include "ps/delta/pending_rows.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace headrace::ps {
namespace {

constexpr auto by_key = [](const pending_row& a, const pending_row& b) { return a.key < b.key; };

/// Both changes are one: what is sent is the newest value.
void unite(pending_row& row, const pending_row& with) {
  row.size += with.size;
  row.generation = std::min(row.generation, with.generation);
}

std::vector<pending_row> merged(const std::vector<pending_row>& a,
                                const std::vector<pending_row>& b) {
  std::vector<pending_row> to;
  to.reserve(a.size() + b.size());
  auto x = a.begin();
  auto y = b.begin();
  while (x != a.end() && y != b.end()) {
    if (x->key == y->key) {
      to.push_back(*x++);
      unite(to.back(), *y++);
    } else {
      to.push_back(x->key < y->key ? *x++ : *y++);
    }
  }
  to.insert(to.end(), x, a.end());
  to.insert(to.end(), y, b.end());
  return to;
}

}  // namespace

void pending_rows::add(std::vector<pending_row> rows) {
  if (rows.empty()) return;
  runs_.push_back(std::move(rows));
  while (runs_.size() > 1 && runs_[runs_.size() - 2].size() <= 2 * runs_.back().size()) {
    auto one = merged(runs_[runs_.size() - 2], runs_.back());
    runs_.pop_back();
    runs_.back() = std::move(one);
  }
}

std::vector<pending_row>& pending_rows::all() {
  if (runs_.empty()) runs_.emplace_back();
  while (runs_.size() > 1) {
    auto one = merged(runs_[runs_.size() - 2], runs_.back());
    runs_.pop_back();
    runs_.back() = std::move(one);
  }
  return runs_.front();
}

std::vector<pending_row> pending_rows::take_last(std::size_t count) {
  while (!runs_.empty() && runs_.back().empty()) runs_.pop_back();
  if (runs_.empty() || count == 0) return {};
  std::vector<pending_row>& run = runs_.back();
  const std::size_t left = run.size() - std::min(count, run.size());
  std::vector<pending_row> taken(run.begin() + static_cast<std::ptrdiff_t>(left), run.end());
  run.resize(left);
  if (left == 0) {
    runs_.pop_back();
  } else if (left < run.capacity() / 2) {
    run.shrink_to_fit();
  }
  return taken;
}

bool pending_rows::contains(std::uint64_t key) const {
  return std::ranges::any_of(runs_, [key](const auto& run) {
    return std::ranges::binary_search(run, key, {}, &pending_row::key);
  });
}

std::size_t pending_rows::rows_at_most() const {
  std::size_t sum = 0;
  for (const auto& run : runs_) sum += run.size();
  return sum;
}

std::size_t pending_rows::bytes() const {
  std::size_t sum = 0;
  for (const auto& run : runs_) sum += run.capacity() * sizeof(pending_row);
  return sum;
}

void merge_runs(std::vector<pending_row>& rows, std::vector<std::size_t> ends) {
  std::vector<pending_row> other(ends.size() > 1 ? rows.size() : 0);
  while (ends.size() > 1) {
    std::vector<std::size_t> fewer;
    const auto at = [&](std::vector<pending_row>& of, std::size_t place) {
      return of.begin() + static_cast<std::ptrdiff_t>(place);
    };
    for (std::size_t i = 0; i < ends.size(); i += 2) {
      const std::size_t begin = i == 0 ? 0 : ends[i - 1];
      const std::size_t middle = ends[i];
      const std::size_t end = i + 1 < ends.size() ? ends[i + 1] : middle;
      std::merge(at(rows, begin),
                 at(rows, middle),
                 at(rows, middle),
                 at(rows, end),
                 at(other, begin),
                 by_key);
      fewer.push_back(end);
    }
    rows.swap(other);
    ends = std::move(fewer);
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (kept > 0 && rows[kept - 1].key == rows[i].key) {
      unite(rows[kept - 1], rows[i]);
    } else {
      rows[kept++] = rows[i];
    }
  }
  rows.resize(kept);
}

}  // namespace headrace::ps
