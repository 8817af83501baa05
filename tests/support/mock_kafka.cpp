// A Kafka cluster for tests: librdkafka's mock cluster in a process of its own.
//
//   mock_kafka BROKERS COMMANDS   COMMANDS is a FIFO; prints "bootstraps host:port,…", then
//                                 "done N" after each of its lines:
//   topic NAME PARTITIONS         makes a topic
//   down BROKER | up BROKER       a broker goes, comes back (ids from 1)
//   leader TOPIC PARTITION BROKER
//   topic_error TOPIC CODE        what is said of the topic when asked for it; 0: nothing
//   errors API COUNT CODE         the next COUNT requests of that API key fail with CODE
//   late API MS                   the next request of that API key is done, and answered MS later
//   quit

#include <array>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <sstream>
#include <string>
#include <vector>

namespace {

rd_kafka_resp_err_t set_errors(rd_kafka_mock_cluster_t* cluster, std::istringstream& words) {
  std::int16_t api = 0;
  std::size_t count = 0;
  int code = 0;
  words >> api >> count >> code;
  const std::vector<rd_kafka_resp_err_t> errors(count, static_cast<rd_kafka_resp_err_t>(code));
  rd_kafka_mock_push_request_errors_array(cluster, api, count, errors.data());
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t obey(rd_kafka_mock_cluster_t* cluster, const std::string& line) {
  std::istringstream words(line);
  std::string command;
  std::string name;
  int first = 0;
  int second = 0;
  words >> command;
  if (command == "topic") {
    words >> name >> first;
    return rd_kafka_mock_topic_create(cluster, name.c_str(), first, 1);
  }
  if (command == "down") {
    words >> first;
    return rd_kafka_mock_broker_set_down(cluster, first);
  }
  if (command == "up") {
    words >> first;
    return rd_kafka_mock_broker_set_up(cluster, first);
  }
  if (command == "leader") {
    words >> name >> first >> second;
    return rd_kafka_mock_partition_set_leader(cluster, name.c_str(), first, second);
  }
  if (command == "topic_error") {
    words >> name >> first;
    rd_kafka_mock_topic_set_error(cluster, name.c_str(), static_cast<rd_kafka_resp_err_t>(first));
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }
  if (command == "late") {
    words >> first >> second;
    return rd_kafka_mock_broker_push_request_error_rtts(
        cluster, 1, static_cast<std::int16_t>(first), 1, RD_KAFKA_RESP_ERR_NO_ERROR, second);
  }
  if (command == "errors") return set_errors(cluster, words);
  return RD_KAFKA_RESP_ERR__INVALID_ARG;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return EXIT_FAILURE;
  std::array<char, 256> why{};
  rd_kafka_t* owner = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why.data(), why.size());
  rd_kafka_mock_cluster_t* cluster = rd_kafka_mock_cluster_new(owner, std::atoi(arguments[1]));
  if (cluster == nullptr) return EXIT_FAILURE;
  std::cout << "bootstraps " << rd_kafka_mock_cluster_bootstraps(cluster) << std::endl;
  std::fstream commands(arguments[2], std::ios::in | std::ios::out);  // so that it never ends
  std::size_t done = 0;
  for (std::string line; std::getline(commands, line) && line != "quit";) {
    const auto failed = obey(cluster, line);
    if (failed != RD_KAFKA_RESP_ERR_NO_ERROR) std::cout << rd_kafka_err2name(failed) << std::endl;
    std::cout << "done " << ++done << std::endl;
  }
  rd_kafka_mock_cluster_destroy(cluster);
  rd_kafka_destroy(owner);
}
