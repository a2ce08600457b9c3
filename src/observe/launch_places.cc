// Cost: a look-up in a small map for each launch while a trace records.
// What it does not do: forget a place.
#include "observe/launch_places.hpp"

namespace sluice::observe {

void LaunchPlaces::name_kernel(int device, std::uint64_t kernel, std::string_view name) {
  const MutexLock lock(mutex_);
  kernels_[{device, kernel}] = name;
}

std::string LaunchPlaces::text(std::uint32_t number) const {
  const MutexLock lock(mutex_);
  return number == 0 || number > texts_.size() ? std::string() : texts_[number - 1];
}

std::string LaunchPlaces::text_of(const Key& key, const std::string& site) const {
  const auto& [device, kernel, queue, where] = key;
  const auto name = kernels_.find({device, kernel});
  std::string text = name == kernels_.end() ? "a kernel of the program's driver" : name->second;
  if (queue >= 0) text += ", queue " + std::to_string(queue);
  return site.empty() ? text : text + ", " + site;
}

}  // namespace sluice::observe
