#include "kernels/collectives/gloo_group.hpp"

#ifdef HEADRACE_GLOO

#include "kernels/collectives/pipe_signal.hpp"

#include <exception>
#include <gloo/allreduce.h>
#include <gloo/barrier.h>
#include <gloo/broadcast.h>
#include <gloo/math.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/file_store.h>
#include <gloo/rendezvous/prefix_store.h>
#include <gloo/transport/tcp/device.h>
#include <optional>
#include <utility>

namespace headrace::kernels {
namespace {

class gloo_group final : public collective_group {
 public:
  explicit gloo_group(std::shared_ptr<gloo::Context> context) : context_(std::move(context)) {}
  ~gloo_group() override {
    const no_pipe_signal guard;
    context_.reset();
  }
  gloo_group(const gloo_group&) = delete;
  gloo_group& operator=(const gloo_group&) = delete;

  unsigned rank() const override { return static_cast<unsigned>(context_->rank); }
  unsigned size() const override { return static_cast<unsigned>(context_->size); }

  result<void> all_reduce(std::span<float> values) override {
    if (values.empty()) return {};
    return call("all-reduce", [&] {
      gloo::AllreduceOptions options(context_);
      options.setInput(values.data(), values.size());
      options.setOutput(values.data(), values.size());
      options.setReduceFunction(
          static_cast<void (*)(void*, const void*, const void*, std::size_t)>(&gloo::sum<float>));
      options.setTag(++calls_);
      gloo::allreduce(options);
    });
  }

  result<void> broadcast(std::span<float> values, unsigned root) override {
    if (values.empty()) return {};
    return call("broadcast", [&] {
      gloo::BroadcastOptions options(context_);
      if (root == rank()) options.setInput(values.data(), values.size());
      options.setOutput(values.data(), values.size());
      options.setRoot(static_cast<int>(root));
      options.setTag(++calls_);
      gloo::broadcast(options);
    });
  }

  result<void> leave() override {
    return call("leave", [&] { meet(); });
  }

  /// Returns when all are here.
  void meet() {
    gloo::BarrierOptions options(context_);
    options.setTag(++calls_);
    gloo::barrier(options);
  }

 private:
  template <class Call>
  result<void> call(const char* what, const Call& run) {
    if (broken_) return *broken_;
    if (size() == 1) return {};
    const no_pipe_signal guard;
    try {
      run();
      return {};
    } catch (const std::exception& failure) {
      broken_ = error{errc::unavailable,
                      std::string(what) + " as member " + std::to_string(rank()) + " of " +
                          std::to_string(size()) + ": another is gone or slow (" + failure.what() +
                          "); join a new group"};
    }
    context_->closeConnections();  // the others need not wait for their timeout
    return *broken_;
  }

  std::shared_ptr<gloo::Context> context_;
  std::optional<error> broken_;
  std::uint32_t calls_ = 0;
};

result<void> check(const gloo_place& place) {
  const auto refuse = [](const std::string& what) {
    return error{errc::bad_config, "collective group: " + what};
  };
  if (place.size == 0 || place.rank >= place.size)
    return refuse("rank " + std::to_string(place.rank) + " of " + std::to_string(place.size) +
                  " members; accepted is 0 … size - 1");
  if (place.group.empty() || place.group.find('/') != std::string::npos)
    return refuse("name \"" + place.group + "\"; accepted is any text without a slash");
  if (!std::filesystem::is_directory(place.folder))
    return refuse(place.folder.string() +
                  " is no folder; members meet in one that all of them see");
  if (place.timeout <= std::chrono::milliseconds::zero())
    return refuse("timeout " + std::to_string(place.timeout.count()) + " ms; accepted is 1 …");
  return {};
}

}  // namespace

result<std::unique_ptr<collective_group>> join_gloo_group(const gloo_place& place) {
  if (auto checked = check(place); !checked) return checked.error();
  const no_pipe_signal guard;  // for gloo's own thread too
  try {
    auto device = gloo::transport::tcp::CreateDevice(place.host.c_str());
    auto context = std::make_shared<gloo::rendezvous::Context>(static_cast<int>(place.rank),
                                                               static_cast<int>(place.size));
    context->setTimeout(place.timeout);
    gloo::rendezvous::FileStore files(place.folder.string());
    gloo::rendezvous::PrefixStore store(place.group, files);
    context->connectFullMesh(store, device);
    auto group = std::make_unique<gloo_group>(std::move(context));
    group->meet();  // who is ready first could else have left before the last is connected
    return std::unique_ptr<collective_group>(std::move(group));
  } catch (const std::exception& failure) {
    return error{errc::unavailable,
                 "collective group " + place.group + ": not all " + std::to_string(place.size) +
                     " members came within " + std::to_string(place.timeout.count()) + " ms (" +
                     failure.what() + ")"};
  }
}

}  // namespace headrace::kernels

#else

namespace headrace::kernels {

result<std::unique_ptr<collective_group>> join_gloo_group(const gloo_place& place) {
  return error{errc::unavailable,
               "collective group " + place.group + ": this build has no gloo (libgloo-dev)"};
}

}  // namespace headrace::kernels

#endif
