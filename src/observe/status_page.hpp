// StatusPage: a space's state as other processes of the same user may read it (`sluice top`).
//
// The page is a memory file that the space's process holds open. Its readers find it by its name in
// /proc/PID/fd, so nothing is left behind by a process that ends in whatever way. Its mode lets
// only the owner and root open it, and only for reading. The process refreshes it when a reader
// asks: by a word in a second file. docs/observe.md, "Watching".
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "sluice/counters.hpp"
#include "sluice/location.hpp"

namespace sluice::observe {

inline constexpr const char* status_file_name = "sluice-status";
inline constexpr const char* request_file_name = "sluice-status-request";

// Bytes of a text, the zero at its end included. Texts are plain (base/plain_text.hpp).
template <std::size_t Size>
using StatusText = std::array<char, Size>;

struct DeviceStatusEntry {
  StatusText<48> name;
  std::uint64_t budget;    // bytes
  std::uint64_t in_use;    // bytes
  std::uint64_t resident;  // bytes of live ranges with a copy there
  std::uint32_t lost;      // 0 or 1
  std::uint32_t unused;
};

struct RangeStatusEntry {
  StatusText<64> name;
  std::uint64_t number;   // of the space's ranges; never used twice
  std::uint64_t address;  // of its first byte
  std::uint64_t size;     // bytes
  std::uint64_t faults;   // host accesses that had to be answered
  std::uint64_t to_host;  // bytes
  std::uint64_t to_devices;
};

// Plain words at fixed places, so that 64-bit programs of other compilers may read it. A change of
// the layout changes `current`.
struct StatusPage {
  static constexpr std::uint32_t magic_word = 0x50434c53;  // "SLCP"
  static constexpr std::uint32_t current = 1;
  static constexpr std::size_t most_ranges = 12;

  std::uint32_t magic;
  std::uint32_t version;
  std::uint32_t sequence;  // odd while the page is being written
  std::uint32_t space;     // number within the process, from 1
  std::uint64_t answered;  // the last request that was answered
  std::uint64_t time;      // of the answer: ns on CLOCK_MONOTONIC
  std::uint64_t opened;    // of the space
  StatusText<64> program;
  StatusText<16> grade;
  std::uint64_t ranges;       // live ones
  std::uint64_t range_bytes;  // of them
  std::uint64_t host_budget;  // bytes; 0: none
  std::uint64_t host_resident;
  Counters counters;
  std::uint32_t device_count;   // at most max_devices
  std::uint32_t listed_ranges;  // at most most_ranges
  std::array<DeviceStatusEntry, max_devices> devices;
  // Those for which most was done since the last answer, then since they were made.
  std::array<RangeStatusEntry, most_ranges> worst;
};

// The second file: a reader adds one to the count and wakes those that wait on it (futex(2)).
struct StatusRequest {
  std::atomic<std::uint32_t> count;
  std::uint32_t space;  // as in the page
};

// A whole page, with counts in their limits and texts that end and are plain, from what another
// process, which is not trusted, left there. Nothing: it is no page, or it is being written.
[[nodiscard]] std::optional<StatusPage> checked(const StatusPage& read) noexcept;

}  // namespace sluice::observe
