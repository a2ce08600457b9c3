// The devices' operations on managed memory in a stress run. See stress/worker.hpp.
//
// A launch that was accepted changes the shadow at once, before its fence. Where host accesses wait
// for the kernel by themselves, the host goes on and touches the bytes; everywhere else submit()
// has waited for the fence.

#include <algorithm>
#include <cstring>

#include "sluice/soft_kernels_builtin.h"
#include "stress/worker.hpp"

namespace sluice::stress {
namespace {

constexpr std::size_t largest_part = 96 << 10;
constexpr std::uint32_t widths[] = {1, 2, 4, 8};

std::uint8_t* unsigned_bytes(std::byte* bytes) { return reinterpret_cast<std::uint8_t*>(bytes); }

std::uint64_t check_sum_of(Slice part) {
  const std::uint8_t* bytes = unsigned_bytes(part.shadow());
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < part.size; ++i) sum += (i + 1) * bytes[i];
  return sum;
}

void add_to_shadow(Slice place, std::uint64_t value) {
  std::uint64_t sum = 0;
  std::memcpy(&sum, place.shadow(), sizeof sum);
  sum += value;
  std::memcpy(place.shadow(), &sum, sizeof sum);
}

}  // namespace

// Names the memory that the kernel touches, now and then the whole range instead; nothing, if
// devices fetch pages on demand.
void Worker::name_use(Launch& launch, const Device& device, Slice part, Access access) {
  if (device.recoverable && part.home->range.kind() == Kind::shared && random_.chance(50)) return;
  if (random_.chance(5)) part = {part.home, 0, part.home->range.size()};
  if (access == Access::read)
    launch.reads(part.data(), part.size);
  else
    launch.writes(part.data(), part.size);
}

// Applies the effect of the kernel "mix" to a shadow.
void Worker::mix(std::uint8_t* bytes, std::uint64_t seed, std::size_t places, std::size_t stride,
                 std::uint32_t width) {
  for (std::size_t i = 0; i < places; ++i) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes + i * stride, width);
    value = sluice_soft_mixed(value, seed, i);
    std::memcpy(bytes + i * stride, &value, width);
  }
}

void Worker::launch_mix() {
  const Slice part = any_part(largest_part);
  show(part);
  std::uint32_t width = widths[random_.below(std::size(widths))];
  while (width > part.size) width /= 2;
  const std::size_t stride = width + (random_.chance(50) ? 0 : random_.below(100));
  const std::size_t places = (part.size - width) / stride + 1;
  const std::uint64_t seed = random_.next();

  Device& device = any_device();
  Launch launch = device.queue.launch(device.mix);
  name_use(launch, device, part, Access::write);
  launch.arguments(sluice_soft_mix{unsigned_bytes(part.data()), stride, seed, width}).items(places);
  if (!submit(launch, device, {part.home})) return;
  mix(unsigned_bytes(part.shadow()), seed, places, stride, width);
  if (random_.chance(40)) check(part);
}

void Worker::launch_copy() {
  Slice from = any_part(largest_part);
  Slice to = any_part(largest_part);
  from.size = to.size = std::min(from.size, to.size);
  const bool apart = from.home != to.home || from.offset + from.size <= to.offset ||
                     to.offset + to.size <= from.offset;
  if (!apart) return;
  show(to);
  Device& device = any_device();
  Launch launch = device.queue.launch(device.copy);
  name_use(launch, device, from, Access::read);
  name_use(launch, device, to, Access::write);
  launch.arguments(sluice_soft_copy{to.data(), from.data()}).items(to.size);
  if (!submit(launch, device, {from.home, to.home})) return;
  std::memcpy(to.shadow(), from.shadow(), to.size);
  if (random_.chance(40)) check(to);
}

// A device reads, including bytes that never change. Often it reads the same bytes again, which
// finds copies that should have ended.
void Worker::launch_check_sum() {
  const bool constant = !model_.constants().empty() && random_.chance(20);
  const Slice from = constant
                         ? random_part(model_.constants()[random_.below(model_.constants().size())],
                                       largest_part, random_)
                         : any_part(largest_part);
  const Slice result = any_result(from);
  if (result.size == 0) return;
  show(from);
  Device& device = any_device();
  Launch launch = device.queue.launch(device.check_sum);
  name_use(launch, device, from, Access::read);
  name_use(launch, device, result, Access::write);
  launch
      .arguments(sluice_soft_check_sum{unsigned_bytes(from.data()),
                                       reinterpret_cast<std::uint64_t*>(result.data())})
      .items(from.size);
  if (!submit(launch, device, {from.home, result.home})) return;
  add_to_shadow(result, check_sum_of(from));
  progress_.bytes_checked.fetch_add(from.size, std::memory_order_relaxed);
  check(result);
}

// Pointers inside managed memory, followed by a device.
void Worker::launch_list_walk() {
  const Slice part =
      any_part(4 << 10).aligned(alignof(sluice_soft_node), 2 * sizeof(sluice_soft_node));
  if (part.size == 0) return;
  const Slice result = any_result(part);
  if (result.size == 0) return;
  show(part);
  auto* const nodes = reinterpret_cast<sluice_soft_node*>(part.data());
  const sluice_soft_node list[] = {{&nodes[1], random_.next()}, {nullptr, random_.next()}};
  std::memcpy(part.data(), list, sizeof list);
  std::memcpy(part.shadow(), list, sizeof list);

  Device& device = any_device();
  const std::uint64_t add = random_.next();
  Launch launch = device.queue.launch(device.list_walk);
  name_use(launch, device, part, Access::write);
  name_use(launch, device, result, Access::write);
  launch.arguments(
      sluice_soft_list_walk{nodes, add, reinterpret_cast<std::uint64_t*>(result.data())});
  if (!submit(launch, device, {part.home, result.home})) return;
  const sluice_soft_node walked[] = {{list[0].next, list[0].value + add},
                                     {nullptr, list[1].value + add}};
  std::memcpy(part.shadow(), walked, sizeof walked);
  add_to_shadow(result, 2);
  check(part);
  check(result);
}

// Indirect access: the device may touch all shared ranges, and this kernel touches one place.
void Worker::launch_on_everything() {
  const Slice part = any_part(largest_part);
  show(part);
  const std::uint64_t seed = random_.next();
  Device& device = any_device();
  Launch launch = device.queue.launch(device.mix);
  launch.every_shared_range()
      .arguments(sluice_soft_mix{unsigned_bytes(part.data()), 1, seed, 1})
      .items(part.size);
  if (part.home->range.kind() != Kind::shared) launch.writes(part.data(), part.size);
  if (!submit(launch, device, {part.home})) return;
  mix(unsigned_bytes(part.shadow()), seed, part.size, 1, 1);
  check(part);
}

// Devices add to the counters that the host adds to at the same time.
void Worker::launch_count() {
  const Slice from = any_part(512);
  const std::size_t number = random_.below(Model::counters);
  show(from);
  Device& device = any_device();
  Launch launch = device.queue.launch(device.check_sum);
  name_use(launch, device, from, Access::read);
  launch.writes(model_.counter(number), sizeof(std::uint64_t))
      .arguments(sluice_soft_check_sum{unsigned_bytes(from.data()), model_.counter(number)})
      .items(from.size);
  if (!submit(launch, device, {from.home, &model_.range_of_counters()})) return;
  added_[number] += check_sum_of(from);
}

}  // namespace sluice::stress
