// Two processes share memory of a GPU: one makes it by a render node and sends its dma-buf, the
// other one gives it to its own /dev/kfd. 0: all was as Linux has it.
#include <linux/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "kfd_calls.hpp"

namespace {

using namespace kfd_program;

constexpr std::uint64_t size = 3 * 4096;

// Of drm.h and amdgpu_drm.h.
struct GemCreate {
  std::uint64_t bytes, alignment, domains, flags;  // the answer's handle lies where `bytes` begins
};
struct GemClose {
  std::uint32_t handle, pad;
};
struct HandleToFd {
  std::uint32_t handle, flags;
  std::int32_t fd;
};
struct GemMetadata {
  std::uint32_t handle, op;
  std::uint64_t flags, tiling;
  std::uint32_t size, data[64];
};
constexpr unsigned long gem_create = _IOWR('d', 0x40, GemCreate);
constexpr unsigned long gem_metadata = _IOWR('d', 0x46, GemMetadata);
constexpr unsigned long gem_close = _IOW('d', 0x09, GemClose);
constexpr unsigned long handle_to_fd = _IOWR('d', 0x2d, HandleToFd);
constexpr std::uint64_t vram_domain = 4;

union Control {
  char bytes[CMSG_SPACE(sizeof(int))];
  cmsghdr header;
};

void send_descriptor(int socket, int descriptor) {
  char byte = 0;
  iovec data{&byte, 1};
  Control control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
  EXPECT(sendmsg(socket, &message, 0) == 1);
}

int receive_descriptor(int socket) {
  char byte = 0;
  iovec data{&byte, 1};
  Control control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  EXPECT(recvmsg(socket, &message, 0) == 1);
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(&control.header), sizeof descriptor);
  return descriptor;
}

unsigned char* bytes_of(int dma_buf) {
  void* const at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, dma_buf, 0);
  EXPECT(at != MAP_FAILED);
  return static_cast<unsigned char*>(at);
}

int import(Machine& machine, int dma_buf, std::uint64_t& handle) {
  kfd_ioctl_import_dmabuf_args asked{};
  asked.va_addr = 0x300000000;
  asked.gpu_id = machine.ids()[1];
  asked.dmabuf_fd = static_cast<std::uint32_t>(dma_buf);
  const int error = call(machine.file(), AMDKFD_IOC_IMPORT_DMABUF, &asked);
  handle = asked.handle;
  return error;
}

int take(int socket) {
  Machine machine;
  const int dma_buf = receive_descriptor(socket);
  char text[16]{};
  kfd_ioctl_get_dmabuf_info_args info{};
  info.dmabuf_fd = static_cast<std::uint32_t>(dma_buf);
  info.metadata_ptr = reinterpret_cast<std::uintptr_t>(text);
  info.metadata_size = sizeof text;
  EXPECT(call(machine.file(), AMDKFD_IOC_GET_DMABUF_INFO, &info) == 0);
  EXPECT(info.size == size && info.gpu_id == machine.ids()[1] && info.metadata_size == 4);
  EXPECT(std::memcmp(text, "abc", 4) == 0);
  EXPECT((info.flags & KFD_IOC_ALLOC_MEM_FLAGS_VRAM) != 0);
  std::uint64_t handle = 0;
  EXPECT(import(machine, dma_buf, handle) == 0);
  auto mapping = machine.all_gpus(handle);
  EXPECT(call(machine.file(), AMDKFD_IOC_MAP_MEMORY_TO_GPU, &mapping) == 0);
  EXPECT(machine.release(handle) == EBUSY);
  mapping.n_success = 0;
  EXPECT(call(machine.file(), AMDKFD_IOC_UNMAP_MEMORY_FROM_GPU, &mapping) == 0);
  EXPECT(machine.release(handle) == 0);
  unsigned char* const bytes = bytes_of(dma_buf);
  EXPECT(bytes[0] == 0x5a && bytes[size - 1] == 0x5a);
  bytes[1] = 0x77;
  EXPECT(ftruncate(dma_buf, 0) != 0);  // nobody takes pages away under others
  // Descriptors that are no dma-buf, or are none at all.
  EXPECT(import(machine, memfd_create("other", 0), handle) == EINVAL);
  EXPECT(import(machine, socket, handle) == EINVAL);
  EXPECT(import(machine, 999, handle) == EBADF);
  EXPECT(write(socket, "", 1) == 1);
  return 0;
}

void give(int socket) {
  Machine machine;
  GemCreate created{size - 5, 4096, vram_domain, 0};
  EXPECT(call(machine.node(1), gem_create, &created) == 0);
  const auto handle = static_cast<std::uint32_t>(created.bytes);
  GemMetadata metadata{};
  metadata.handle = handle;
  metadata.op = 1;  // set
  metadata.size = 4;
  std::memcpy(metadata.data, "abc", 4);
  EXPECT(call(machine.node(1), gem_metadata, &metadata) == 0);
  HandleToFd shared{handle, O_CLOEXEC | O_RDWR, -1};
  EXPECT(call(machine.node(0), handle_to_fd, &shared) == ENOENT);  // another file's handles
  EXPECT(call(machine.node(1), handle_to_fd, &shared) == 0);
  unsigned char* const bytes = bytes_of(shared.fd);
  std::memset(bytes, 0x5a, size);
  send_descriptor(socket, shared.fd);
  char byte = 0;
  EXPECT(read(socket, &byte, 1) == 1);
  EXPECT(bytes[1] == 0x77);
  GemClose gone{handle, 0};
  EXPECT(call(machine.node(1), gem_close, &gone) == 0);
  EXPECT(call(machine.node(1), gem_close, &gone) == EINVAL);
  std::uint64_t imported = 0;
  EXPECT(import(machine, shared.fd, imported) == 0);  // the descriptor keeps the memory
  EXPECT(machine.release(imported) == 0);
}

}  // namespace

int main() {
  int ends[2];
  EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  const pid_t child = fork();
  EXPECT(child >= 0);
  if (child == 0) {
    close(ends[0]);
    const int status = take(ends[1]);
    std::fflush(stdout);
    _exit(status);
  }
  close(ends[1]);
  give(ends[0]);
  int status = -1;
  EXPECT(waitpid(child, &status, 0) == child && status == 0);
  std::printf("both processes had the same bytes\n");
  return 0;
}
