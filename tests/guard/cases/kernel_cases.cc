// Kernel accesses through libc's functions.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cases.hpp"

using namespace cases;

namespace {

constexpr std::size_t size = std::size_t{256} << 10;

// A file with known bytes; unlinked.
int file_of_bytes() {
  char path[] = "/tmp/sluice-cases-XXXXXX";
  const int file = mkostemp(path, O_CLOEXEC);
  unlink(path);
  static unsigned char bytes[size];
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<unsigned char>(i * 13);
  say("file of %zd", pwrite(file, bytes, size, 0));
  return file;
}
bool is_of_file(const unsigned char* bytes, std::size_t count = size) {
  for (std::size_t i = 0; i < count; ++i)
    if (bytes[i] != static_cast<unsigned char>(i * 13)) return false;
  return true;
}
bool is_of_memory(const unsigned char* bytes, std::size_t count = size) {
  for (std::size_t i = 0; i < count; ++i)
    if (bytes[i] != static_cast<unsigned char>(i * 7)) return false;
  return true;
}
bool file_is_of_memory(int file) {
  static unsigned char bytes[size];
  return pread(file, bytes, size, 0) == static_cast<ssize_t>(size) && is_of_memory(bytes);
}

}  // namespace

CASE(read_into_managed) {
  const int file = file_of_bytes();
  unsigned char* const to = managed_bytes(size);
  say("%zd", read(file, to, size));
  say("right %d", is_of_file(to));
  unsigned char* const second = managed_bytes(size);
  say("%zd", pread(file, second, size, 0));
  say("right %d", is_of_file(second));
  unsigned char* const third = managed_bytes(size);
  const iovec parts[] = {{third, 5000}, {third + 5000, size - 5000}};
  say("%zd", lseek(file, 0, SEEK_SET));
  say("%zd", readv(file, parts, 2));
  say("right %d", is_of_file(third));
}
CASE(write_from_managed) {
  const int file = file_of_bytes();
  say("%zd", write(file, managed_bytes(size), size));
  say("right %d", file_is_of_memory(file));
  unsigned char* const from = managed_bytes(size);
  const iovec parts[] = {{from, 5000}, {from + 5000, size - 5000}};
  say("%zd", lseek(file, 0, SEEK_SET));
  say("%zd", writev(file, parts, 2));
  say("right %d", file_is_of_memory(file));
}
CASE(stdio_and_managed) {
  FILE* const stream = fdopen(file_of_bytes(), "r+");
  unsigned char* const to = managed_bytes(size);
  say("%zu", fread(to, 1, size, stream));
  say("right %d", is_of_file(to));
  rewind(stream);
  say("%zu", fwrite(managed_bytes(size), 1, size, stream));
  say("%d", fflush(stream));
  say("right %d", file_is_of_memory(fileno(stream)));
}
CASE(sockets_and_managed) {
  int ends[2];
  say("%d", socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
  constexpr std::size_t packet = 30000;
  say("%zd", send(ends[0], managed_bytes(packet), packet, 0));
  unsigned char* const to = managed_bytes(packet);
  memset(to, 0, packet);
  take_away(reinterpret_cast<volatile int*>(to));
  say("%zd", recv(ends[1], to, packet, 0));
  say("right %d", is_of_memory(to, packet));
  unsigned char* const from = managed_bytes(packet);
  iovec part = {from, packet};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  say("%zd", sendmsg(ends[0], &message, 0));
  part.iov_base = managed_bytes(packet);
  say("%zd", recvmsg(ends[1], &message, 0));
  say("right %d", is_of_memory(static_cast<unsigned char*>(part.iov_base), packet));
}
CASE(random_into_managed) {
  unsigned char* const to = managed_bytes(256);
  say("%zd", getrandom(to, 256, 0));
  say("changed %d", !is_of_memory(to, 256));
}
CASE(wrong_buffers_are_still_refused) {
  const int file = file_of_bytes();
  void* const bad = const_cast<int*>(wild());
  errno = 0;
  say("%zd", read(file, bad, 10));
  say("errno %d", errno);
  errno = 0;
  say("%zd", write(file, bad, 10));
  say("errno %d, %d", errno, *managed());
}
