#include "kernels/runtime/targets.hpp"

#include <hwy/highway.h>
#include <hwy/targets.h>

namespace headrace::kernels {
namespace {

void choose_again() { hwy::GetChosenTarget().Update(hwy::SupportedTargets()); }

}  // namespace

std::vector<cpu_target> cpu_targets() { return hwy::SupportedAndGeneratedTargets(); }

std::string name(cpu_target target) { return hwy::TargetName(target); }

cpu_target chosen_cpu_target() {
  const cpu_target usable = hwy::SupportedTargets() & HWY_TARGETS;
  return usable & -usable;  // better targets have lower bits
}

cpu_target_override::cpu_target_override(cpu_target target) {
  hwy::SetSupportedTargetsForTest(target);
  choose_again();
}

cpu_target_override::~cpu_target_override() {
  hwy::SetSupportedTargetsForTest(0);
  choose_again();
}

}  // namespace headrace::kernels
