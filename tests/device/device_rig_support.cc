#include "device/device_rig.hpp"

#include <sys/mman.h>
#include <unistd.h>

namespace sluice::device::testing {

void RecordingSink::device_lost(int device, const Error& why) noexcept {
  add({Event::Kind::lost, device, 0, {}, Access::read, std::string(why.detail())});
}

void RecordingSink::device_access_fault(int device, std::uint32_t fault, Address address,
                                        Access access) noexcept {
  add({Event::Kind::access_fault, device, fault, address, access, {}});
}

void RecordingSink::device_fatal_fault(int device, Fence /*launch*/, Address address, Access access,
                                       const Error& report) noexcept {
  add({Event::Kind::fatal_fault, device, 0, address, access, std::string(report.detail())});
}

void RecordingSink::on_access_fault(std::function<void(const Event&)> answer) {
  const std::lock_guard lock(mutex_);
  answer_ = std::move(answer);
}

void RecordingSink::add(Event event) {
  std::function<void(const Event&)> answer;
  {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
    if (event.kind == Event::Kind::access_fault) answer = answer_;
    changed_.notify_all();
  }
  if (answer) answer(event);
}

RecordingSink::Event RecordingSink::await(Event::Kind kind) {
  std::unique_lock lock(mutex_);
  const Event* found = nullptr;
  const bool came = changed_.wait_for(lock, patience, [&] {
    for (const Event& event : events_) {
      if (event.kind == kind) found = &event;
      if (found != nullptr) return true;
    }
    return false;
  });
  if (!came) throw std::runtime_error("an expected event did not come");
  return *found;
}

std::size_t RecordingSink::count(Event::Kind kind) const {
  const std::lock_guard lock(mutex_);
  std::size_t count = 0;
  for (const Event& event : events_) count += event.kind == kind ? 1 : 0;
  return count;
}

HostArea::HostArea() {
  constexpr std::size_t size = std::size_t{8} << 30;
  window_.emplace(GET(os::AddressWindow::reserve(size, size)));
  memory_.window = window_->span();
  memory_.file = memfd_create("host-area", MFD_CLOEXEC);
  if (memory_.file < 0 || ftruncate(memory_.file, static_cast<off_t>(size)) != 0)
    throw std::runtime_error("memfd");
  void* alias =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory_.file, 0);
  if (alias == MAP_FAILED) throw std::runtime_error("mmap");
  memory_.alias = static_cast<std::byte*>(alias);
}

HostArea::~HostArea() {
  munmap(memory_.alias, memory_.window.size);
  close(memory_.file);
}

}  // namespace sluice::device::testing
