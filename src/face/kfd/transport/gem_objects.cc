// An object takes no address and no GPU memory of the limits; its bytes take memory when they are
// touched. It cannot be mapped by the render node, only by the descriptor of its dma-buf.
#include "face/kfd/transport/gem_objects.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "face/kfd/transport/shared_memory.hpp"

namespace sluice::kfd {
namespace {

constexpr std::uint32_t gem_close = 0x09;
constexpr std::uint32_t prime_handle_to_fd = 0x2d;
constexpr std::uint32_t gem_create = 0x40;
constexpr std::uint32_t gem_metadata = 0x46;

struct CreateIn {
  std::uint64_t size, alignment, domains, flags;
};
constexpr std::uint64_t domain_gtt = 2;
constexpr std::uint64_t domain_vram = 4;
constexpr std::uint64_t all_domains = 0x3f;
constexpr std::uint64_t host_access_required = 1;
constexpr std::uint64_t largest_object = std::uint64_t{1} << 45;

struct Metadata {
  std::uint32_t handle, operation;
  std::uint64_t flags, tiling;
  std::uint32_t size;
  std::array<std::byte, most_metadata> bytes;
};
constexpr std::uint32_t set_metadata = 1;
constexpr std::uint32_t get_metadata = 2;

struct HandleToFd {
  std::uint32_t handle, flags;
  std::int32_t descriptor;
};

template <typename T>
bool read_as(std::span<const std::byte> arguments, T& asked) {
  if (arguments.size() < sizeof asked) return false;
  std::memcpy(&asked, arguments.data(), sizeof asked);
  return true;
}

template <typename T>
void answer(std::span<std::byte> arguments, const T& told) {
  std::memcpy(arguments.data(), &told, sizeof told);
}

}  // namespace

std::optional<int> GemObjects::call(const OpenFile& file, std::uint32_t request,
                                    std::span<std::byte> arguments) {
  switch (request & 0xff) {
    case gem_create:
      return create(file, arguments);
    case gem_metadata:
      return metadata(file, arguments);
    case gem_close:
      return close(file, arguments);
    case prime_handle_to_fd:
      return share(file, arguments);
    default:
      return std::nullopt;
  }
}

const os::OwnedFd* GemObjects::find(const OpenFile& file, std::uint32_t handle) const {
  const auto found = objects_.find({file.number, handle});
  return found == objects_.end() || !found->second.is_intact() ? nullptr : &found->second;
}

int GemObjects::create(const OpenFile& file, std::span<std::byte> arguments) {
  constexpr std::uint64_t page = 4096;
  CreateIn asked{};
  if (!read_as(arguments, asked)) return EINVAL;
  if ((asked.domains & ~all_domains) != 0 || (asked.domains & (domain_gtt | domain_vram)) == 0 ||
      asked.size == 0)
    return EINVAL;
  if (asked.size > largest_object) return ENOMEM;
  SharedFacts facts;
  facts.size = (asked.size + page - 1) / page * page;
  facts.gpu = static_cast<std::uint32_t>(file.gpu);
  facts.is_vram = (asked.domains & domain_vram) != 0 ? 1 : 0;
  facts.is_host_accessible = (asked.flags & host_access_required) != 0 ? 1 : 0;
  os::OwnedFd made = make_shared_memory(facts);
  if (!made.is_open()) return ENOMEM;
  std::uint32_t handle = 1;
  while (objects_.contains({file.number, handle})) ++handle;
  objects_.emplace(Key{file.number, handle}, std::move(made));
  std::memset(arguments.data(), 0, sizeof asked);
  answer(arguments, handle);
  return 0;
}

// amdgpu_gem_metadata_ioctl
int GemObjects::metadata(const OpenFile& file, std::span<std::byte> arguments) {
  Metadata asked{};
  if (!read_as(arguments, asked)) return EINVAL;
  const os::OwnedFd* const object = find(file, asked.handle);
  if (object == nullptr) return ENOENT;
  SharedFacts facts;
  if (const int error = read_shared_facts(object->get(), facts)) return error;
  if (asked.operation == get_metadata) {
    asked.flags = facts.metadata_flags;
    asked.tiling = facts.tiling;
    asked.size = facts.metadata_size;
    asked.bytes = facts.metadata;
    answer(arguments, asked);
    return 0;
  }
  if (asked.operation != set_metadata || asked.size > most_metadata) return EINVAL;
  facts.metadata_flags = asked.flags;
  facts.tiling = asked.tiling;
  facts.metadata_size = asked.size;
  facts.metadata = asked.bytes;
  return write_shared_facts(object->get(), facts) ? 0 : ENOMEM;
}

int GemObjects::close(const OpenFile& file, std::span<const std::byte> arguments) {
  std::uint32_t handle = 0;
  if (!read_as(arguments, handle)) return EINVAL;
  return objects_.erase({file.number, handle}) != 0 ? 0 : EINVAL;
}

// drm_gem_prime_handle_to_fd
int GemObjects::share(const OpenFile& file, std::span<std::byte> arguments) {
  HandleToFd asked{};
  if (!read_as(arguments, asked) ||
      (asked.flags & ~static_cast<std::uint32_t>(O_CLOEXEC | O_RDWR)) != 0)
    return EINVAL;
  const os::OwnedFd* const object = find(file, asked.handle);
  if (object == nullptr) return ENOENT;
  const bool closes = (asked.flags & static_cast<std::uint32_t>(O_CLOEXEC)) != 0;
  asked.descriptor = ::fcntl(object->get(), closes ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
  if (asked.descriptor < 0) return errno;
  answer(arguments, asked);
  return 0;
}

}  // namespace sluice::kfd
