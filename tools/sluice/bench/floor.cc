// The kernel's own minor fault. See bench/floor.hpp.

#include "bench/floor.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include "base/types.hpp"
#include "bench/bench.hpp"
#include "report.hpp"

namespace sluice::tool::bench {
namespace {

void store(std::byte* page) { *reinterpret_cast<volatile std::uint64_t*>(page) = 1; }

}  // namespace

Floor::Floor(std::size_t size)
    : file_(memfd_create("sluice bench floor", MFD_CLOEXEC)), size_(size) {
  if (!file_.is_open() || ftruncate(file_.get(), static_cast<off_t>(size)) != 0) {
    throw CannotRun("no memory file for the baseline: try `ulimit -n 1024` and `free -h`");
  }
  void* const mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  if (mapped == MAP_FAILED) throw CannotRun("no mapping for the baseline: try `sluice doctor`");
  data_ = static_cast<std::byte*>(mapped);
  // A kernel without huge pages refuses this, and has none to avoid.
  (void)madvise(data_, size, MADV_NOHUGEPAGE);
  map_all();
}

Floor::~Floor() { munmap(data_, size_); }

void Floor::map_all() { (void)time_all_stores(data_, size_); }

void Floor::drop(std::size_t bytes) { madvise(data_, bytes, MADV_DONTNEED); }

std::vector<double> time_each_store(std::byte* data, std::size_t size) {
  std::vector<double> times;
  times.reserve(size / page_size);
  for (std::size_t offset = 0; offset < size; offset += page_size) {
    const Stopwatch watch;
    store(data + offset);
    times.push_back(watch.microseconds());
  }
  return times;
}

double time_all_stores(std::byte* data, std::size_t size) {
  const Stopwatch watch;
  for (std::size_t offset = 0; offset < size; offset += page_size) store(data + offset);
  return watch.microseconds();
}

}  // namespace sluice::tool::bench
