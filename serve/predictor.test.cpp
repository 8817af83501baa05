#include "serve/predictor.hpp"

#include "base/random.hpp"
#include "serve/feature_orders.hpp"
#include "serve/test_serving.hpp"
#include "worker/batch/batch_builder.hpp"
#include "worker/events/event_json.hpp"
#include "worker/ingest/crossed_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <numeric>
#include <thread>

namespace headrace::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// Columns of events as JSON, in a builder.
class written {
 public:
  explicit written(const std::vector<std::string>& events) {
    builder_.begin("");
    worker::event_json_reader reader;
    std::vector<schemas::event_refusal> refused;
    for (const std::string& text : events)
      CHECK(reader.read("{\"features\":" + text + "}", {}, builder_, refused).ok());
    CHECK(refused.empty());
  }
  const schemas::event_batch& batch() const { return builder_.batch(); }

 private:
  schemas::event_batch_builder builder_;
};

/// What a worker makes of events of the same columns, which bring a label.
schemas::sample_batch as_learned(const served_model& model,
                                 const worker::source_spec& source,
                                 const std::vector<std::string>& events) {
  std::vector<std::string> labelled;
  for (const std::string& each : events)
    labelled.push_back(each.substr(0, each.size() - 1) + (each.size() > 2 ? "," : "") +
                       "\"rating\":5}");
  const written columns(labelled);
  const auto schema = worker::event_schema::bind(source);
  CHECK(schema.ok());
  const auto known = schema->look_up(columns.batch());
  worker::batch_builder builder({.samples_max = 100'000});
  worker::event each;
  for (std::size_t i = 0; i < events.size(); ++i) {
    CHECK(!schema->check(columns.batch(), known, i));
    schema->parse(columns.batch(), known, i, each);
    each.keys.resize(model.keys());
    if (!each.values.empty()) each.values.resize(model.keys(), 1.0F);
    worker::write_crosses(source.crosses, each.keys);
    each.more_labels.assign(std::max<std::size_t>(1, model.graph()->labels()) - 1, 0.0F);
    CHECK(!builder.add(each, i, 0, 0));
  }
  return *builder.flush();
}

std::string random_user(random_stream& draw) {
  std::string text = "{\"user\":\"u" + std::to_string(draw.next_below(40)) + "\"";
  if (draw.next_below(3) > 0) text += ",\"age\":" + std::to_string(draw.next_below(90));
  if (draw.next_below(4) > 0) {
    text += ",\"history\":[";
    const std::uint64_t length = draw.next_below(8);
    for (std::uint64_t i = 0; i < length; ++i)
      text += (i > 0 ? ",\"i" : "\"i") + std::to_string(draw.next_below(60)) + "\"";
    text += "]";
  }
  return text + "}";
}
std::string random_item(random_stream& draw) {
  std::string text = "{\"item\":\"i" + std::to_string(draw.next_below(60)) + "\"";
  if (draw.next_below(3) > 0) text += ",\"cents\":" + std::to_string(draw.next_below(5'000)) + ".5";
  return text + "}";
}
/// Both in one object.
std::string joined(const std::string& a, const std::string& b) {
  return a.substr(0, a.size() - 1) + "," + b.substr(1);
}

struct reference {
  std::vector<float> probabilities;
  schemas::sample_batch batch;
};
reference score(const test_job& job,
                const worker::source_spec& source,
                const std::vector<std::string>& events) {
  reference made;
  made.batch = as_learned(*job.model(), source, events);
  worker::batch_scorer scorer(job.model()->graph(),
                              [&](std::span<worker::row_set> sets) { return job.fill(sets); });
  CHECK(scorer.score(made.batch, made.probabilities).ok());
  return made;
}

TEST(Predictor, PredictsToTheBitWhatAWorkerWouldWithEveryPreset) {
  const std::uint64_t seed = test_seed();
  for (const auto& preset : worker::model_presets()) {
    if (preset.name == "sasrec" || preset.name == "hstu") continue;  // of lists alone
    SCOPED_TRACE(std::string(preset.name) + ", HEADRACE_SEED=" + std::to_string(seed));
    worker::source_spec source = shop();
    const test_job job("shop", source, std::string(preset.name));
    random_stream draw(seed);
    const std::string user = random_user(draw);
    std::vector<std::string> request = {user};
    std::vector<std::string> events;
    for (int i = 0; i < 70; ++i) {
      request.push_back(random_item(draw));
      events.push_back(joined(user, request.back()));
    }
    const reference expected = score(job, source, events);
    const auto rows = job.empty_replica();
    job.teach(*rows, keys_of(expected.batch));
    predictor scores(job.model(), rows);
    ASSERT_TRUE(scores.warm(512).ok());
    const written columns(request);
    const auto added = scores.add(columns.batch(), true);
    ASSERT_TRUE(added.ok()) << describe(added.error());
    const auto got = scores.predict();
    ASSERT_TRUE(got.ok()) << describe(got.error());
    EXPECT_EQ(got->probabilities, expected.probabilities);
    EXPECT_EQ(got->stamp, (replica_stamp{1, 1'000, true}));
  }
}

TEST(Predictor, RequestsOfOneBatchGetWhatTheyWouldAlone) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  const worker::source_spec source = shop();
  const test_job job("shop", source, "deepfm");
  random_stream draw(seed);
  std::vector<written> requests;
  std::vector<std::string> all;
  for (int r = 0; r < 5; ++r) {
    std::vector<std::string> events;
    for (std::uint64_t i = 0; i <= draw.next_below(9); ++i) {
      events.push_back(joined(random_user(draw), random_item(draw)));
      all.push_back(events.back());
    }
    requests.emplace_back(events);
  }
  const reference expected = score(job, source, all);
  const auto rows = job.empty_replica();
  job.teach(*rows, keys_of(expected.batch));
  predictor together(job.model(), rows);
  predictor alone(job.model(), rows);
  for (const written& each : requests) ASSERT_TRUE(together.add(each.batch(), false).ok());
  const auto got = together.predict();
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->probabilities, expected.probabilities);
  ASSERT_EQ(got->requests.size(), requests.size());
  for (std::size_t r = 0; r < requests.size(); ++r) {
    ASSERT_TRUE(alone.add(requests[r].batch(), false).ok());
    const auto one = alone.predict();
    ASSERT_TRUE(one.ok());
    EXPECT_EQ(one->requests[0].samples, got->requests[r].samples);
    EXPECT_EQ(one->requests[0].unknown_ids, got->requests[r].unknown_ids);
    const auto of = got->of(r, 1);
    for (std::size_t s = 0; s < of.size(); ++s)
      EXPECT_NEAR(of[s], one->probabilities[s], 1e-6F) << "sums in another order at most";
  }
}

TEST(Predictor, CountsIdsWithoutARowOnceARequest) {
  const test_job job("shop", shop(), "din");
  const worker::feature_writer user(shop().features[0]);
  const worker::feature_writer item(shop().features[1]);
  std::vector<std::string> known;
  std::vector<std::string> unknown;
  for (int i = 0; known.size() < 3 || unknown.size() < 3; ++i) {
    const std::string id = "i" + std::to_string(i);
    (test_job::is_learned(item.key_of(id)) ? known : unknown).push_back(id);
  }
  std::string learned_user = "u0";
  for (int i = 0; !test_job::is_learned(user.key_of(learned_user)); ++i)
    learned_user = "u" + std::to_string(i);
  const auto rows = job.empty_replica();
  std::vector<std::uint64_t> keys = {user.key_of(learned_user)};
  for (const auto& id : known) keys.push_back(item.key_of(id));
  job.teach(*rows, keys);
  predictor scores(job.model(), rows);
  const written request({"{\"user\":\"" + learned_user + "\",\"history\":[\"" + unknown[0] +
                             "\",\"" + known[0] + "\"]}",
                         "{\"item\":\"" + known[1] + "\"}",
                         "{\"item\":\"" + unknown[0] + "\"}",
                         "{\"item\":\"" + unknown[1] + "\",\"cents\":3}",
                         "{}"});
  ASSERT_TRUE(scores.add(request.batch(), true).ok());
  const written other({"{\"user\":\"" + learned_user + "\",\"item\":\"" + unknown[0] + "\"}"});
  ASSERT_TRUE(scores.add(other.batch(), false).ok());
  const auto got = scores.predict();
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->requests[0].unknown_ids, 2U) << "missing ids, numbers and crosses are no ids";
  EXPECT_EQ(got->requests[1].unknown_ids, 1U);
}

TEST(Predictor, CountsTheUnknownIdsOfEveryListWhenItExplains) {
  worker::source_spec source = shop();
  worker::feature_spec carts = source.features[3];
  carts.name = "carts";
  source.features.push_back(carts);
  const test_job job("shop", source, R"(
[layers.embedding]
op = "rows"
dim = 3
first_order = false
features = ["lists"]
[layers.history]
op = "tokens"
inputs = ["embedding"]
feature = "history"
[layers.carts]
op = "tokens"
inputs = ["embedding"]
feature = "carts"
[layers.seen]
op = "pool"
inputs = ["history"]
[layers.held]
op = "pool"
inputs = ["carts"]
[layers.joined]
op = "concat"
inputs = ["seen", "held"]
[layers.logit]
op = "linear"
inputs = ["joined"]
units = 1
[layers.click]
op = "bce"
inputs = ["logit"]
)");
  const worker::feature_writer item(source.features[3]);
  const auto rows = job.empty_replica();
  std::string known;
  std::string unknown;
  for (int i = 0; known.empty() || unknown.empty(); ++i) {
    const std::string id = "i" + std::to_string(i);
    (test_job::is_learned(item.key_of(id)) ? known : unknown) = id;
  }
  job.teach(*rows, {item.key_of(known)});
  predictor scores(job.model(), rows);
  const written request(
      {"{\"history\":[\"" + known + "\"],\"carts\":[\"" + unknown + "\",\"" + known + "\"]}"});
  const auto explained = scores.explain(request.batch(), false, {.permutations = 2});
  ASSERT_TRUE(explained.ok()) << describe(explained.error());
  EXPECT_EQ(explained->unknown_ids, 1U);
  ASSERT_TRUE(scores.add(request.batch(), false).ok());
  EXPECT_EQ(scores.predict()->requests[0].unknown_ids, 1U);
}

TEST(Predictor, ACandidatesColumnGoesBeforeTheUsers) {
  const test_job job("shop", shop(), "fm");
  const auto rows = job.empty_replica();
  job.teach(*rows, {});
  predictor scores(job.model(), rows);
  const written shared({"{\"user\":\"u1\",\"cents\":7,\"history\":[\"a\"]}",
                        "{\"item\":\"i1\",\"cents\":9,\"history\":[\"b\",\"c\"]}",
                        "{\"item\":\"i1\"}"});
  const written whole({"{\"user\":\"u1\",\"item\":\"i1\",\"cents\":9,\"history\":[\"b\",\"c\"]}",
                       "{\"user\":\"u1\",\"item\":\"i1\",\"cents\":7,\"history\":[\"a\"]}"});
  ASSERT_TRUE(scores.add(shared.batch(), true).ok());
  const auto one = scores.predict();
  ASSERT_TRUE(scores.add(whole.batch(), false).ok());
  const auto other = scores.predict();
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_EQ(one->probabilities, other->probabilities);
  EXPECT_NE(one->probabilities[0], one->probabilities[1]);
}

TEST(Predictor, NamesWhatItCannotTakeAndTakesTheNextRequest) {
  const test_job job("shop", shop(), "lr");
  const auto rows = job.empty_replica();
  predictor scores(job.model(), rows);
  const auto refusal = [&](const std::vector<std::string>& events, bool shared) {
    const written request(events);
    const auto added = scores.add(request.batch(), shared);
    CHECK(!added.ok());
    EXPECT_EQ(added.error().code, errc::bad_input);
    EXPECT_EQ(scores.samples(), 0U);
    return added.error().detail;
  };
  EXPECT_THAT(refusal({"{\"user\":\"u\"}", "{\"itme\":\"i\"}"}, true),
              HasSubstr("column 'itme' is not there, did you mean 'item'?"));
  EXPECT_THAT(refusal({"{\"user\":\"u\"}", "{}", "{\"cents\":\"cheap\"}"}, true),
              HasSubstr("candidates[1]: cents: a finite number is needed, this is the text"));
  EXPECT_THAT(refusal({"{\"user\":1.5}", "{}"}, true),
              HasSubstr("user: user: a text or an integer"));
  EXPECT_THAT(refusal({"{}", "{\"cents\":\"nan\"}"}, false), HasSubstr("instances[1]: cents"));
  EXPECT_THAT(refusal({"{\"user\":\"u\"}"}, true), HasSubstr("nothing to predict"));
  EXPECT_THAT(refusal({}, false), HasSubstr("nothing to predict"));
  EXPECT_THAT(refusal({"{\"rating\":4}"}, false), HasSubstr("'rating' is not there"));
  const written good({"{\"user\":\"u\"}"});
  ASSERT_TRUE(scores.add(good.batch(), false).ok());
  const auto early = scores.predict();
  ASSERT_FALSE(early.ok());
  EXPECT_EQ(early.error().code, errc::unavailable);
  job.teach(*rows, {});
  EXPECT_EQ(scores.samples(), 0U);
  ASSERT_TRUE(scores.add(good.batch(), false).ok());
  EXPECT_TRUE(scores.predict().ok());
}

TEST(Predictor, OfWhatComesNextScoresAreStatesTimesVectors) {
  worker::source_spec source = shop();
  source.features = {source.features[3]};
  source.crosses.clear();
  const worker::feature_writer history(source.features[0]);
  for (const char* preset : {"sasrec", "hstu"}) {
    SCOPED_TRACE(preset);
    const test_job job("shop", source, preset);
    const auto rows = job.empty_replica();
    std::vector<std::uint64_t> keys;
    for (int i = 0; i < 20; ++i) keys.push_back(history.key_of("i" + std::to_string(i)));
    job.teach(*rows, keys);
    const reference lists = score(
        job, source, {"{\"history\":[\"i1\",\"i2\"]}", "{\"history\":[\"i3\",\"i4\",\"i5\"]}"});
    worker::batch_scorer scorer(job.model()->graph(),
                                [&](std::span<worker::row_set> sets) { return job.fill(sets); });
    const auto parts = *worker::find_next_item(*job.model()->graph());
    std::vector<float> states;
    ASSERT_TRUE(scorer.compute(lists.batch, parts.states, states).ok());
    const std::size_t dim = states.size() / 5;
    const auto expected = [&](std::size_t token, const char* item) {
      const auto row = job.row(parts.table, history.key_of(item));
      double sum = 0.0;
      for (std::size_t d = 0; d < dim; ++d)
        sum += static_cast<double>(states[token * dim + d]) * row[parts.first_order + d];
      return sum;
    };
    predictor scores(job.model(), rows);
    ASSERT_TRUE(scores.warm(512).ok());
    const written one({"{\"history\":[\"i1\",\"i2\"]}",
                       "{\"next\":\"i7\"}",
                       "{\"next\":\"i8\"}",
                       "{\"next\":\"i9\",\"history\":[\"i3\",\"i4\",\"i5\"]}"});
    ASSERT_TRUE(scores.add(one.batch(), true).ok());
    EXPECT_EQ(scores.samples(), 3U);
    const written other({"{\"history\":[\"i3\",\"i4\",\"i5\"],\"next\":\"i7\"}"});
    ASSERT_TRUE(scores.add(other.batch(), false).ok());
    const auto got = scores.predict();
    ASSERT_TRUE(got.ok()) << describe(got.error());
    ASSERT_EQ(got->probabilities.size(), 4U);
    EXPECT_NEAR(got->probabilities[0], expected(1, "i7"), 1e-4);
    EXPECT_NEAR(got->probabilities[1], expected(1, "i8"), 1e-4);
    EXPECT_NEAR(got->probabilities[2], expected(4, "i9"), 1e-4);
    EXPECT_NEAR(got->probabilities[3], expected(4, "i7"), 1e-4);
    for (const char* text : {"{\"history\":[\"a\"]}", "{\"next\":\"a\"}", "{\"nxt\":\"a\"}"})
      EXPECT_FALSE(scores.add(written({text}).batch(), false).ok()) << text;
    EXPECT_EQ(scores.samples(), 0U);
  }
}

TEST(Predictor, AWindowFeatureIsAColumnOfItsName) {
  worker::source_spec source = shop();
  worker::feature_spec clicks;
  clicks.name = "clicks";
  clicks.column = "";
  clicks.kind = worker::feature_kind::float_value;
  clicks.transforms = {worker::transform::log1p};
  clicks.window = worker::sliding_window{};
  clicks.window->over_ms = 60'000;
  clicks.window->of = {"user"};
  source.features.push_back(clicks);
  const test_job job("shop", source, "lr");
  std::vector<std::string> names;
  for (const auto& column : job.model()->columns()) names.push_back(column.name);
  EXPECT_THAT(names, ::testing::Contains("clicks"));
  const auto rows = job.empty_replica();
  const worker::feature_writer writer(clicks);
  worker::event written_by_window;
  ASSERT_TRUE(writer.number(3.0, written_by_window, true));
  const written request({"{\"user\":\"u\",\"clicks\":3}"});
  const auto known = job.model()->look_up(request.batch());
  ASSERT_TRUE(known.ok());
  worker::event made;
  ASSERT_TRUE(job.model()->parse(request.batch(), *known, 0, nullptr, made).ok());
  EXPECT_EQ(made.keys[4], written_by_window.keys[0]);
  EXPECT_EQ(made.values[4], written_by_window.values[0]);
}

TEST(Predictor, TextsThatTheJobCleansAreCleanHereToo) {
  worker::source_spec source = shop();
  source.texts.emplace_back().column = "item";
  const test_job job("shop", source, "lr");
  const written request(
      {"{\"item\":\" red \\u00ad\\t shoe\",\"user\":\" u \"}", "{\"item\":[\"a\"]}"});
  const auto known = job.model()->look_up(request.batch());
  ASSERT_TRUE(known.ok());
  served_model::cleaned_columns scratch;
  const auto& columns = job.model()->clean(request.batch(), *known, scratch);
  worker::event made;
  ASSERT_TRUE(job.model()->parse(columns, *known, 0, nullptr, made).ok());
  EXPECT_EQ(made.keys[1], worker::feature_writer(source.features[1]).key_of("red shoe"));
  EXPECT_EQ(made.keys[0], worker::feature_writer(source.features[0]).key_of(" u "));
  const auto refused = job.model()->parse(columns, *known, 1, nullptr, made);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().detail, HasSubstr("item: a text or an integer is needed"));
}

TEST(Predictor, AGeneratedStreamHasItsNumbersForColumns) {
  worker::source_spec source;
  source.generate = worker::generator::planted;
  const test_job job("planted", source, "lr");
  const auto& model = job.model();
  const written request({"{\"id1\":5,\"number2\":0.5}",
                         "{\"id26\":\"7\"}",
                         "{\"id2\":\"x\"}",
                         "{\"id2\":\" \",\"number1\":\"\"}"});
  const auto known = model->look_up(request.batch());
  ASSERT_TRUE(known.ok());
  worker::event shared;
  worker::event made;
  ASSERT_TRUE(model->parse(request.batch(), *known, 0, nullptr, shared).ok());
  ASSERT_TRUE(model->parse(request.batch(), *known, 1, &shared, made).ok());
  EXPECT_EQ(made.keys[0], (std::uint64_t{1} << 40) | 5);
  EXPECT_EQ(made.keys[25], (std::uint64_t{26} << 40) | 7);
  EXPECT_EQ(made.keys[27], std::uint64_t{28} << 40);
  EXPECT_EQ(made.values[27], 0.5F);
  EXPECT_FALSE(model->parse(request.batch(), *known, 2, nullptr, made).ok());
  ASSERT_TRUE(model->parse(request.batch(), *known, 3, nullptr, made).ok());
  worker::event nothing;
  model->nothing(nothing);
  EXPECT_EQ(made.keys, nothing.keys) << "an empty text is as if it were not there";
  EXPECT_EQ(made.values, nothing.values);
}

// logit = w0 + Σ w + ½ Σ_d ((Σ v)² − Σ v²), each value within e of what was sent: so far it moves
// by at most Σ e_w + Σ_{i<j} Σ_d (|v_i| e_j + |v_j| e_i + e_i e_j), and a sigmoid by a quarter of
// that.
TEST(Predictor, QuantizedRowsPredictWithinTheBoundOfTheirCodes) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  const worker::source_spec source = shop();
  const test_job job("shop", source, "fm");
  random_stream draw(seed);
  std::vector<std::string> events;
  for (int i = 0; i < 64; ++i) events.push_back(joined(random_user(draw), random_item(draw)));
  const reference exact = score(job, source, events);
  const auto rows = job.empty_replica(true);
  job.teach(*rows, keys_of(exact.batch), 1, true);
  predictor scores(job.model(), rows);
  const written request(events);
  ASSERT_TRUE(scores.add(request.batch(), false).ok());
  const auto got = scores.predict();
  ASSERT_TRUE(got.ok());
  const auto& graph = *job.model()->graph();
  ASSERT_GE(graph.tables()[0].dim, 8U) << "held in int8";
  double largest = 0.0;
  for (std::size_t s = 0; s < events.size(); ++s) {
    std::vector<std::vector<double>> values;
    std::vector<double> bounds;
    for (std::size_t f = 0; f < exact.batch.features; ++f) {
      const std::uint64_t key = exact.batch.keys[s * exact.batch.features + f];
      const double x =
          exact.batch.values.empty() ? 1.0 : exact.batch.values[s * exact.batch.features + f];
      const auto row = job.row(0, key);
      double most = 0.0;
      values.emplace_back();
      for (const float value : row) {
        most = std::max(most, std::fabs(static_cast<double>(value)));
        values.back().push_back(std::fabs(x * static_cast<double>(value)));
      }
      // The scale is fp16, rounded up: at most 2^-10 of it above max / 127.
      const double scale = most / 127.0 * (1.0 + 0x1.0p-10);
      const bool sent = test_job::is_learned(key);
      bounds.push_back(sent ? std::fabs(x) * scale / 2.0 * (1.0 + 0x1.0p-15) : 0.0);
    }
    double moved = std::accumulate(bounds.begin(), bounds.end(), 0.0);
    for (std::size_t i = 0; i < values.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        for (std::size_t d = 1; d < values[i].size(); ++d)
          moved += values[i][d] * bounds[j] + values[j][d] * bounds[i] + bounds[i] * bounds[j];
      }
    }
    const double apart = std::fabs(static_cast<double>(got->probabilities[s]) -
                                   static_cast<double>(exact.probabilities[s]));
    EXPECT_LE(apart, moved / 4.0 + 1e-6) << s << ": the last term is of f32 sums";
    largest = std::max(largest, apart);
  }
  EXPECT_GT(largest, 1e-5) << "or nothing was quantized";
}

TEST(Predictor, ExplanationsAddUpAndRepeat) {
  const test_job job("shop", shop(), "din");
  const written request(
      {"{\"user\":\"u3\",\"history\":[\"i1\",\"i2\"]}", "{\"item\":\"i7\",\"cents\":250}"});
  const auto rows = job.empty_replica();
  predictor scores(job.model(), rows);
  const auto known = job.model()->look_up(request.batch());
  worker::event user;
  worker::event whole;
  ASSERT_TRUE(job.model()->parse(request.batch(), *known, 0, nullptr, user).ok());
  ASSERT_TRUE(job.model()->parse(request.batch(), *known, 1, &user, whole).ok());
  std::vector<std::uint64_t> keys = whole.keys;
  keys.insert(keys.end(), whole.sequence_keys.begin(), whole.sequence_keys.end());
  job.teach(*rows, keys);
  const auto got = scores.explain(request.batch(), true, {.permutations = 20, .seed = 5});
  ASSERT_TRUE(got.ok()) << describe(got.error());
  ASSERT_TRUE(scores.add(request.batch(), true).ok());
  const auto predicted = scores.predict();
  ASSERT_TRUE(predicted.ok());
  EXPECT_NEAR(got->probability, predicted->probabilities[0], 1e-6F);
  EXPECT_EQ(got->unknown_ids, predicted->requests[0].unknown_ids);
  ASSERT_EQ(got->features.size(), 5U);
  double sum = 0.0;
  for (const auto& share : got->features) sum += share.logit;
  EXPECT_NEAR(sum, got->logit - got->baseline_logit, 1e-9);
  EXPECT_EQ(got->features[4].feature, "age");
  EXPECT_EQ(got->features[4].logit, 0.0) << "it was not sent";
  EXPECT_NE(got->features[3].logit, 0.0) << "the list";
  const auto again = scores.explain(request.batch(), true, {.permutations = 20, .seed = 5});
  ASSERT_TRUE(again.ok());
  for (std::size_t f = 0; f < 5; ++f) EXPECT_EQ(got->features[f].logit, again->features[f].logit);
  EXPECT_FALSE(scores.explain(request.batch(), true, {.permutations = 0}).ok());
  EXPECT_EQ(scores.explain(request.batch(), true, {.permutations = 1'001}).error().code,
            errc::bad_input);
  const written two({"{}", "{}"});
  EXPECT_THAT(scores.explain(two.batch(), false, {}).error().detail, HasSubstr("there are 2"));
}

// Of a sum each feature adds its own, whatever the order.
TEST(FeatureOrders, FindWhatEachFeatureAddsToASumAndSplitAProduct) {
  const feature_orders orders(3, 8, 7);
  const std::vector<double> own = {1.0, -2.5, 4.0};
  std::vector<double> values;
  std::vector<double> products;
  orders.for_each_state([&](std::span<const std::uint8_t> with) {
    values.push_back(with[0] * own[0] + with[1] * own[1] + with[2] * own[2]);
    products.push_back(with[0] != 0 && with[1] != 0 ? 6.0 : 0.0);
  });
  ASSERT_EQ(values.size(), orders.states());
  const auto shares = orders.shares(0.0, 2.5, values);
  for (std::size_t f = 0; f < own.size(); ++f) {
    EXPECT_NEAR(shares[f].mean, own[f], 1e-12);
    EXPECT_NEAR(shares[f].error, 0.0, 1e-7);
  }
  // Each of two features is last in one of an order and its reverse.
  const auto halves = orders.shares(0.0, 6.0, products);
  EXPECT_NEAR(halves[0].mean, 3.0, 1e-12);
  EXPECT_NEAR(halves[1].mean, 3.0, 1e-12);
  EXPECT_NEAR(halves[2].mean, 0.0, 1e-12);
  EXPECT_TRUE(feature_orders(0, 4, 1).shares(1.0, 1.0, {}).empty());
  EXPECT_EQ(feature_orders(1, 4, 1).shares(1.0, 3.0, {})[0].mean, 2.0);
  EXPECT_TRUE(std::isnan(feature_orders(1, 1, 1).shares(1.0, 3.0, {})[0].error));
}

// Two versions of all rows and of the network: what is predicted is the one or the other's row by
// row, never of a version before the stamp's.
TEST(Predictor, PredictsFromWhatTheStampSaysWhileAWriterWrites) {
  const worker::source_spec source = shop();
  const test_job job("shop", source, "lr");
  const std::vector<std::string> events = {"{\"user\":\"u1\"}"};
  const reference first = score(job, source, events);
  const auto rows = job.empty_replica();
  constexpr std::uint64_t versions = 1'000;
  job.teach(*rows, keys_of(first.batch), 1);
  std::atomic<bool> done = false;
  std::jthread writer([&] {
    for (std::uint64_t v = 2; v <= versions; ++v) job.teach(*rows, keys_of(first.batch), v);
    done = true;
  });
  predictor scores(job.model(), rows);
  const written request(events);
  std::uint64_t version = 0;
  std::size_t asked = 0;
  for (bool last = false; !last; ++asked) {
    last = done;
    ASSERT_TRUE(scores.add(request.batch(), false).ok());
    const auto got = scores.predict();
    ASSERT_TRUE(got.ok());
    ASSERT_GE(got->stamp.version, version);
    version = got->stamp.version;
    ASSERT_GT(got->probabilities[0], 0.0F);
  }
  EXPECT_EQ(version, versions);
  writer.join();
  predictor fresh(job.model(), rows);
  ASSERT_TRUE(scores.add(request.batch(), false).ok());
  ASSERT_TRUE(fresh.add(request.batch(), false).ok());
  EXPECT_EQ(scores.predict()->probabilities, fresh.predict()->probabilities);
}

}  // namespace
}  // namespace headrace::serve
