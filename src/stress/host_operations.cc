// The host's operations on managed memory in a stress run: loads and stores of every width at any
// alignment, the C library's string functions, system calls, atomic counters. See
// stress/worker.hpp.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>

#include <fmt/core.h>

#include "stress/worker.hpp"

namespace sluice::stress {
namespace {

constexpr std::size_t widest_access = 64;

// One load or store where the machine has one of that width; memcpy handles the others.
void move_bytes(std::byte* to, const std::byte* from, std::size_t size) {
  switch (size) {
    case 1:
      std::memcpy(to, from, 1);
      break;
    case 2:
      std::memcpy(to, from, 2);
      break;
    case 4:
      std::memcpy(to, from, 4);
      break;
    case 8:
      std::memcpy(to, from, 8);
      break;
    case 16:
      std::memcpy(to, from, 16);
      break;
    case 32:
      std::memcpy(to, from, 32);
      break;
    default:
      std::memcpy(to, from, size);
      break;
  }
}

}  // namespace

void Worker::host_write() {
  const Slice part = any_part(widest_access);
  show(part);
  std::byte bytes[widest_access];
  for (std::size_t i = 0; i < part.size; ++i) bytes[i] = static_cast<std::byte>(random_.next());
  move_bytes(part.data(), bytes, part.size);
  std::memcpy(part.shadow(), bytes, part.size);
  if (random_.chance(30)) check(part);
}

void Worker::host_read() {
  if (random_.chance(10)) return check(any_part(256 << 10));
  const Slice part = any_part(widest_access);
  show(part);
  std::byte bytes[widest_access];
  move_bytes(bytes, part.data(), part.size);
  check_against(part, bytes);
}

void Worker::host_fill() {
  const Slice part = any_part(128 << 10);
  show(part);
  const int value = static_cast<int>(random_.below(256));
  std::memset(part.data(), value, part.size);
  std::memset(part.shadow(), value, part.size);
  if (random_.chance(20)) check(part);
}

// The library's functions read beyond their results, in vectors that deliberately never cross a
// page.
void Worker::string() {
  const Slice part = any_part(8 << 10);
  show(part);
  const std::string text(part.size - 1, static_cast<char>('a' + random_.below(26)));
  char* managed = reinterpret_cast<char*>(part.data());
  // NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.strcpy): it is as long as the part
  std::strcpy(managed, text.c_str());
  std::memcpy(part.shadow(), text.c_str(), part.size);
  if (std::strlen(managed) != text.size() || std::strcmp(managed, text.c_str()) != 0) check(part);
  progress_.bytes_checked.fetch_add(2 * part.size, std::memory_order_relaxed);
}

// read(2): the kernel stores.
void Worker::file_to_memory() {
  if (!setting_.kernel_accesses) return host_fill();
  const Slice part = any_part(scratch_size);
  show(part);
  for (std::size_t i = 0; i < part.size; ++i) scratch_[i] = static_cast<std::byte>(random_.next());
  const auto size = static_cast<ssize_t>(part.size);
  if (pwrite(fileno(file_.get()), scratch_.get(), part.size, 0) != size) {
    return findings_.unexpected_error(
        fmt::format("pwrite from plain memory: errno {}; {}", errno, context()));
  }
  const ssize_t got = pread(fileno(file_.get()), part.data(), part.size, 0);
  if (got != size) {
    findings_.unexpected_error(
        fmt::format("read(2) of {} bytes into managed memory gave {}, errno {}; {}", size, got,
                    errno, context()));
  }
  std::memcpy(part.shadow(), scratch_.get(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  check(part);
}

// write(2): the kernel loads.
void Worker::memory_to_file() {
  if (!setting_.kernel_accesses) return host_read();
  const Slice part = any_part(scratch_size);
  show(part);
  const auto size = static_cast<ssize_t>(part.size);
  const ssize_t written = pwrite(fileno(file_.get()), part.data(), part.size, 0);
  if (written != size) {
    return findings_.unexpected_error(
        fmt::format("write(2) of {} bytes of managed memory gave {}, errno {}; {}", size, written,
                    errno, context()));
  }
  if (pread(fileno(file_.get()), scratch_.get(), part.size, 0) == size)
    check_against(part, scratch_.get());
}

void Worker::count() {
  for (std::size_t times = random_.size_up_to(16); times > 0; --times) {
    const std::size_t number = random_.below(Model::counters);
    const std::uint64_t value = random_.below(1000);
    std::atomic_ref<std::uint64_t>(*model_.counter(number))
        .fetch_add(value, std::memory_order_relaxed);
    added_[number] += value;
  }
}

void Worker::read_constant() {
  if (model_.constants().empty()) return host_read();
  check(
      random_part(model_.constants()[random_.below(model_.constants().size())], 32 << 10, random_));
}

}  // namespace sluice::stress
