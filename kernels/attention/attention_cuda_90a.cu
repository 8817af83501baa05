#include "kernels/attention/attention_90a.hpp"
#include "kernels/attention/attention_90a_launch.hpp"
#include "kernels/runtime/launch_cuda.hpp"
#include "kernels/runtime/tensor_map_cuda.hpp"

namespace headrace::kernels {
namespace {

template <class Element>
void launch_of(const attention_view& view,
               std::uint64_t head_dim,
               std::uint32_t tokens,
               void* stream) {
  if (head_dim == 64) {
    launch_attention_90a<Element, 64>(view, tokens, cuda_map, cuda_launch{stream});
  } else {
    launch_attention_90a<Element, 128>(view, tokens, cuda_map, cuda_launch{stream});
  }
}

}  // namespace

void attention_90a(const attention_view& view,
                   std::uint64_t head_dim,
                   std::uint32_t tokens,
                   bool halves,
                   void* stream) {
  if (halves) {
    launch_of<device::half>(view, head_dim, tokens, stream);
  } else {
    launch_of<device::brain>(view, head_dim, tokens, stream);
  }
}

}  // namespace headrace::kernels
