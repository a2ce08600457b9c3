// AccountFile: the account of this process's memory of GPUs, in a memory file of its own.
//
// Only the owner's other processes, and root, can open it: by /proc. It goes with the process,
// however that ends.
#pragma once

#include <cstddef>
#include <optional>

#include "face/kfd/account/account.hpp"
#include "os/owned_fd.hpp"

namespace sluice::kfd {

class AccountFile {
 public:
  // Tells on stderr if there can be none; then nothing is noted.
  explicit AccountFile(int gpus);
  AccountFile(const AccountFile&) = delete;
  AccountFile& operator=(const AccountFile&) = delete;
  ~AccountFile();

  void count_call(bool is_map) noexcept {
    if (account_) account_->count_call(is_map);
  }
  void note(std::uint64_t handle, const Buffer* buffer) noexcept {
    if (account_) account_->note(handle, buffer);
  }

 private:
  os::OwnedFd file_;
  std::byte* bytes_ = nullptr;
  std::optional<Account> account_;
};

}  // namespace sluice::kfd
