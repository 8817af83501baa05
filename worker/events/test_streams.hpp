#pragma once

#include "schemas/event.hpp"
#include "worker/events/event_intake.hpp"
#include "worker/events/event_schema.hpp"

#include <gtest/gtest.h>

#include <future>
#include <string>
#include <utility>
#include <vector>

/// Events, and what takes them, for tests of the intake and of what reads behind it.
namespace headrace::worker {

inline source_spec two_ids_and_a_price() {
  source_spec made;
  feature_spec user;
  user.name = user.column = user.salt = "user";
  feature_spec price;
  price.name = price.column = price.salt = "price";
  price.kind = feature_kind::float_value;
  made.features = {user, price};
  made.label = {"rating", label_spec::comparison::greater_equal, 4.0};
  return made;
}

inline event_schema schema(const std::vector<std::string>& actions = {}) {
  auto source = two_ids_and_a_price();
  if (!actions.empty()) source.label = {};
  auto bound = event_schema::bind(source, actions);
  EXPECT_TRUE(bound) << describe(bound.error());
  return std::move(*bound);
}

/// One event of its own batch, or several.
class batch_of {
 public:
  explicit batch_of(const std::string& producer = "test") { builder_.begin(producer); }
  batch_of& impression(const std::string& id, std::uint64_t time_ms, int rating = 5) {
    builder_.event(id, "k" + id, time_ms);
    builder_.text(builder_.name("user"), "u" + id);
    builder_.number(builder_.name("price"), static_cast<double>(time_ms % 7));
    builder_.integer(builder_.name("rating"), rating);
    return *this;
  }
  batch_of& action(const std::string& of, std::uint64_t time_ms, const std::string& kind) {
    builder_.event("a" + of + kind, "k" + of, time_ms);
    builder_.action(builder_.name(kind));
    return *this;
  }
  batch_of& from(const std::string& partition, std::uint64_t offset_end) {
    builder_.from_partition(partition, offset_end);
    return *this;
  }
  operator frame() const { return builder_.finish(); }

 private:
  schemas::event_batch_builder builder_;
};

inline schemas::event_ack push(event_intake& intake, frame batch, bool trusted = false) {
  std::promise<schemas::event_ack> answered;
  auto answer = answered.get_future();
  event_intake::request asked;
  asked.batch = std::move(batch);
  asked.done = [&](schemas::event_ack ack) { answered.set_value(std::move(ack)); };
  asked.trusted = trusted;
  intake.offer(std::move(asked));
  return answer.get();
}

}  // namespace headrace::worker
