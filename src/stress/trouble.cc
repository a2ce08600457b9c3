// Slow, failing, hanging and killed steps, a new plan every few milliseconds, one device at a time.
// See stress/trouble.hpp.
#include "stress/trouble.hpp"

#include <chrono>
#include <random>
#include <thread>

namespace sluice::stress {
namespace {

constexpr std::array plans = std::to_array<const char*>(
    {"", "step=map nth=2 action=fail", "step=map every=3 action=fail",
     "step=map every=2 action=slow=3", "step=unmap every=2 action=slow=3",
     "step=copy nth=1 action=fail", "step=fill nth=1 action=fail", "step=room every=3 action=fail",
     "step=map nth=2 action=kill", "step=unmap nth=2 action=kill", "step=copy nth=1 action=kill",
     "step=map nth=2 action=hang", "step=unmap nth=3 action=hang",
     "step=allocate nth=1 action=fail", "step=stop nth=1 action=fail",
     "step=stop nth=1 action=hang", "step=stop nth=1 action=slow=3", "step=stop nth=1 action=kill",
     "step=peer nth=1 action=fail"});

// Not copies or room for them: a host access that cannot have its bytes raises SIGSEGV.
constexpr std::array reported_plans = std::to_array<const char*>(
    {"", "step=map nth=1 action=fail", "step=map nth=2 action=fail", "step=map every=3 action=fail",
     "step=fill every=2 action=fail", "step=allocate every=2 action=fail",
     "step=peer every=2 action=fail", "step=stop nth=1 action=fail",
     "step=map every=2 action=slow=1", "step=unmap every=2 action=slow=1",
     "step=copy every=4 action=slow=1", "step=allocate every=3 action=slow=1"});

void wait_a_little(std::mt19937_64& random) {
  std::this_thread::sleep_for(std::chrono::milliseconds(1 + random() % 15));
}

}  // namespace

void make_trouble(const Space& space, std::uint64_t seed, Losses& losses,
                  std::atomic<std::uint64_t>& resets, const std::atomic<bool>& stop) {
  std::mt19937_64 random(seed);
  const auto devices = static_cast<std::size_t>(space.device_count());
  while (!stop) {
    const auto device = static_cast<int>(random() % devices);
    (void)space.plan_faults(device, plans[random() % plans.size()]);
    wait_a_little(random);
    for (int lost = 0; lost < space.device_count(); ++lost) {
      if (!space.device(lost)->lost) continue;
      (void)space.plan_faults(lost, "");
      ++losses.count[static_cast<std::size_t>(lost)];
      if (space.reset_device(lost)) ++resets;
      ++losses.count[static_cast<std::size_t>(lost)];
    }
  }
  for (int device = 0; device < space.device_count(); ++device) {
    (void)space.plan_faults(device, "");
    if (!space.device(device)->lost) continue;
    ++losses.count[static_cast<std::size_t>(device)];
    (void)space.reset_device(device);
    ++losses.count[static_cast<std::size_t>(device)];
  }
}

void make_steps_fail(const Space& space, std::uint64_t seed, const std::atomic<bool>& stop) {
  std::mt19937_64 random(seed);
  const auto devices = static_cast<std::size_t>(space.device_count());
  while (!stop) {
    const auto device = static_cast<int>(random() % devices);
    (void)space.plan_faults(device, reported_plans[random() % reported_plans.size()]);
    wait_a_little(random);
  }
  for (int device = 0; device < space.device_count(); ++device) (void)space.plan_faults(device, "");
}

}  // namespace sluice::stress
