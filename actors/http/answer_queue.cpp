#include "actors/http/answer_queue.hpp"

#include "base/check.hpp"

#include <utility>

namespace headrace::actors {

std::uint64_t answer_queue::push(slot next) {
  body_bytes_ += next.body_bytes;
  answer_bytes_ += next.answer_bytes;
  slots_.push_back(std::move(next));
  return first_ + slots_.size() - 1;
}

bool answer_queue::fill(std::uint64_t number, http_answer answer) {
  if (number < first_ || number - first_ >= slots_.size()) return false;
  slot& at = slots_[number - first_];
  if (at.ready) return false;
  answer_bytes_ += answer.body.size();
  answer_bytes_ -= std::exchange(at.answer_bytes, answer.body.size());
  at.answer = std::move(answer);
  at.ready = true;
  return true;
}

answer_queue::slot answer_queue::pop() {
  CHECK(!slots_.empty());
  slot out = std::move(slots_.front());
  slots_.pop_front();
  ++first_;
  body_bytes_ -= out.body_bytes;
  answer_bytes_ -= out.answer_bytes;
  return out;
}

}  // namespace headrace::actors
