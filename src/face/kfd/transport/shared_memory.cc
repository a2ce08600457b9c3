// Another process may have written anything into the last page, so all of it is checked.
#include "face/kfd/transport/shared_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "face/kfd/transport/libc.hpp"
#include "face/kfd/uapi/spec.hpp"

namespace sluice::kfd {
namespace {

constexpr std::uint64_t shared_magic = 0x66'75'62'2d'61'6d'64'31;  // "1dma-buf"
constexpr std::uint64_t facts_bytes = 4096;
constexpr std::uint64_t largest_shared = std::uint64_t{1} << 46;
constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
static_assert(sizeof(SharedFacts) <= facts_bytes);

}  // namespace

os::OwnedFd make_shared_memory(SharedFacts facts) noexcept {
  facts.magic = shared_magic;
  os::OwnedFd made(::memfd_create("sluice-kfd-dma-buf", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!made.is_open()) return made;
  if (::ftruncate(made.get(), static_cast<off_t>(facts.size + facts_bytes)) != 0 ||
      !write_shared_facts(made.get(), facts) || ::fcntl(made.get(), F_ADD_SEALS, seals) != 0)
    made.reset();
  return made;
}

bool write_shared_facts(int descriptor, const SharedFacts& facts) noexcept {
  return ::pwrite(descriptor, &facts, sizeof facts, static_cast<off_t>(facts.size)) ==
         static_cast<ssize_t>(sizeof facts);
}

int read_shared_facts(int descriptor, SharedFacts& facts) noexcept {
  struct stat status{};
  if (SLUICE_NEXT(fstat)(descriptor, &status) != 0) return EBADF;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (!S_ISREG(status.st_mode) || size <= facts_bytes || size > largest_shared) return EINVAL;
  if (const int sealed = ::fcntl(descriptor, F_GET_SEALS); sealed < 0 || (sealed & seals) != seals)
    return EINVAL;
  const std::uint64_t at = size - facts_bytes;
  if (::pread(descriptor, &facts, sizeof facts, static_cast<off_t>(at)) !=
      static_cast<ssize_t>(sizeof facts))
    return EINVAL;
  const bool is_right = facts.magic == shared_magic && facts.size == at && facts.gpu < most_gpus &&
                        facts.metadata_size <= most_metadata;
  return is_right ? 0 : EINVAL;
}

}  // namespace sluice::kfd
