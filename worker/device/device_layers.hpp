#pragma once

#include "worker/device/device_library.hpp"
#include "worker/device/device_queue.hpp"
#include "worker/model/layer.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace headrace::worker {

/// The rows of a lookup as a chunk of samples sees them: pointers into device memory.
struct device_lookup {
  std::size_t unique = 0;
  std::size_t width = 0;
  std::size_t features = 0;
  const float* rows = nullptr;             // [unique, width]
  const std::uint32_t* inverse = nullptr;  // [samples * features] < unique
  const std::uint32_t* order = nullptr;    // [samples * features] places by (inverse, place)
  const float* factors = nullptr;          // [samples * features]; null = all 1
  float* gradients = nullptr;              // [unique, width], added to
};

/// One layer at work on a chunk of samples: layer_run with pointers into device memory.
struct device_run {
  std::size_t samples = 0;
  const float* labels = nullptr;                // [labels, samples]
  const float* numbers = nullptr;               // [samples, columns] of a layer of numbers
  std::span<const float* const> inputs;         // each [samples, columns]; null where it is rows
  std::span<const std::size_t> input_columns;   // floats of a sample
  std::span<const device_lookup> lookups;       // for each input
  std::span<const float* const> parameters;     // each [rows, dim]
  float first_parameter = 0.0F;                 // parameters[0][0], as the host knows it
  float* output = nullptr;                      // [samples, columns]
  float* saved = nullptr;                       // from forward to backward
  double* loss = nullptr;                       // [1] out, of a loss, before its weight
  const float* output_gradient = nullptr;       // backward only, as what follows
  std::span<float* const> input_gradients;      // written; null where nobody wants them
  std::span<float* const> parameter_gradients;  // added to
  float* scratch = nullptr;                     // [1]
};

/// Queues a pass of a layer by the entries of the library; `form`: what body.on_device() gave.
void forward_on_device(const device_form& form,
                       const layer& body,
                       const device_run& run,
                       const device_library& library,
                       device_queue& queue);
void backward_on_device(const device_form& form,
                        const layer& body,
                        const device_run& run,
                        const device_library& library,
                        device_queue& queue);

/// to [size] += from [size], as gradients of an output with several readers are added.
void add_on_device(
    float* to, const float* from, std::size_t size, const device_library&, device_queue& queue);

/// "" where the library can compute the layer; else which entry it lacks, or that the operator has
/// no device form.
std::string cannot_run(const layer& body, const device_library& library);

}  // namespace headrace::worker
