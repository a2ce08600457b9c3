// The file takes some MiB of addresses, and memory only for records that are used.
#include "face/kfd/transport/account_file.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include "os/report.hpp"

namespace sluice::kfd {

AccountFile::AccountFile(int gpus) : file_(::memfd_create(account_name, MFD_CLOEXEC)) {
  void* made = MAP_FAILED;
  if (file_.is_open() && ::ftruncate(file_.get(), account::bytes) == 0)
    made = ::mmap(nullptr, account::bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  if (made == MAP_FAILED) {
    os::report("no memory file can be made; `sluice kfd explain` finds nothing of this process");
    return;
  }
  bytes_ = static_cast<std::byte*>(made);
  account_.emplace(std::span(bytes_, account::bytes), gpus);
}

AccountFile::~AccountFile() {
  if (bytes_ != nullptr) (void)::munmap(bytes_, account::bytes);
}

}  // namespace sluice::kfd
