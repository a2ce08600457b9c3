// Rules of what a process follows and shares: events of GPUs, dma-bufs, places of its own memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "kfd/rules.hpp"

namespace sluice::tool::kfd_contract {
namespace {

void follow_events(Machine& machine, Trial& trial) {
  abi::SmiEvents asked{0, 0};
  trial.expect("no such GPU", machine.call(abi::Call::smi_events, asked), EINVAL);
  asked.gpu_id = machine.id(0);
  trial.expect("open", machine.call(abi::Call::smi_events, asked), 0);
  const int file = static_cast<int>(asked.anon_fd);
  std::array<char, 96> line{};
  const bool is_empty = ::read(file, line.data(), line.size()) < 0 && errno == EAGAIN;
  trial.expect("a read without events says so at once", is_empty, true);
  const std::uint64_t every = 0x7ff;
  const auto whole = static_cast<ssize_t>(sizeof every);
  trial.expect("bytes of a mask that were taken", ::write(file, &every, sizeof every), whole);
  trial.expect("close", ::close(file), 0);
}

void import_checks(Machine& machine, Trial& trial) {
  const auto import = [&](int descriptor) {
    abi::ImportDmabuf asked{std::uint64_t{1} << 35, 0, machine.id(0),
                            static_cast<std::uint32_t>(descriptor)};
    return machine.call(abi::Call::import_dmabuf, asked);
  };
  const auto ask = [&](int descriptor) {
    abi::GetDmabufInfo asked{};
    asked.dmabuf_fd = static_cast<std::uint32_t>(descriptor);
    return machine.call(abi::Call::get_dmabuf_info, asked);
  };
  const int other = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  trial.expect("import of another file", import(other), EINVAL);
  trial.expect("asking about another file", ask(other), EINVAL);
  (void)::close(other);
  trial.expect("import of no descriptor", import(-1), EBADF);
  trial.expect("asking about no descriptor", ask(-1), EBADF);
}

struct PlaceCall {
  abi::Svm head;
  std::array<abi::SvmAttribute, 2> attributes;
};

void places(Machine& machine, Trial& trial) {
  constexpr std::size_t bytes = 8192;
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const auto call = [&](std::uint32_t what, std::uint64_t size, PlaceCall& asked) {
    asked.head = {address, size, what, 2};
    return machine.call(abi::Call::svm, asked);
  };
  PlaceCall set{{}, {{{abi::svm::prefetch_location, 0}, {abi::svm::preferred_location, 0}}}};
  trial.expect("a prefetch to the host", call(abi::svm::set_attributes, 4096, set), 0);
  PlaceCall get = set;
  trial.expect("asking", call(abi::svm::get_attributes, 4096, get), 0);
  trial.expect("the last prefetch", get.attributes[0].value, 0U);
  trial.expect("asking about a page more", call(abi::svm::get_attributes, bytes, get), 0);
  (void)::munmap(memory, bytes);
  trial.expect("memory that is gone", call(abi::svm::set_attributes, 4096, set), EFAULT);
}

constexpr std::array all_of_sharing = std::to_array<Rule>({
    {"events of a GPU are followed by a file whose reads never wait",
     "kfd_smi_events.c, kfd_smi_event_open", 1, follow_events},
    {"only a dma-buf is imported", "kfd_chardev.c, kfd_ioctl_import_dmabuf", 1, import_checks},
    {"a prefetch is kept as an attribute", "kfd_svm.c, svm_range_set_attr", 1, places},
});

}  // namespace

std::span<const Rule> rules_of_sharing() noexcept { return all_of_sharing; }

}  // namespace sluice::tool::kfd_contract
