#include "base/metrics.hpp"

#include "base/check.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <string_view>

namespace headrace {
namespace {

bool is_metric_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return name.starts_with("headrace_") && std::all_of(name.begin(), name.end(), fits);
}

prometheus::Labels checked(const metric_labels& labels) {
  prometheus::Labels made;
  for (const auto& [name, value] : labels) {
    CHECK(name != "job");
    made.emplace(name, value);
  }
  return made;
}

}  // namespace

void counter::add(double by) { series_->Increment(by); }
double counter::value() const { return series_->Value(); }
void gauge::set(double value) { series_->Set(value); }
double gauge::value() const { return series_->Value(); }
void histogram::observe(double value) { series_->Observe(value); }

struct metrics_registry::state {
  // prometheus-cpp would let one name be of two kinds; the lock also covers Build and Add as one
  // step.
  void claim(const std::string& name, char kind) {
    CHECK(is_metric_name(name));
    CHECK(kinds.try_emplace(name, kind).first->second == kind);
  }
  prometheus::Registry registry;
  std::mutex lock;
  std::map<std::string, char> kinds;
};

metrics_registry::metrics_registry() : state_(std::make_unique<state>()) {}
metrics_registry::~metrics_registry() = default;

headrace::counter metrics_registry::counter(const std::string& name,
                                            const std::string& help,
                                            const metric_labels& labels) {
  const std::scoped_lock guard(state_->lock);
  state_->claim(name, 'c');
  auto& family = prometheus::BuildCounter().Name(name).Help(help).Register(state_->registry);
  return headrace::counter(family.Add(checked(labels)));
}

headrace::gauge metrics_registry::gauge(const std::string& name,
                                        const std::string& help,
                                        const metric_labels& labels) {
  const std::scoped_lock guard(state_->lock);
  state_->claim(name, 'g');
  auto& family = prometheus::BuildGauge().Name(name).Help(help).Register(state_->registry);
  return headrace::gauge(family.Add(checked(labels)));
}

headrace::histogram metrics_registry::histogram(const std::string& name,
                                                const std::string& help,
                                                const std::vector<double>& bounds,
                                                const metric_labels& labels) {
  const std::scoped_lock guard(state_->lock);
  state_->claim(name, 'h');
  auto& family = prometheus::BuildHistogram().Name(name).Help(help).Register(state_->registry);
  return headrace::histogram(family.Add(checked(labels), bounds));
}

std::string metrics_registry::serialize() const {
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

}  // namespace headrace
