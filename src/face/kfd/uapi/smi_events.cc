// Each line begins with the event's number in hexadecimal, as kfd_smi_event_add writes it.
#include "face/kfd/uapi/smi_events.hpp"

#include <array>
#include <cstdarg>
#include <cstdio>

namespace sluice::kfd::smi {
namespace {

constexpr std::uint64_t page_bytes_of_line = 4096;
constexpr std::size_t longest_line = 96;  // KFD_SMI_EVENT_MSG_SIZE

__attribute__((format(printf, 2, 3))) std::string line(std::uint32_t event, const char* format,
                                                       ...) {
  std::array<char, longest_line> text;
  const int begin = std::snprintf(text.data(), text.size(), "%x ", event);
  va_list values;
  va_start(values, format);
  std::vsnprintf(text.data() + begin, text.size() - static_cast<std::size_t>(begin), format,
                 values);
  va_end(values);
  return std::string(text.data()) + "\n";
}

long long nanoseconds(Time now) { return now.count(); }

unsigned long long page_of(std::uint64_t address) { return address / page_bytes_of_line; }

}  // namespace

std::string reset_line(std::uint32_t event, std::uint32_t resets) {
  return line(event, "%x", resets);
}

std::string eviction_line(Time now, std::uint32_t process, std::uint32_t gpu_id) {
  return line(queue_eviction, "%lld -%u %x %d", nanoseconds(now), process, gpu_id,
              evicted_for_memory);
}

std::string restore_line(Time now, std::uint32_t process, std::uint32_t gpu_id) {
  return line(queue_restore, "%lld -%u %x", nanoseconds(now), process, gpu_id);
}

std::string migration_line(Time now, std::uint32_t process, const Migration& moved,
                           bool has_ended) {
  const int cause = static_cast<int>(moved.cause);
  if (has_ended)
    return line(migrate_end, "%lld -%u @%llx(%llx) %x->%x %d", nanoseconds(now), process,
                page_of(moved.address), page_of(moved.size), moved.from, moved.to, cause);
  return line(migrate_start, "%lld -%u @%llx(%llx) %x->%x %x:%x %d", nanoseconds(now), process,
              page_of(moved.address), page_of(moved.size), moved.from, moved.to, moved.prefetch,
              moved.preferred, cause);
}

std::string fault_line(Time now, std::uint32_t process, const PageFault& fault, bool has_ended) {
  if (has_ended)
    return line(page_fault_end, "%lld -%u @%llx(%x) %c", nanoseconds(now), process,
                page_of(fault.address), fault.gpu_id, fault.migrates ? 'M' : 'U');
  return line(page_fault_start, "%lld -%u @%llx(%x) %c", nanoseconds(now), process,
              page_of(fault.address), fault.gpu_id, fault.writes ? 'W' : 'R');
}

}  // namespace sluice::kfd::smi
