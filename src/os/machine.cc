// Reads the abilities of the machine and the process from /proc, /sys and a few queries. About 1
// ms; for start-up and doctor, never for a fault's path.
#include "os/machine.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <exception>
#include <limits>
#include <sstream>
#include <utility>

#include "os/new_descriptors.hpp"
#include "os/owned_fd.hpp"
#include "os/userfaultfd.hpp"

namespace sluice::os {
namespace {

// The lines of a file, one at a time: there may be no memory for all of them.
//
// A std::ifstream has no O_CLOEXEC: a program that another thread starts meanwhile would inherit
// its file.
class Lines {
 public:
  explicit Lines(const std::string& path) {
    const NewDescriptors making;
    file_ = OwnedFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  }
  // False: there is none left.
  bool next(std::string& line) {
    line.clear();
    while (at_ != end_ || fill()) {
      const char* const stop = std::find(at_, end_, '\n');
      line.append(at_, stop);
      const bool whole = stop != end_;
      at_ = whole ? stop + 1 : end_;
      if (whole) return true;
    }
    return !line.empty();
  }

 private:
  bool fill() {
    ssize_t got = -1;
    do got = file_.is_open() ? ::read(file_.get(), part_.data(), part_.size()) : 0;
    while (got < 0 && errno == EINTR);
    at_ = part_.data();
    end_ = at_ + std::max<ssize_t>(got, 0);
    return got > 0;
  }

  OwnedFd file_;
  std::array<char, 4096> part_;
  const char* at_ = part_.data();
  const char* end_ = part_.data();
};

std::string read_line(const std::string& path) {
  std::string line;
  (void)Lines(path).next(line);
  return line;
}

std::optional<std::size_t> read_number(const std::string& path) {
  std::istringstream line(read_line(path));
  std::size_t number = 0;
  return line >> number ? std::optional(number)
                        : std::nullopt;  // "max" in cgroup files is no number: no limit
}

// "always within_size [advise] never" -> "advise"
std::string mode_in_force(const std::string& path) {
  const std::string line = read_line(path);
  const std::size_t open = line.find('[');
  const std::size_t close = line.find(']');
  return open == std::string::npos || close == std::string::npos
             ? ""
             : line.substr(open + 1, close - open - 1);
}

// The number after `key` in a file of "key: number unit" lines.
std::size_t field(const std::string& path, const std::string& key) {
  Lines file(path);
  for (std::string line; file.next(line);)
    if (line.starts_with(key)) return std::stoull(line.substr(key.size()));
  return 0;
}

std::size_t count_lines(const std::string& path) {
  Lines file(path);
  std::size_t lines = 0;
  for (std::string line; file.next(line);) ++lines;
  return lines;
}

constexpr const char* shared_mode_path = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

HugePages inspect_huge_pages() {
  const std::string pool = "/sys/kernel/mm/hugepages/hugepages-2048kB/";
  return {
      .pool = read_number(pool + "nr_hugepages").value_or(0),
      .pool_free = read_number(pool + "free_hugepages").value_or(0),
      .transparent = mode_in_force("/sys/kernel/mm/transparent_hugepage/enabled"),
      .transparent_shared = mode_in_force(shared_mode_path),
  };
}

std::size_t limit(int resource) {
  rlimit value = {};
  if (::getrlimit(static_cast<__rlimit_resource>(resource), &value) != 0) return 0;
  return value.rlim_cur == RLIM_INFINITY ? std::numeric_limits<std::size_t>::max() : value.rlim_cur;
}

Limits inspect_limits() {
  return {
      .mappings = read_number("/proc/sys/vm/max_map_count").value_or(0),
      .mappings_in_use = count_lines("/proc/self/maps"),
      .locked_memory = limit(RLIMIT_MEMLOCK),
      .open_files = limit(RLIMIT_NOFILE),
      .address_space = limit(RLIMIT_AS),
      .overcommit = static_cast<int>(read_number("/proc/sys/vm/overcommit_memory").value_or(-1)),
  };
}

// The folder of a memory group that the process is in, and how its files are named.
struct MemoryGroup {
  std::string path;
  bool unified;  // version 2
};

// Limits apply at every level of the hierarchy. Reads version 2, and version 1's memory controller.
template <typename Visitor>
void for_each_memory_group(Visitor&& visit) {
  Lines groups("/proc/self/cgroup");
  for (std::string line; groups.next(line);) {
    const bool unified = line.starts_with("0::");
    const std::size_t memory = line.find(":memory:");
    if (!unified && memory == std::string::npos) continue;
    const std::string root = unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    for (std::string group = unified ? line.substr(3) : line.substr(memory + 8);;
         group.resize(group.rfind('/'))) {
      visit(MemoryGroup{group == "/" ? root : root + group, unified});
      if (group.empty() || group.rfind('/') == std::string::npos) break;
    }
  }
}

std::optional<std::size_t> cgroup_limit() {
  std::optional<std::size_t> tightest;
  for_each_memory_group([&](const MemoryGroup& group) {
    const auto here =
        read_number(group.path + (group.unified ? "/memory.max" : "/memory.limit_in_bytes"));
    if (here) tightest = std::min(tightest.value_or(*here), *here);
  });
  return tightest;
}

std::size_t headroom_of(const MemoryGroup& group) {
  const auto used =
      read_number(group.path + (group.unified ? "/memory.current" : "/memory.usage_in_bytes"));
  std::size_t left = SIZE_MAX;
  for (const char* file : {"/memory.max", "/memory.high", "/memory.limit_in_bytes"})
    if (const auto most = used ? read_number(group.path + file) : std::nullopt)
      left = std::min(left, *most - std::min(*most, *used));
  return left;
}

SegvOwner inspect_segv() {
  struct sigaction current = {};
  ::sigaction(SIGSEGV, nullptr, &current);
  SegvOwner owner;
  const bool takes_info = (current.sa_flags & SA_SIGINFO) != 0;
  if (!takes_info && current.sa_handler == SIG_DFL)
    return {.action = "default", .library = {}, .symbol = {}};
  if (!takes_info && current.sa_handler == SIG_IGN)
    return {.action = "ignored", .library = {}, .symbol = {}};
  owner.action = "handler";
  owner.handler = takes_info ? reinterpret_cast<const void*>(current.sa_sigaction)
                             : reinterpret_cast<const void*>(current.sa_handler);
  Dl_info where = {};
  if (::dladdr(owner.handler, &where) != 0) {
    if (where.dli_fname != nullptr) owner.library = where.dli_fname;
    if (where.dli_sname != nullptr) owner.symbol = where.dli_sname;
  }
  return owner;
}

// Known on x86 only; elsewhere the file is missing or does not mention it.
std::optional<bool> inspect_page_table_isolation() {
  const std::string line = read_line("/sys/devices/system/cpu/vulnerabilities/meltdown");
  if (line.empty()) return std::nullopt;
  return line.find("PTI") != std::string::npos;
}

std::string kernel_release() {
  utsname name = {};
  return ::uname(&name) == 0 ? name.release : "unknown";
}

}  // namespace

std::size_t affordable_window(std::size_t others) {
  const std::size_t most = limit(RLIMIT_AS);
  if (most == std::numeric_limits<std::size_t>::max()) return most;
  const std::size_t taken = read_number("/proc/self/statm").value_or(0) * page_size + others;
  return (most - std::min(most, taken)) / 8 * 3;
}

FaultDelivery inspect_fault_delivery() {
  const auto opened = Userfaultfd::open(Grade::full);
  if (!opened) return {.best = Grade::none, .reason = std::string(opened.error().detail())};
  return {.best = opened->grade(),
          .reason = opened->reason(),
          .features = opened->features(),
          .can_share = opened->can_share()};
}

bool transparent_shared_pages() {
  const std::string mode = mode_in_force(shared_mode_path);
  return mode == "advise" || mode == "within_size" || mode == "always" || mode == "force";
}

bool shared_huge_pages_denied() { return mode_in_force(shared_mode_path) == "deny"; }

MappingLimit inspect_mapping_limit() {
  const Limits limits = inspect_limits();
  MappingLimit limit{.in_use = limits.mappings_in_use};
  if (limits.mappings != 0) limit.most = limits.mappings;
  return limit;
}

int usable_cpus() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

std::size_t memory_headroom() noexcept {
  try {
    const std::size_t available = field("/proc/meminfo", "MemAvailable:") * 1024;
    std::size_t least = available == 0 ? SIZE_MAX : available;
    for_each_memory_group(
        [&](const MemoryGroup& group) { least = std::min(least, headroom_of(group)); });
    return least;
  } catch (const std::exception&) {
    return 0;
  }
}

Machine inspect_machine() {
  return {
      .kernel = kernel_release(),
      .cpus = usable_cpus(),
      .faults = inspect_fault_delivery(),
      .huge_pages = inspect_huge_pages(),
      .limits = inspect_limits(),
      .memory = {.total = field("/proc/meminfo", "MemTotal:") * 1024,
                 .available = field("/proc/meminfo", "MemAvailable:") * 1024,
                 .cgroup_limit = cgroup_limit()},
      .segv = inspect_segv(),
      .page_table_isolation = inspect_page_table_isolation(),
  };
}

}  // namespace sluice::os
