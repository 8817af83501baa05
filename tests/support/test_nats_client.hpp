#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <nats/nats.h>
#include <string>
#include <vector>

namespace headrace::tests {

/// A plain client, as a producer or an operator has one.
class nats_client {
 public:
  explicit nats_client(const std::string& url) {
    EXPECT_EQ(natsConnection_ConnectTo(&connection_, url.c_str()), NATS_OK);
    EXPECT_EQ(natsConnection_JetStream(&js_, connection_, nullptr), NATS_OK);
  }
  ~nats_client() {
    jsCtx_Destroy(js_);
    natsConnection_Destroy(connection_);
  }
  nats_client(const nats_client&) = delete;
  nats_client& operator=(const nats_client&) = delete;

  void make_stream(const char* name, std::vector<const char*> subjects) {
    jsStreamConfig how;
    jsStreamConfig_Init(&how);
    how.Name = name;
    how.Subjects = subjects.data();
    how.SubjectsLen = static_cast<int>(subjects.size());
    EXPECT_EQ(js_AddStream(nullptr, js_, &how, nullptr, nullptr), NATS_OK);
  }
  /// That takes so many messages of its own name, and then refuses.
  void make_bounded_stream(const char* name, std::int64_t messages) {
    jsStreamConfig how;
    jsStreamConfig_Init(&how);
    how.Name = name;
    how.Subjects = &name;
    how.SubjectsLen = 1;
    how.MaxMsgs = messages;
    how.Discard = js_DiscardNew;
    EXPECT_EQ(js_AddStream(nullptr, js_, &how, nullptr, nullptr), NATS_OK);
  }
  void add(const std::string& subject, std::size_t from, std::size_t to) {
    for (auto i = from; i < to; ++i) {
      natsMsg* message = nullptr;
      const auto text = "e" + std::to_string(i);
      natsMsg_Create(
          &message, subject.c_str(), nullptr, text.data(), static_cast<int>(text.size()));
      natsMsgHeader_Set(message, "key", "k7");
      natsMsgHeader_Set(message, "Content-Type", "application/json");
      natsMsgHeader_Set(message, "schema-version", "4");
      EXPECT_EQ(js_PublishMsg(nullptr, js_, message, nullptr, nullptr), NATS_OK);
      natsMsg_Destroy(message);
    }
  }
  /// Back when the server has it.
  void publish(const std::string& subject, const std::string& text) {
    EXPECT_EQ(js_Publish(nullptr,
                         js_,
                         subject.c_str(),
                         text.data(),
                         static_cast<int>(text.size()),
                         nullptr,
                         nullptr),
              NATS_OK);
  }
  /// So many the stream has; 0 where it is not there.
  std::uint64_t messages(const char* stream) {
    jsStreamInfo* info = nullptr;
    if (js_GetStreamInfo(&info, js_, stream, nullptr, nullptr) != NATS_OK) return 0;
    const std::uint64_t count = info->State.Msgs;
    jsStreamInfo_Destroy(info);
    return count;
  }
  struct consumer_facts {
    std::uint64_t delivered = 0;
    std::uint64_t ack_floor = 0;
    std::uint64_t pending = 0;
    std::int64_t unacked = 0;
  };
  consumer_facts look(const char* stream, const char* durable) {
    EXPECT_EQ(natsConnection_Flush(connection_), NATS_OK);
    jsConsumerInfo* info = nullptr;
    EXPECT_EQ(js_GetConsumerInfo(&info, js_, stream, durable, nullptr, nullptr), NATS_OK);
    if (info == nullptr) return {};
    const consumer_facts facts{
        info->Delivered.Stream, info->AckFloor.Stream, info->NumPending, info->NumAckPending};
    jsConsumerInfo_Destroy(info);
    return facts;
  }
  void remove_consumer(const char* stream, const char* durable) {
    EXPECT_EQ(js_DeleteConsumer(js_, stream, durable, nullptr, nullptr), NATS_OK);
  }
  void remove(const char* stream, std::uint64_t sequence) {
    EXPECT_EQ(js_DeleteMsg(js_, stream, sequence, nullptr, nullptr), NATS_OK);
  }
  void remove_through(const char* stream, std::uint64_t last) {
    for (std::uint64_t at = 1; at <= last; ++at) {
      EXPECT_EQ(js_DeleteMsg(js_, stream, at, nullptr, nullptr), NATS_OK);
    }
  }
  /// Header `name` of message `sequence`, and its text behind a space.
  std::string letter(const char* stream, std::uint64_t sequence, const char* name) {
    natsMsg* message = nullptr;
    if (js_GetMsg(&message, js_, stream, sequence, nullptr, nullptr) != NATS_OK) return "none";
    const char* value = nullptr;
    natsMsgHeader_Get(message, name, &value);
    std::string text = std::string(value == nullptr ? "" : value) + " " +
                       std::string(natsMsg_GetData(message),
                                   static_cast<std::size_t>(natsMsg_GetDataLength(message)));
    natsMsg_Destroy(message);
    return text;
  }

 private:
  natsConnection* connection_ = nullptr;
  jsCtx* js_ = nullptr;
};

}  // namespace headrace::tests
