// Limits where Linux itself makes the access later: io_uring, and pages that it has pinned.
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cases.hpp"

using namespace cases;

namespace {

// A ring for one request at a time.
class Ring {
 public:
  Ring() {
    io_uring_params told = {};
    file_ = static_cast<int>(syscall(SYS_io_uring_setup, 1, &told));
    if (file_ < 0) {
      say("no io_uring here: errno %d (kernel.io_uring_disabled, or a container's filter)", errno);
      _exit(77);
    }
    submissions_ = map(told.sq_off.array + told.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
    completions_ =
        map(told.cq_off.cqes + told.cq_entries * sizeof(io_uring_cqe), IORING_OFF_CQ_RING);
    entries_ = reinterpret_cast<io_uring_sqe*>(map(sizeof(io_uring_sqe), IORING_OFF_SQES));
    told_ = told;
  }
  long pin(void* bytes, std::size_t size) const {
    const iovec whole = {bytes, size};
    return syscall(SYS_io_uring_register, file_, IORING_REGISTER_BUFFERS, &whole, 1);
  }
  void submit(int opcode, int from, void* to, unsigned size) {
    entries_[0] = {};
    entries_[0].opcode = static_cast<unsigned char>(opcode);
    entries_[0].fd = from;
    entries_[0].addr = reinterpret_cast<unsigned long>(to);
    entries_[0].len = size;
    word(submissions_, told_.sq_off.array) = 0;
    unsigned& tail = word(submissions_, told_.sq_off.tail);
    __atomic_store_n(&tail, tail + 1, __ATOMIC_RELEASE);
    syscall(SYS_io_uring_enter, file_, 1, 0, 0, nullptr, 0);
  }
  int wait() {
    syscall(SYS_io_uring_enter, file_, 0, 1, IORING_ENTER_GETEVENTS, nullptr, 0);
    unsigned& head = word(completions_, told_.cq_off.head);
    const unsigned slot = head & word(completions_, told_.cq_off.ring_mask);
    io_uring_cqe done;
    memcpy(&done, completions_ + told_.cq_off.cqes + slot * sizeof done, sizeof done);
    __atomic_store_n(&head, head + 1, __ATOMIC_RELEASE);
    return done.res;
  }

 private:
  unsigned char* map(std::size_t size, long at) const {
    void* const mapped =
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file_, at);
    if (mapped == MAP_FAILED) {
      perror("no memory for a ring of io_uring (ulimit -l)");
      _exit(77);
    }
    return static_cast<unsigned char*>(mapped);
  }
  static unsigned& word(unsigned char* ring, unsigned offset) {
    return *reinterpret_cast<unsigned*>(ring + offset);
  }

  int file_ = -1;
  unsigned char* submissions_ = nullptr;
  unsigned char* completions_ = nullptr;
  io_uring_sqe* entries_ = nullptr;
  io_uring_params told_ = {};
};

}  // namespace

CASE(limit_io_uring) {
  Ring ring;
  const int zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  ring.submit(IORING_OP_READ, zeros, managed_bytes(4096), 4096);
  say("read %d", ring.wait());
}
// What is stored into a pinned page while a device has it (O_DIRECT in flight, buffers of a ring,
// of a network card, of aio) is lost: no access fault tells of it. A lease keeps the page at the
// host.
CASE(limit_pinned_pages) {
  Ring ring;
  unsigned char* const bytes = managed_bytes(4096);
  bytes[0] = 'o';
  say("pinned %ld", ring.pin(bytes, 4096));
  int ends[2];
  say("%d", pipe(ends));
  ring.submit(IORING_OP_READ_FIXED, ends[0], bytes, 1);
  take_away(reinterpret_cast<volatile int*>(bytes));
  say("%zd", write(ends[1], "n", 1));
  say("read %d", ring.wait());
  say("byte %c", bytes[0]);
}
