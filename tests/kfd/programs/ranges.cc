// A program with ranges of its own memory, and with a file of events. Its argument chooses what it
// does; 0 means that all was as Linux has it.
#include <sys/syscall.h>

#include "kfd_calls.hpp"

namespace {

using namespace kfd_program;

constexpr std::uint32_t vram = KFD_IOC_ALLOC_MEM_FLAGS_VRAM | KFD_IOC_ALLOC_MEM_FLAGS_WRITABLE;

// The lines that a program reads of events, which are there or not: a read never waits.
std::string read_lines(int file) {
  char text[4096];
  const ssize_t got = read(file, text, sizeof text);
  EXPECT(got > 0 || (got < 0 && errno == EAGAIN));
  return got < 0 ? "" : std::string(text, static_cast<std::size_t>(got));
}

// Below the plan 'device=0 step=room nth=1 action=fail': an eviction, its end, and a prefetch.
int smi() {
  Machine machine;
  kfd_ioctl_smi_events_args asked{*machine.ids(), 0};
  EXPECT(call(machine.file(), AMDKFD_IOC_SMI_EVENTS, &asked) == 0);
  const int events = static_cast<int>(asked.anon_fd);
  const auto buffer = machine.allocate(1 << 20, vram);
  EXPECT(read_lines(events).empty());
  const std::uint64_t mask = KFD_SMI_EVENT_MASK_FROM_INDEX(KFD_SMI_EVENT_QUEUE_EVICTION) |
                             KFD_SMI_EVENT_MASK_FROM_INDEX(KFD_SMI_EVENT_QUEUE_RESTORE) |
                             KFD_SMI_EVENT_MASK_FROM_INDEX(KFD_SMI_EVENT_MIGRATE_START);
  EXPECT(write(events, &mask, sizeof mask) == sizeof mask);
  auto mapping = machine.all_gpus(buffer.handle);
  EXPECT(call(machine.file(), AMDKFD_IOC_MAP_MEMORY_TO_GPU, &mapping) == 0);
  const std::string who = " -" + std::to_string(getpid()) + " ";
  std::string lines;
  while (lines.find("\na ") == std::string::npos) {
    kfd_ioctl_get_version_args version{};
    EXPECT(call(machine.file(), AMDKFD_IOC_GET_VERSION, &version) == 0);
    lines += read_lines(events);
    usleep(1000);
  }
  EXPECT(lines.rfind("9 ", 0) == 0 && lines.find(who) != std::string::npos);
  void* const memory =
      mmap(nullptr, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(memory != MAP_FAILED);
  alignas(8) unsigned char bytes[sizeof(kfd_ioctl_svm_args) + sizeof(kfd_ioctl_svm_attribute)]{};
  auto& range = *reinterpret_cast<kfd_ioctl_svm_args*>(bytes);
  range.start_addr = reinterpret_cast<std::uintptr_t>(memory);
  range.size = 1 << 16;
  range.op = KFD_IOCTL_SVM_OP_SET_ATTR;
  range.nattr = 1;
  range.attrs[0] = {KFD_IOCTL_SVM_ATTR_PREFETCH_LOC, *machine.ids()};
  const unsigned long request =
      AMDKFD_IOC_SVM + (sizeof(kfd_ioctl_svm_attribute) << _IOC_SIZESHIFT);
  EXPECT(call(machine.file(), request, &range) == 0);
  EXPECT(read_lines(events).find("(10) 0->1001 1001:ffffffff 0\n") != std::string::npos);
  close(events);
  std::printf("evicted, restored, migrated\n");
  return 0;
}

// Sets no attribute for memory, which makes a range of it.
int set_range(Machine& machine, void* memory, std::uint64_t size) {
  kfd_ioctl_svm_args range{};
  range.start_addr = reinterpret_cast<std::uintptr_t>(memory);
  range.size = size;
  range.op = KFD_IOCTL_SVM_OP_SET_ATTR;
  return call(machine.file(), AMDKFD_IOC_SVM, &range);
}

// Attributes go with their memory, so that a buffer may lie there afterwards.
int unmap() {
  Machine machine;
  if (const long tried = syscall(SYS_userfaultfd, 1); tried >= 0)
    close(static_cast<int>(tried));
  else
    return std::puts("no userfaultfd"), 0;
  const auto try_at = [&](char* address) {
    kfd_ioctl_alloc_memory_of_gpu_args asked{};
    asked.va_addr = reinterpret_cast<std::uintptr_t>(address);
    asked.size = 4096;
    asked.gpu_id = *machine.ids();
    asked.flags = vram;
    const int error = call(machine.file(), AMDKFD_IOC_ALLOC_MEMORY_OF_GPU, &asked);
    if (error == 0) EXPECT(machine.release(asked.handle) == 0);
    return error;
  };
  for (int round = 0; round < 200; ++round) {
    void* const made =
        mmap(nullptr, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(made != MAP_FAILED);
    char* const memory = static_cast<char*>(made);
    EXPECT(set_range(machine, memory, 16384) == 0);
    std::memset(memory, 1, 16384);
    EXPECT(try_at(memory) == EADDRINUSE);
    EXPECT(munmap(memory, 4096) == 0);
    EXPECT(try_at(memory) == 0 && try_at(memory + 4096) == EADDRINUSE);
    void* const moved = mremap(memory + 4096, 4096, 8192, MREMAP_MAYMOVE);
    EXPECT(moved != MAP_FAILED);
    EXPECT(moved == memory + 4096 || try_at(memory + 4096) == 0);
    EXPECT(munmap(moved, 8192) == 0 && munmap(memory + 8192, 8192) == 0);
    EXPECT(try_at(memory + 12288) == 0);
  }
  std::printf("attributes went with their memory\n");
  return 0;
}

}  // namespace

int main(int, char** arguments) {
  const std::string what = arguments[1] != nullptr ? arguments[1] : "";
  if (what == "smi") return smi();
  if (what == "unmap") return unmap();
  std::printf("what?\n");
  return 2;
}
