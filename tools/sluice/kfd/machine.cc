// The ioctls of machine.hpp. Render nodes are those of the GPUs in the topology's order, which is
// that of the apertures.
#include "kfd/machine.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <string>

#include "report.hpp"

namespace sluice::tool::kfd_contract {
namespace {

// The render node of each GPU, by its id (kfd_topology.c).
std::map<std::uint32_t, int> render_minors() {
  std::map<std::uint32_t, int> minors;
  for (int node = 0;; ++node) {
    const std::string folder = fmt::format("/sys/devices/virtual/kfd/kfd/topology/nodes/{}", node);
    std::ifstream id_file(folder + "/gpu_id");
    std::uint32_t id = 0;
    if (!(id_file >> id)) return minors;
    std::ifstream properties(folder + "/properties");
    std::string name;
    std::uint64_t value = 0;
    while (properties >> name >> value)
      if (name == "drm_render_minor" && value != 0) minors[id] = static_cast<int>(value);
  }
}

}  // namespace

Machine::Machine() : file_(::open("/dev/kfd", O_RDWR | O_CLOEXEC)) {
  if (file_ < 0)
    throw CannotRun(
        fmt::format("/dev/kfd: {}; `sluice run --kfd=4 -- sluice kfd conformance` has "
                    "one of its own",
                    std::strerror(errno)));
  abi::GetProcessAperturesNew asked{};
  if (call(abi::Call::get_process_apertures_new, asked) != 0 || asked.num_of_nodes == 0)
    throw CannotRun("/dev/kfd has no GPU");
  std::vector<abi::Apertures> all(asked.num_of_nodes);
  asked.kfd_process_device_apertures_ptr = reinterpret_cast<std::uintptr_t>(all.data());
  if (call(abi::Call::get_process_apertures_new, asked) != 0)
    throw CannotRun("/dev/kfd does not tell its GPUs");
  const auto minors = render_minors();
  for (const abi::Apertures& each : all) {
    const auto minor = minors.find(each.gpu_id);
    if (minor == minors.end()) continue;
    const int node =
        ::open(fmt::format("/dev/dri/renderD{}", minor->second).c_str(), O_RDWR | O_CLOEXEC);
    if (node < 0) continue;
    abi::AcquireVm acquire{static_cast<std::uint32_t>(node), each.gpu_id};
    if (call(abi::Call::acquire_vm, acquire) != 0) {
      ::close(node);
      continue;
    }
    nodes_.push_back(node);
    ids_.push_back(each.gpu_id);
  }
  if (ids_.empty()) throw CannotRun("no GPU of /dev/kfd can be acquired");
}

Machine::~Machine() {
  for (const int node : nodes_) ::close(node);
  ::close(file_);
}

int Machine::request(abi::Call number, std::size_t size, void* arguments) const {
  const unsigned long word = 3UL << 30 | static_cast<unsigned long>(size) << 16 |
                             static_cast<unsigned long>(abi::group) << 8 |
                             static_cast<unsigned long>(number);
  return ::ioctl(file_, word, arguments) == 0 ? 0 : errno;
}

int Machine::allocate(std::uint64_t size, std::uint32_t flags, std::uint64_t& handle) {
  constexpr std::uint64_t apart = std::uint64_t{2} << 20;
  abi::AllocMemory asked{};
  asked.va_addr = next_address_;
  asked.size = size;
  asked.gpu_id = ids_.front();
  asked.flags = flags;
  next_address_ += apart;
  const int error = call(abi::Call::alloc_memory, asked);
  handle = asked.handle;
  return error;
}

std::uint64_t Machine::page() {
  std::uint64_t handle = 0;
  if (const int error = allocate(4096, abi::memory::vram, handle))
    throw CannotRun(fmt::format("a page of VRAM cannot be allocated: {}", std::strerror(error)));
  return handle;
}

int Machine::release(std::uint64_t handle) const {
  abi::FreeMemory asked{handle};
  return call(abi::Call::free_memory, asked);
}

int Machine::map(std::uint64_t handle, std::span<const std::uint32_t> ids, std::uint32_t& n_success,
                 abi::Call number) const {
  abi::MapMemory asked{handle, reinterpret_cast<std::uintptr_t>(ids.data()),
                       static_cast<std::uint32_t>(ids.size()), n_success};
  const int error = call(number, asked);
  n_success = asked.n_success;
  return error;
}

int Machine::map(std::uint64_t handle) const {
  std::uint32_t done = 0;
  return map(handle, std::span(ids_).first(1), done);
}

int Machine::unmap(std::uint64_t handle) const {
  std::uint32_t done = 0;
  return map(handle, std::span(ids_).first(1), done, abi::Call::unmap_memory);
}

std::uint64_t Machine::available() const {
  abi::AvailableMemory asked{0, ids_.front(), 0};
  return call(abi::Call::available_memory, asked) == 0 ? asked.available : ~std::uint64_t{0};
}

std::uint32_t Machine::event(std::uint32_t type, bool auto_reset) const {
  abi::CreateEvent asked{};
  asked.event_type = type;
  asked.auto_reset = auto_reset ? 1 : 0;
  return call(abi::Call::create_event, asked) == 0 ? asked.event_id : 0;
}

int Machine::one_event(abi::Call number, std::uint32_t id) const {
  abi::OneEvent asked{id, 0};
  return call(number, asked);
}

int Machine::wait(std::span<const std::uint32_t> ids, bool all, std::uint32_t timeout,
                  std::uint32_t& result) const {
  std::vector<abi::EventData> events(ids.size());
  for (std::size_t at = 0; at < ids.size(); ++at) events[at].event_id = ids[at];
  abi::WaitEvents asked{reinterpret_cast<std::uintptr_t>(events.data()),
                        static_cast<std::uint32_t>(events.size()), all ? 1U : 0U, timeout, 77};
  const int error = call(abi::Call::wait_events, asked);
  result = asked.wait_result;
  return error;
}

}  // namespace sluice::tool::kfd_contract
