#pragma once

#include "worker/text/text_spec.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// What the `[source]` and `[features.*]` sections of a job file say: where events come from, and
/// how one becomes a label, row keys and values. Plain data; cli/job_file.hpp fills it.
namespace headrace::worker {

/// How a value of an `id` or `float` column becomes a row key and a value.
enum class transform : std::uint8_t {
  log1p,   // sign(x) · ln(1 + |x|)
  bucket,  // the id floor(x / bucket_width): the float becomes categorical
};

enum class feature_kind : std::uint8_t {
  id,           // the text of the column names a row; value 1
  float_value,  // one row for the feature, times the value; with `bucket` an id
  ids,          // a list: each of its texts names a row; an empty text is an empty list
};

/// `rating >= 4`: label 1 when the comparison holds.
struct label_spec {
  enum class comparison : std::uint8_t {
    less,
    less_equal,
    equal,
    not_equal,
    greater_equal,
    greater
  };
  std::string column;
  comparison is = comparison::greater;
  double threshold = 0.0;
  std::string name = {};  // of the label: its column unless several labels have that one
};

/// What a feature has of the events in a sliding window in front of its own: of those with the same
/// values in `of`, at most `over_ms` older (worker/windows/window_table.hpp).
struct sliding_window {
  enum class measure : std::uint8_t {
    count,
    sum,   // of the feature's column
    rate,  // events a second
    last,  // a list: the newest ids of the feature's column, at most list_max
  };
  measure is = measure::count;
  std::uint64_t over_ms = 0;
  std::vector<std::string> of;      // columns, 1 … 8
  std::string on = {};              // only such an action of the join; empty: what is no action
  std::optional<label_spec> where;  // and only where this holds
};

constexpr std::size_t window_columns_max = 8;
constexpr bool has_column(sliding_window::measure is) {
  return is == sliding_window::measure::sum || is == sliding_window::measure::last;
}

/// Bounds of each window; worker/windows/window_table.hpp says what happens at them.
struct window_limits {
  std::uint64_t out_of_order_ms = 60'000;
  std::uint64_t keys_max = 1'000'000;
  std::uint64_t key_events_max = 4'096;
  std::uint64_t events_max = 10'000'000;
};

/// One feature. Every sample has every feature: an empty column is the feature's missing id, with
/// value 1 (of a list: nothing).
struct feature_spec {
  std::string name;
  std::string column;  // name, or 1-based number; the feature's name unless set
  feature_kind kind = feature_kind::id;
  std::string
      salt;  // of the row key: the feature's name unless set; features that share it share rows
  std::vector<transform> transforms;  // in order, `bucket` only last
  double bucket_width = 1.0;
  std::string list_separator = " ";  // of a list; 1 … 8 bytes. Nothing between two is no id
  std::uint32_t list_max = 50;       // the newest, at the end, are kept; 1 … list_max_most
  std::uint32_t list_held_out = 0;   // so many at the end are as if they were not there
  std::optional<sliding_window> window = {};  // the value is its, a float or a list
};
constexpr std::uint32_t list_max_most = 1024;

/// A feature made of others: its row key follows from theirs (schemas::cross_key), its value is 1.
/// Crosses stand behind the features of the file, or of the generated stream.
struct cross_spec {
  std::string name;
  std::string salt;               // of the row key: the cross's name unless set
  std::vector<std::uint32_t> of;  // 2 … 8 places of features in front of the crosses, all of ids
};

enum class generator : std::uint8_t { none, planted, planted_drift, planted_conversion };

/// How events come to a source. Live ones are pushed, or fetched from a broker; they have names for
/// columns, and what the spec says of files does not count for them.
enum class arrival : std::uint8_t { file, generated, pushed, kafka, jetstream, redis };
constexpr bool is_live(arrival way) { return way >= arrival::pushed; }
constexpr bool is_of_broker(arrival way) { return way >= arrival::kafka; }

/// How a file holds rows.
enum class row_format : std::uint8_t {
  delimited,  // columns between separators
  jsonl,      // a JSON object a line: its members are the columns
  libsvm,     // a label and pairs of an index and a value a line
};

/// Where live events come from.
struct live_spec {
  // Pushed: where they are taken; at least one of both.
  std::vector<std::string> http;  // "127.0.0.1:8081"
  std::vector<std::string> zmq;   // "tcp://127.0.0.1:8082", "ipc:///path"

  // Of the event log behind what is learned; 0 = no bound.
  std::uint64_t keep_ms = std::uint64_t{7} * 86'400'000;
  std::uint64_t keep_bytes = std::uint64_t{16} << 30;

  // Of a broker, as broker_feed.hpp wants it.
  std::string brokers;  // "host:port,host:port"; JetStream "nats://…"; Redis "unix:/path"
  std::vector<std::string> topics;  // Kafka's topics; JetStream's stream; Redis's streams
  std::string subject;              // JetStream: of the stream's messages; empty: all
  std::string group;                // the job's name unless set
  std::string dead_letter;  // topic, subject or stream; empty: such messages are only counted
  std::string user;
  std::string password_env;  // the environment variable that holds the password; empty: none
  bool tls = false;
};

struct source_spec {
  std::string name = "events";  // of the source in the log: [A-Za-z0-9_.-], 1 … 64 bytes
  std::string uri;  // file:///path, a path, generate: and a generator's name, or of live events
  live_spec live = {};
  arrival arrives = arrival::file;
  generator generate = generator::none;
  std::uint64_t rows = 1'000'000;   // of a generated stream
  std::uint64_t seed = 20'240'601;  // of a generated stream

  // Files; plain, gzip or zstd by their first bytes.
  row_format format = row_format::delimited;
  std::string separator = ",";       // of a delimited one: "," "\t" "::" …, 1 … 8 bytes
  bool header = true;                // the first line names the columns
  bool quotes = true;                // RFC 4180
  bool rest = false;                 // the last column takes the rest of a line; not with quotes
  std::vector<std::string> columns;  // names, when there is no header; else column numbers from 1
  label_spec label;
  std::vector<label_spec> more_labels;  // behind the first
  std::string time_column;              // empty: file order, no event time
  std::string time_format = "unix";     // unix, unix_ms, or strptime's letters; UTC
  bool sort_by_time = false;            // reads everything first; ties by file order
  std::uint64_t bad_rows_max = 100;     // more than these end the run
  std::uint64_t row_bytes_max = 65'536;

  std::vector<text_spec> texts = {};  // columns that are cleaned and judged
  std::vector<feature_spec> features;
  std::vector<cross_spec> crosses;
  window_limits windows = {};
};

}  // namespace headrace::worker
