#include "cli/generated_output.hpp"

#include "actors/event_client.hpp"
#include "actors/transport/context.hpp"
#include "schemas/event.hpp"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>

namespace headrace::cli {
namespace {

constexpr std::size_t text_bytes = std::size_t{1} << 16;
constexpr std::size_t batch_events = 1'000;
constexpr std::chrono::seconds push_patience{60};

class text_output final : public generated_output {
 public:
  text_output(std::FILE* file, bool owned, generated_format format, std::uint64_t seed)
      : file_(file), owned_(owned), format_(format), seed_(seed) {
    if (format_ == generated_format::csv) text_ = worker::csv_event_header;
  }
  ~text_output() override {
    if (owned_) std::fclose(file_);
  }
  result<void> add(const worker::generated_event& event) override {
    if (format_ == generated_format::csv) {
      worker::append_csv_event(event, seed_, text_);
    } else {
      worker::append_json_event(event, seed_, text_);
    }
    return text_.size() < text_bytes ? result<void>() : flush();
  }
  result<void> flush() override {
    const std::size_t wrote = std::fwrite(text_.data(), 1, text_.size(), file_);
    if (wrote != text_.size() || std::fflush(file_) != 0)
      return error{errc::io_error, std::string("cannot write: ") + std::strerror(errno)};
    text_.clear();
    return {};
  }
  result<void> finish() override { return flush(); }

 private:
  std::FILE* file_;
  bool owned_;
  generated_format format_;
  std::uint64_t seed_;
  std::string text_;
};

class push_output final : public generated_output {
 public:
  static result<std::unique_ptr<generated_output>> open(const std::string& endpoint,
                                                        const std::string& token,
                                                        std::uint64_t seed) {
    std::unique_ptr<push_output> made(new push_output(seed));
    auto client = actors::event_client::open(
        made->transport_, endpoint, {.sender = "generate", .token = token});
    if (!client) return client.error();
    made->client_ = std::move(*client);
    return std::unique_ptr<generated_output>(std::move(made));
  }
  result<void> add(const worker::generated_event& event) override {
    worker::add_event(event, seed_, builder_);
    return builder_.events() < batch_events ? result<void>() : flush();
  }
  result<void> flush() override {
    if (builder_.events() == 0) return {};
    auto pushed = client_->push(builder_.finish(), nullptr, push_patience);
    builder_.begin("generate");
    if (!pushed) return pushed;
    const auto count = client_->count();
    if (count.failed != 0) return error{errc::bad_input, "refused: " + count.last_refusal};
    return {};
  }
  result<void> finish() override {
    if (auto sent = flush(); !sent) return sent;
    if (auto answered = client_->flush(push_patience); !answered) return answered;
    const auto count = client_->count();
    if (count.failed + count.refused == 0) return {};
    return error{errc::bad_input,
                 std::to_string(count.refused) + " events and " + std::to_string(count.failed) +
                     " batches were refused; the last: " + count.last_refusal};
  }

 private:
  explicit push_output(std::uint64_t seed) : seed_(seed) { builder_.begin("generate"); }
  std::uint64_t seed_;
  schemas::event_batch_builder builder_;
  actors::transport_context transport_;
  std::unique_ptr<actors::event_client> client_;
};

}  // namespace

result<std::unique_ptr<generated_output>> open_text_output(const std::string& path,
                                                           generated_format format,
                                                           std::uint64_t seed) {
  const bool standard = path.empty() || path == "-";
  std::FILE* const file = standard ? stdout : std::fopen(path.c_str(), "we");
  if (file == nullptr)
    return error{errc::io_error, "cannot write '" + path + "': " + std::strerror(errno)};
  return std::unique_ptr<generated_output>(
      std::make_unique<text_output>(file, !standard, format, seed));
}

result<std::unique_ptr<generated_output>> open_push_output(const std::string& endpoint,
                                                           const std::string& token,
                                                           std::uint64_t seed) {
  return push_output::open(endpoint, token, seed);
}

}  // namespace headrace::cli
