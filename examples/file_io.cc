// read(2) into memory that lives on a device, and write(2) from it.
//
// The kernel's own accesses are answered like the program's, if the machine allows it: that is
// grade `full`. In grade `user` the same calls get EFAULT, and a program holds a lease on the host
// around them.
#include <array>
#include <cstdio>

#include <unistd.h>

#include "need.hpp"
#include "sluice/sluice.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace {

std::uint32_t first_word(int file) {
  std::uint32_t word = 0;
  need(pread(file, &word, sizeof word, 0) == sizeof word, "pread of the file");
  return word;
}

}  // namespace

int main() {
  const auto space = need(sluice::Space::open({.strict = sluice::Strict::report}));
  const auto data = need(space.buffer<std::uint32_t>(1 << 18));
  const std::size_t size = data.range().size();
  const auto queue = need(space.queue(0));
  const auto fill = need(queue.kernel("fill"));
  const auto fill_on_device = [&](std::uint32_t value) {
    const sluice_soft_fill arguments{data.data(), value};
    need(need(queue.launch(fill).writes(data).arguments(arguments).items(data.size()).submit())
             .wait());
  };
  std::FILE* const scratch = std::tmpfile();
  need(scratch != nullptr, "a scratch file");
  const int file = fileno(scratch);

  sluice::Lease lease;
  const auto bring_here_unless_full = [&] {
    if (space.status().grade == sluice::Grade::full) return;
    lease = need(space.lease(data.data(), size, sluice::Location::host(), sluice::Access::write));
  };
  if (space.status().grade != sluice::Grade::full) {
    std::printf("without a lease skipped: %s\n", space.status().grade_reason.c_str());
  }

  fill_on_device(7);
  bring_here_unless_full();
  need(write(file, data.data(), size) == static_cast<ssize_t>(size), "write from device memory");
  need(first_word(file) == 7, "the file has what the kernel wrote");
  lease.end();

  fill_on_device(8);
  bring_here_unless_full();
  need(pread(file, data.data(), size, 0) == static_cast<ssize_t>(size), "read into device memory");
  need(data[0] == 7 && data[data.size() - 1] == 7, "memory has what the file has");
  std::fclose(scratch);
  std::printf("%zu bytes went from device memory to a file and back\n", size);
}
