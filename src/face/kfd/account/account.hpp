// Account: what a process has of the GPUs' memory, laid out so that another process can read it at
// any moment: `sluice kfd explain` does.
//
// The bytes are a memory file of the process, so they end with it. A reader sees each buffer as it
// was at one moment, and trusts nothing that it reads.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "face/kfd/uapi/memory.hpp"

namespace sluice::kfd {

// The memory file's name, by which a reader finds it among the descriptors of a process.
inline constexpr const char* account_name = "sluice-kfd-account";

struct BufferFacts {
  std::uint64_t handle = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  std::uint64_t mapped_on = 0;  // a bit for each GPU
  std::uint32_t flags = 0;
  std::uint32_t gpu = 0;
  std::uint32_t map_error = 0;  // of the last MAP: its errno, and how far it came
  std::uint32_t n_success = 0;
  std::uint32_t n_devices = 0;  // 0: there was none
  std::uint32_t refused_frees = 0;
  std::uint64_t is_in_gtt = 0;  // 1: VRAM whose place another client needed

  // FREE was refused, and the buffer is still there.
  [[nodiscard]] bool leaks() const noexcept { return refused_frees != 0; }
  // A MAP came only part of the way, so FREE will be refused unless that part is unmapped.
  [[nodiscard]] bool would_leak() const noexcept { return map_error != 0 && mapped_on != 0; }
};

namespace account {

inline constexpr std::uint64_t magic = 0x31'64'66'6b'65'63'75'6c;  // "lucekfd1"
inline constexpr std::size_t words_of_facts = sizeof(BufferFacts) / sizeof(std::uint64_t);
using Word = std::atomic<std::uint64_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == sizeof(std::uint64_t));

struct Header {
  Word magic, gpus;
  Word records;   // that have ever been used
  Word left_out;  // buffers for which there was no room
  Word calls, map_calls;
};
struct Record {
  Word version;  // odd: it is being written
  std::array<Word, words_of_facts> facts;
};

inline constexpr std::size_t most_records = 65'535;
inline constexpr std::size_t bytes = sizeof(Header) + most_records * sizeof(Record);

}  // namespace account

class Account {
 public:
  // `bytes` are zeros and stay as long as the account.
  Account(std::span<std::byte> bytes, int gpus) noexcept;

  void count_call(bool is_map) noexcept;
  // The buffer as it is now; null: it is gone. Without memory it is left out, which is told.
  void note(std::uint64_t handle, const Buffer* buffer) noexcept;

 private:
  [[nodiscard]] std::size_t place_of(std::uint64_t handle);
  void write(std::size_t place, const BufferFacts& facts) noexcept;
  void forget(std::uint64_t handle);

  account::Header* header_;
  std::span<account::Record> records_;
  std::map<std::uint64_t, std::size_t> places_;  // by handle
  std::set<std::size_t> free_;                   // below header_->records
  std::set<std::uint64_t> left_out_;             // handles
  std::uint64_t unrecorded_ = 0;                 // changes for which there was no memory
};

struct AccountFacts {
  int gpus = 0;
  std::uint64_t calls = 0;  // of /dev/kfd
  std::uint64_t map_calls = 0;
  std::vector<BufferFacts> buffers;  // by handle
  std::uint64_t left_out = 0;
};
// invalid_argument: the bytes are no account.
[[nodiscard]] Result<AccountFacts> read_account(std::span<const std::byte> bytes);

}  // namespace sluice::kfd
