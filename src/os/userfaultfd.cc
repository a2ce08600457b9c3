// Opens userfaultfd in the best grade on offer and wraps its calls.
//
// Each call on a fault's path is one ioctl of 0.3 us plus the kernel's work (0.06 us a page for
// map_existing). The kernel's abilities are queried at run time, not taken from the headers of the
// build.
#include "os/userfaultfd.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>

#include "os/address_window.hpp"
#include "os/calls.hpp"
#include "os/errors.hpp"
#include "os/memory_file.hpp"
#include "os/memory_shortage.hpp"
#include "os/new_descriptors.hpp"

// Newer than some distributions' headers.
#ifndef UFFDIO_CONTINUE_MODE_WP
#define UFFDIO_CONTINUE_MODE_WP (static_cast<__u64>(1) << 1)  // Linux 6.4
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)  // Linux 6.1
#endif

namespace sluice::os {
namespace {

constexpr const char* device_path = "/dev/userfaultfd";
constexpr int open_flags = O_CLOEXEC | O_NONBLOCK;  // a blocking descriptor polls as an error

constexpr std::uint64_t needed_features =
    UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_THREAD_ID;
constexpr std::uint64_t wanted_features =
    needed_features | UFFD_FEATURE_MINOR_HUGETLBFS | UFFD_FEATURE_MISSING_HUGETLBFS |
    UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_EXACT_ADDRESS;

int control(int file, unsigned long request, void* argument) noexcept {
  return calls().ioctl(file, request, argument) == 0 ? 0 : errno;
}

// The same for a request that may need memory for page tables, or for a page that was swapped out.
int control_with_memory(int file, unsigned long request, void* argument) noexcept {
  MemoryShortage shortage;
  int error = 0;
  do error = control(file, request, argument);
  while (error == ENOMEM && shortage.wait());
  return error;
}

uffdio_range range_of(AddressSpan span) noexcept {
  return {.start = span.begin.value, .len = span.size};
}

// Descriptors or negated errnos.
int open_through_device() noexcept {
  const OwnedFd device(calls().open(device_path, O_RDWR | O_CLOEXEC));
  if (!device.is_open()) return -errno;
  const int file =
      calls().ioctl(device.get(), USERFAULTFD_IOC_NEW, reinterpret_cast<void*>(open_flags));
  return file >= 0 ? file : -errno;
}
int open_through_call(int flags) noexcept {
  const int file = calls().userfaultfd(flags);
  return file >= 0 ? file : -errno;
}

struct OpenAttempt {
  OwnedFd file;
  Grade grade = Grade::none;
  int device_error = 0;
  int call_error = 0;
  int user_error = 0;
};

OpenAttempt open_best(Grade best) noexcept {
  const NewDescriptors making;
  OpenAttempt result;
  const auto accept = [&result](int file, Grade grade) {
    if (file < 0) return false;
    result.file = OwnedFd(file);
    result.user_error = errno;  // where there is no descriptor above 2 for it
    result.grade = grade;
    return true;
  };
  if (best == Grade::full) {
    const int by_device = open_through_device();
    if (accept(by_device, Grade::full)) return result;
    result.device_error = -by_device;
    const int by_call = open_through_call(open_flags);
    if (accept(by_call, Grade::full)) return result;
    result.call_error = -by_call;
  }
  const int by_user_call = open_through_call(open_flags | UFFD_USER_MODE_ONLY);
  if (!accept(by_user_call, Grade::user)) result.user_error = -by_user_call;
  return result;
}

std::string reason_for(const OpenAttempt& opened, Grade best) {
  if (opened.grade == Grade::full) return {};
  if (best != Grade::full) return "limited to grade user by the options";
  return std::string(device_path) + ": " + errno_name(opened.device_error) +
         ", userfaultfd(2): " + errno_name(opened.call_error) +
         "; read(2) and write(2) on device-resident memory get EFAULT. Remedy: `sysctl "
         "vm.unprivileged_userfaultfd=1`, or "
         "read and write permission on /dev/userfaultfd, or CAP_SYS_PTRACE";
}

tl::unexpected<Error> none_opened(int error) noexcept {
  if (error == ENOSYS || error == EPERM)
    return fail(
        ErrorCode::unsupported,
        "userfaultfd(2): %s: this kernel has none, or a sandbox (container seccomp profile, "
        "gVisor) forbids it. Remedy: "
        "a kernel with CONFIG_USERFAULTFD; allow the call `userfaultfd` in the seccomp profile",
        errno_name(error));
  return call_failed(error, "userfaultfd(2)");
}

// One mapped page of a memory file, to try a feature on.
class TrialPage {
 public:
  TrialPage() noexcept {
    auto made = make_memory_file("sluice trial", page_size);
    if (!made) return;
    file_ = std::move(*made);
    void* const view =
        calls().mmap(nullptr, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    if (view != MAP_FAILED) span_ = {Address::of(view), page_size};
  }
  TrialPage(const TrialPage&) = delete;
  TrialPage& operator=(const TrialPage&) = delete;
  ~TrialPage() {
    if (span_.size != 0) calls().munmap(pointer_for_call(span_.begin), span_.size);
  }
  [[nodiscard]] AddressSpan span() const noexcept { return span_; }

 private:
  OwnedFd file_;
  AddressSpan span_;
};

}  // namespace

Result<Userfaultfd> Userfaultfd::open(Grade best) {
  // A descriptor's features are chosen once, so a first one is opened to query them.
  OpenAttempt asked = open_best(best);
  if (!asked.file.is_open()) return none_opened(asked.user_error);
  uffdio_api api = {.api = UFFD_API, .features = 0, .ioctls = 0};
  if (const int error = control(asked.file.get(), UFFDIO_API, &api); error != 0)
    return call_failed(error, "ioctl UFFDIO_API to ask for the features of userfaultfd");
  if ((api.features & needed_features) != needed_features)
    return fail(
        ErrorCode::unsupported,
        "userfaultfd lacks minor faults on memory files (features %#llx); Linux 5.14 has them",
        static_cast<unsigned long long>(api.features));

  Userfaultfd result;
  OpenAttempt opened = open_best(best);
  if (!opened.file.is_open()) return none_opened(opened.user_error);
  result.file_ = std::move(opened.file);
  result.grade_ = opened.grade;
  result.reason_ = reason_for(opened, best);
  result.features_ = api.features;
  SLUICE_TRY(result.agree_on_features());
  return result;
}

Result<void> Userfaultfd::agree_on_features() {
  uffdio_api api = {.api = UFFD_API, .features = features_ & wanted_features, .ioctls = 0};
  if (const int error = control(file(), UFFDIO_API, &api); error != 0)
    return call_failed(error, "ioctl UFFDIO_API to agree on the features of userfaultfd");
  can_share_ = (features_ & UFFD_FEATURE_WP_HUGETLBFS_SHMEM) != 0;
  can_share_ = can_share_ && try_sharing();
  return {};
}

// No feature bit reports UFFDIO_CONTINUE_MODE_WP. Tried on a page that does not exist, the answer
// is EFAULT where the mode is known and EINVAL where it is not.
bool Userfaultfd::try_sharing() const {
  const TrialPage page;
  if (page.span().size == 0 || !add(page.span())) return false;
  const Progress progress = map_existing(page.span(), true);
  remove(page.span());
  return progress.error == EFAULT;
}

Result<void> Userfaultfd::add(AddressSpan view) const {
  uffdio_register request = {.range = range_of(view),
                             .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR,
                             .ioctls = 0};
  if (can_share_) request.mode |= UFFDIO_REGISTER_MODE_WP;
  if (const int error = control(file(), UFFDIO_REGISTER, &request); error != 0) {
    if (error == EBUSY)
      return fail(ErrorCode::busy,
                  "[%#zx, +%zu bytes) is already watched by another userfaultfd of this process",
                  static_cast<std::size_t>(view.begin.value), view.size);
    return call_failed(error, "ioctl UFFDIO_REGISTER to watch", view);
  }
  if ((request.ioctls & 1ULL << _UFFDIO_CONTINUE) != 0) return {};
  remove(view);
  return fail(ErrorCode::unsupported,
              "this kernel cannot answer minor faults in [%#zx, +%zu bytes)",
              static_cast<std::size_t>(view.begin.value), view.size);
}

// Older kernels wake only waiters for missing pages when a mapping is unregistered; the others
// would sleep for ever.
void Userfaultfd::remove(AddressSpan view) const noexcept {
  uffdio_range range = range_of(view);
  (void)control(file(), UFFDIO_UNREGISTER,
                &range);  // fails only for what the program unmapped itself
  wake(view);
}

Userfaultfd::Progress Userfaultfd::map_existing(AddressSpan span,
                                                bool write_protected) const noexcept {
  uffdio_continue request = {
      .range = range_of(span), .mode = UFFDIO_CONTINUE_MODE_DONTWAKE, .mapped = 0};
  if (write_protected) request.mode |= UFFDIO_CONTINUE_MODE_WP;
  const int error = control_with_memory(file(), UFFDIO_CONTINUE, &request);
  if (error == 0) return {span.size, 0};
  return {request.mapped > 0 ? static_cast<std::size_t>(request.mapped) : 0, error};
}

int Userfaultfd::write_protect(AddressSpan span, bool protect) const noexcept {
  // Protecting wakes no thread anyway, and the kernel refuses the flag there.
  uffdio_writeprotect request = {
      .range = range_of(span),
      .mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : UFFDIO_WRITEPROTECT_MODE_DONTWAKE,
  };
  int error = EAGAIN;
  while (error == EAGAIN) error = control_with_memory(file(), UFFDIO_WRITEPROTECT, &request);
  return error;
}

void Userfaultfd::wake(AddressSpan span) const noexcept {
  uffdio_range range = range_of(span);
  (void)control(file(), UFFDIO_WAKE, &range);
}

Userfaultfd::Read Userfaultfd::read(std::span<uffd_msg> messages) const noexcept {
  const ssize_t bytes = calls().read(file(), messages.data(), messages.size_bytes());
  if (bytes >= 0) return {static_cast<std::size_t>(bytes) / sizeof(uffd_msg), 0};
  return {0, errno == EAGAIN || errno == EINTR ? 0 : errno};
}

}  // namespace sluice::os
