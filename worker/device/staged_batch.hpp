#pragma once

#include "schemas/sample.hpp"
#include "worker/model/model_graph.hpp"
#include "worker/step/row_set.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace headrace::worker {

/// What a batch brings to a device and takes from it, each laid out in one block of bytes, so that
/// a step has one copy in either direction.
///
/// Inputs: the rows of each table, and of each lookup its index, factors and, where it learns, the
/// places of each chunk ordered by row; the labels, one label of a chunk's samples after another;
/// the values of each layer of numbers. Results: losses [chunks, loss layers], the output of each
/// loss, and, where it learns, the gradients of each table, which start at 0.
///
/// All places are bytes from the block's begin, at multiples of 256, the alignment of device
/// memory. Buffers are kept: a batch of the usual size allocates nothing. Single-threaded.
class staged_batch {
 public:
  explicit staged_batch(std::shared_ptr<const model_graph> graph);

  /// Chooses the places for `batch` cut into chunks of `chunk_samples`, the last one shorter.
  void lay_out(const schemas::sample_batch& batch,
               std::span<const row_set> sets,
               std::size_t chunk_samples,
               bool learning);
  /// Writes the inputs; `to` has inputs_bytes().
  void write(const schemas::sample_batch& batch, std::span<const row_set> sets, std::byte* to);

  /// Where a table's things are; of a lookup also these in the samples of the chunks before.
  struct table_places {
    std::size_t values = 0;     // inputs: [unique, width] floats
    std::size_t inverse = 0;    // inputs: [samples, features] uint32
    std::size_t order = 0;      // inputs: [samples, features] uint32, counted from its chunk
    std::size_t factors = 0;    // inputs: [samples, features] floats
    std::size_t gradients = 0;  // results: [unique, width] floats
  };
  const table_places& table(std::size_t t) const { return tables_[t]; }
  /// Labels of a chunk that begins with sample `begin`: [labels, samples of the chunk] floats.
  std::size_t labels(std::size_t begin) const {
    return labels_ + begin * label_count_ * sizeof(float);
  }
  /// Values of a layer of numbers: [samples, columns] floats.
  std::size_t numbers(std::size_t node) const { return numbers_[node]; }
  /// Results: output of a loss, [samples, columns] floats.
  std::size_t outputs(std::size_t node) const { return outputs_[node]; }
  /// Results: a double.
  std::size_t loss(std::size_t chunk, std::size_t node) const {
    return losses_ + (chunk * loss_layers_ + loss_of_[node]) * sizeof(double);
  }
  /// Results: one float for whoever needs it.
  std::size_t scratch() const { return scratch_; }
  std::size_t inputs_bytes() const { return inputs_bytes_; }
  std::size_t results_bytes() const { return results_bytes_; }
  /// Results from here on are gradients: to be cleared before the first chunk.
  std::size_t gradients() const { return gradients_; }

 private:
  void write_order(const row_set& set, std::size_t samples, std::byte* to);
  void write_labels(const schemas::sample_batch& batch, std::byte* to) const;
  void write_numbers(const schemas::sample_batch& batch,
                     std::span<const std::uint32_t> features,
                     std::byte* to) const;

  std::shared_ptr<const model_graph> graph_;
  std::vector<table_places> tables_;
  /// [nodes] Of a layer of numbers: its features; else empty.
  std::vector<std::vector<std::uint32_t>> features_;
  std::vector<std::size_t> numbers_;  // [nodes]
  std::vector<std::size_t> outputs_;  // [nodes]
  std::vector<std::size_t> loss_of_;  // [nodes] its number among the losses
  std::size_t loss_layers_ = 0;
  std::size_t chunk_samples_ = 0;
  bool learning_ = false;
  std::size_t label_count_ = 0;
  std::size_t labels_ = 0;
  std::size_t losses_ = 0;
  std::size_t scratch_ = 0;
  std::size_t gradients_ = 0;
  std::size_t inputs_bytes_ = 0;
  std::size_t results_bytes_ = 0;
  std::vector<std::uint32_t> starts_;  // [unique + 1] of a row's places, while they are ordered
};

}  // namespace headrace::worker
