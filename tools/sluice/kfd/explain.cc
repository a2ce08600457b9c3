// sluice kfd explain PID: memory of GPUs that a process below `sluice run --kfd` has. Where each
// buffer is mapped, how far its last MAP came, and which buffers leak.
//
// It reads the account that the process keeps in a memory file (face/kfd/account/), through /proc,
// so only the owner and root can. The process does not stop and does not notice.
#include <fcntl.h>
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <vector>

#include "face/kfd/account/account.hpp"
#include "kfd/explain.hpp"
#include "os/errors.hpp"
#include "os/owned_fd.hpp"
#include "report.hpp"

namespace sluice::tool::kfd_contract {
namespace {

namespace fs = std::filesystem;
using kfd::BufferFacts;

// The account of the process: its descriptor's name below /proc.
fs::path find_account(int process) {
  const std::string folder = fmt::format("/proc/{}/fd", process);
  std::error_code error;
  for (fs::directory_iterator each(folder, error), end; !error && each != end;
       each.increment(error)) {
    std::error_code gone;
    const std::string leads_to = fs::read_symlink(each->path(), gone).string();
    if (!gone && leads_to.starts_with(fmt::format("/memfd:{} ", kfd::account_name)))
      return each->path();
  }
  if (error == std::errc::no_such_file_or_directory)
    throw CannotRun(fmt::format("there is no process {}", process));
  if (error)
    throw CannotRun(
        fmt::format("process {}: {}; only its owner and root can ask", process, error.message()));
  throw CannotRun(
      fmt::format("process {} has no account: it does not run below `sluice run --kfd`, or has not "
                  "opened /dev/kfd yet",
                  process));
}

kfd::AccountFacts read_account_of(int process) {
  const fs::path path = find_account(process);
  const os::OwnedFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status{};
  if (!file.is_open() || ::fstat(file.get(), &status) != 0)
    throw CannotRun(fmt::format("{}: {}", path.string(), os::errno_name(errno)));
  const auto size = static_cast<std::size_t>(status.st_size);
  void* const bytes =
      size == 0 ? MAP_FAILED : ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (bytes == MAP_FAILED)
    throw CannotRun(fmt::format("{}: it cannot be mapped: {}", path.string(),
                                size == 0 ? "it is empty" : os::errno_name(errno)));
  const auto reading = kfd::read_account(std::span(static_cast<const std::byte*>(bytes), size));
  (void)::munmap(bytes, size);
  if (!reading) throw CannotRun(fmt::format("{}: {}", path.string(), reading.error().detail()));
  return *reading;
}

const char* kind_of(const BufferFacts& buffer) {
  namespace memory = kfd::abi::memory;
  if ((buffer.flags & memory::gtt) != 0) return "GTT";
  if ((buffer.flags & memory::vram) != 0) return "VRAM";
  if ((buffer.flags & memory::userptr) != 0) return "user memory";
  return (buffer.flags & memory::doorbell) != 0 ? "doorbells" : "MMIO";
}

std::vector<int> gpus_of(std::uint64_t bits) {
  std::vector<int> gpus;
  for (int gpu = 0; gpu < kfd::most_gpus; ++gpu)
    if ((bits >> gpu & 1) != 0) gpus.push_back(gpu);
  return gpus;
}

std::string in_words(std::uint64_t bits) {
  const std::vector<int> gpus = gpus_of(bits);
  return fmt::format("GPU{} {}", gpus.size() == 1 ? "" : "s", fmt::join(gpus, ", "));
}

void print_buffer(const BufferFacts& buffer) {
  fmt::print("{} of {} of GPU {} at {:#x} (handle {:#x})\n", bytes_in_words(buffer.size),
             kind_of(buffer), buffer.gpu, buffer.address, buffer.handle);
  if (buffer.mapped_on == 0)
    fmt::print("  mapped nowhere\n");
  else
    fmt::print("  mapped on {}\n", in_words(buffer.mapped_on));
  if (buffer.is_in_gtt != 0)
    fmt::print("  evicted: its bytes are in GTT, because another client needs its VRAM\n");
  if (buffer.n_devices != 0)
    fmt::print("  the last MAP: {}, n_success {} of {}\n",
               buffer.map_error == 0 ? "0" : os::errno_name(static_cast<int>(buffer.map_error)),
               buffer.n_success, buffer.n_devices);
  if (buffer.leaks())
    fmt::print("  LEAKS: FREE was refused {}; first it must be unmapped{}{}\n",
               buffer.refused_frees == 1 ? std::string("once")
                                         : fmt::format("{} times", buffer.refused_frees),
               buffer.mapped_on == 0 ? ", which is done" : " on ",
               buffer.mapped_on == 0 ? "" : in_words(buffer.mapped_on));
  else if (buffer.would_leak())
    fmt::print("  WOULD LEAK: FREE will be refused until it is unmapped on {}\n",
               in_words(buffer.mapped_on));
}

Json json_of(const BufferFacts& buffer) {
  Json last_map = nullptr;
  if (buffer.n_devices != 0)
    last_map = {{"error", buffer.map_error},
                {"n_success", buffer.n_success},
                {"n_devices", buffer.n_devices}};
  return {{"handle", buffer.handle},
          {"address", buffer.address},
          {"bytes", buffer.size},
          {"kind", kind_of(buffer)},
          {"gpu", buffer.gpu},
          {"mapped_on", gpus_of(buffer.mapped_on)},
          {"last_map", std::move(last_map)},
          {"refused_frees", buffer.refused_frees},
          {"evicted", buffer.is_in_gtt != 0},
          {"state", buffer.leaks()        ? "leaks"
                    : buffer.would_leak() ? "would leak"
                                          : "fine"}};
}

struct Sums {
  std::uint64_t bytes = 0;
  std::uint64_t leaking = 0;  // bytes
  std::size_t leaks = 0;
};

Sums sums_of(const kfd::AccountFacts& reading) {
  Sums sums;
  for (const BufferFacts& each : reading.buffers) {
    sums.bytes += each.size;
    if (!each.leaks() && !each.would_leak()) continue;
    sums.leaking += each.size;
    ++sums.leaks;
  }
  return sums;
}

void print_text(int process, const kfd::AccountFacts& reading, const Sums& sums) {
  fmt::print("process {}: {} GPUs, {} buffers of {}, {} calls, {} of them MAP\n", process,
             reading.gpus, reading.buffers.size(), bytes_in_words(sums.bytes), reading.calls,
             reading.map_calls);
  for (const BufferFacts& each : reading.buffers) print_buffer(each);
  if (reading.left_out != 0) fmt::print("{} more had no room in the account\n", reading.left_out);
  fmt::print("{} of them leak, or would leak if they were released now: {}\n", sums.leaks,
             bytes_in_words(sums.leaking));
}

}  // namespace

Exit explain(int process, bool json) {
  const kfd::AccountFacts reading = read_account_of(process);
  const Sums sums = sums_of(reading);
  if (json) {
    Json buffers = Json::array();
    for (const BufferFacts& each : reading.buffers) buffers.push_back(json_of(each));
    print_json({{"process", process},
                {"gpus", reading.gpus},
                {"calls", reading.calls},
                {"map_calls", reading.map_calls},
                {"bytes", sums.bytes},
                {"leaking_bytes", sums.leaking},
                {"buffers", std::move(buffers)},
                {"left_out", reading.left_out}});
  } else {
    print_text(process, reading, sums);
  }
  return sums.leaks == 0 ? Exit::good : Exit::found_wrong;
}

}  // namespace sluice::tool::kfd_contract
