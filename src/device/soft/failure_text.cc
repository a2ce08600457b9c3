// Formats failures as text: the device, queue, kernel and address. Allocates nothing, so waits on
// fault paths may report.
#include <csignal>
#include <cstdio>
#include <cstring>

#include "device/soft/client.hpp"

namespace sluice::device::soft {
namespace {

const char* word_for(Access access) noexcept { return access == Access::read ? "read" : "wrote"; }

// Numbers that come from the device may be invalid and have no name.
const char* or_unknown(const char* name) noexcept { return name != nullptr ? name : "unknown"; }

// "copy engine 1", "queue 3", "mappings".
const char* name_of_ring(int ring, std::span<char> buffer) noexcept {
  if (ring == control_ring) return "mappings";
  if (ring < first_kernel_ring)
    std::snprintf(buffer.data(), buffer.size(), "copy engine %d", ring - first_copy_ring);
  else
    std::snprintf(buffer.data(), buffer.size(), "queue %d", ring - first_kernel_ring);
  return buffer.data();
}

}  // namespace

const char* SoftDevice::name_of_kernel(std::uint64_t index) const noexcept {
  return index < kernel_names_.size() ? kernel_names_[index].c_str() : "?";
}

Error SoftDevice::describe(int ring, const Failure& failure) const noexcept {
  std::array<char, 32> buffer{};
  const char* where = name_of_ring(ring, buffer);
  const int device = options_.number;
  const auto address = static_cast<unsigned long long>(failure.a);
  const MutexLock lock(tables_mutex_);
  switch (failure.kind) {
    case FailureKind::fault:
      return {ErrorCode::device_fault,
              "device %d, %s: kernel '%s' %s %#llx, which it cannot reach; the queue has stopped",
              device,
              where,
              name_of_kernel(failure.b),
              word_for(access_of(failure.code)),
              address};
    case FailureKind::stopped:
      return {ErrorCode::device_fault,
              "device %d, %s: stopped by an earlier access to %#llx; destroy the queue", device,
              where, address};
    case FailureKind::planned:
      return {ErrorCode::system, "device %d, %s: failed as planned", device, where};
    case FailureKind::dependency:
      return {ErrorCode::system,
              "device %d, %s: command %llu of timeline %u, which this launch waits for, failed",
              device,
              where,
              address,
              failure.code};
    case FailureKind::mapping:
      return {ErrorCode::out_of_host_memory, "device %d: mapping %#llx: %s", device, address,
              or_unknown(strerrordesc_np(static_cast<int>(failure.code)))};
    case FailureKind::copy:
      return {ErrorCode::system,
              "device %d, %s: %s at %#llx of the device process; the memory of the host or of a "
              "peer is exhausted or gone",
              device,
              where,
              or_unknown(sigdescr_np(static_cast<int>(failure.code))),
              address};
    case FailureKind::lost:
      if (failure.a == loss_generation_) return loss_;
      return {ErrorCode::device_lost, "device %d was lost and has been reset since", device};
    case FailureKind::none:
      break;
  }
  return {ErrorCode::system, "device %d, %s: failed", device, where};
}

Error SoftDevice::stopped_by_fault(int ring_index) const noexcept {
  const Ring& ring = control_->rings[ring_index];
  return describe(ring_index, {FailureKind::fault, ring.stop_access.load(),
                               ring.stop_address.load(), ring.stop_kernel.load()});
}

Error SoftDevice::describe_death() const noexcept {
  std::array<char, 80> cause{};
  std::array<char, 32> ring_name{};
  const std::uint32_t signal = control_->death_cause.load();
  if (const int ring = condition_.nonsense_on.load(); ring != Condition::sound) {
    std::snprintf(cause.data(), cause.size(), "ended for what it wrote about %s, which cannot be",
                  name_of_ring(ring, ring_name));
  } else if (hung_ring_ >= 0) {
    std::snprintf(cause.data(), cause.size(), "hung: %s made no progress",
                  name_of_ring(hung_ring_, ring_name));
  } else if (signal == death_by_exit) {
    std::snprintf(cause.data(), cause.size(), "a kernel called exit");
  } else if (signal != death_unknown) {
    std::snprintf(cause.data(), cause.size(), "killed by SIG%s",
                  or_unknown(sigabbrev_np(static_cast<int>(signal))));
  } else if (child_ != nullptr && child_->is_cut_off()) {
    std::snprintf(cause.data(), cause.size(),
                  "the program closed descriptors of this library, so its process ended");
  } else {
    std::snprintf(cause.data(), cause.size(), "its process was killed");
  }
  std::array<char, 120> busy{};
  std::size_t used = 0;
  for (int ring = 0; ring < ring_count && used < busy.size() - 1; ++ring) {
    const std::uint64_t running = control_->rings[ring].running.load();
    if (running == 0 || (running & Ring::waits) != 0) continue;
    const bool kernel = ring >= first_kernel_ring;
    const int added =
        std::snprintf(busy.data() + used, busy.size() - used, "; %s ran %s%s%s",
                      name_of_ring(ring, ring_name), kernel ? "kernel '" : "a list of commands",
                      kernel ? name_of_kernel(control_->rings[ring].slot(running).kernel) : "",
                      kernel ? "'" : "");
    used = std::min(used + static_cast<std::size_t>(added), busy.size() - 1);
  }
  return {ErrorCode::device_lost, "device %d: %s%s", options_.number, cause.data(), busy.data()};
}

}  // namespace sluice::device::soft
