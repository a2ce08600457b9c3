// Finds the memory files in /proc/PID/fd and reads them.
//
// Linux lets a process open the files of others of the same user only (PTRACE_MODE_READ,
// ptrace(2)), and those of root none but root. Whatever a process left there is not trusted: the
// page is copied by pread and checked, and a word that is mapped lies in a file that cannot shrink.
// Takes some 20 us for each process of the user. What it does not do: stop or slow the processes.
#include "top/space_finder.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>

#include "os/futex.hpp"

namespace sluice::tool::top {
namespace {

namespace files = std::filesystem;
using namespace std::chrono_literals;

constexpr std::size_t request_bytes = sizeof(observe::StatusRequest);
constexpr int most_tries = 20;

// As Linux shows a memory file.
std::string link_of(const char* name) { return "/memfd:" + std::string(name) + " (deleted)"; }

std::vector<pid_t> processes() {
  std::vector<pid_t> found;
  std::error_code none;
  for (const files::directory_entry& entry : files::directory_iterator("/proc", none)) {
    const std::string name = entry.path().filename();
    pid_t process = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), process);
    if (error == std::errc{} && *end == 0) found.push_back(process);
  }
  return found;
}

std::uint32_t number_of_space(const os::OwnedFd& page) {
  observe::StatusPage read{};
  return ::pread(page.get(), &read, sizeof read, 0) == sizeof read ? read.space : 0;
}

bool cannot_shrink(const os::OwnedFd& file) {
  struct stat status{};
  const int seals = ::fcntl(file.get(), F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_SHRINK) != 0 && ::fstat(file.get(), &status) == 0 &&
         status.st_size >= static_cast<off_t>(request_bytes);
}

}  // namespace

Source::Source(pid_t process, os::OwnedFd page, os::OwnedFd request) noexcept
    : process_(process), page_(std::move(page)), request_(std::move(request)) {
  if (!request_.is_open() || !cannot_shrink(request_)) return;
  void* const mapped =
      ::mmap(nullptr, request_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, request_.get(), 0);
  if (mapped != MAP_FAILED) mapped_ = static_cast<observe::StatusRequest*>(mapped);
}

Source::~Source() {
  if (mapped_ != nullptr) ::munmap(mapped_, request_bytes);
}

void Source::ask() noexcept {
  if (mapped_ == nullptr) return;
  asked_ = mapped_->count.fetch_add(1, std::memory_order_release) + 1;
  os::futex_wake_all(mapped_->count);
}

// Another reader may have asked since; the answer to it will do.
bool Source::has_answered() noexcept {
  Space space;
  return mapped_ == nullptr || !read(space) ||
         static_cast<std::int32_t>(static_cast<std::uint32_t>(space.page.answered) - asked_) >= 0;
}

bool Source::read(Space& space) noexcept {
  for (int tries = 0; tries < most_tries; ++tries) {
    observe::StatusPage page;
    std::uint32_t after = 0;
    if (::pread(page_.get(), &page, sizeof page, 0) != sizeof page) return false;
    const auto whole = observe::checked(page);
    if (::pread(page_.get(), &after, sizeof after, offsetof(observe::StatusPage, sequence)) !=
        sizeof after)
      return false;
    if (whole && after == page.sequence) {
      space.process = process_;
      space.page = *whole;
      return true;
    }
    std::this_thread::sleep_for(100us);
  }
  return false;
}

void SpaceFinder::find_in(pid_t process, std::map<Name, std::unique_ptr<Source>>& found) {
  const std::string page_link = link_of(observe::status_file_name);
  const std::string request_link = link_of(observe::request_file_name);
  const files::path folder = "/proc/" + std::to_string(process) + "/fd";
  // A space opens its two files one after the other, and closes them so.
  std::vector<std::pair<int, std::string>> pages;
  std::vector<std::string> requests;
  std::error_code none;
  for (files::directory_iterator entry(folder, none), end; !none && entry != end;
       entry.increment(none)) {
    std::error_code gone;
    const std::string link = files::read_symlink(entry->path(), gone);
    const std::string name = entry->path().filename();
    int number = 0;
    (void)std::from_chars(name.data(), name.data() + name.size(), number);
    if (link == page_link) pages.emplace_back(number, entry->path());
    if (link == request_link) requests.push_back(entry->path());
  }
  std::sort(pages.begin(), pages.end());
  for (const auto& [number, path] : pages) {
    os::OwnedFd page(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status{};
    if (!page.is_open() || ::fstat(page.get(), &status) != 0) continue;
    const Name name{status.st_dev, status.st_ino};
    if (found.contains(name)) continue;
    if (const auto known = sources_.find(name); known != sources_.end()) {
      found.insert(sources_.extract(known));
      continue;
    }
    os::OwnedFd request;
    const std::uint32_t space = number_of_space(page);
    for (const std::string& each : requests) {
      os::OwnedFd file(::open(each.c_str(), O_RDWR | O_CLOEXEC));
      std::uint32_t of_space = 0;
      if (file.is_open() &&
          ::pread(file.get(), &of_space, sizeof of_space,
                  offsetof(observe::StatusRequest, space)) == sizeof of_space &&
          of_space == space)
        request = std::move(file);
    }
    found.emplace(name, std::make_unique<Source>(process, std::move(page), std::move(request)));
  }
}

void SpaceFinder::find() {
  std::map<Name, std::unique_ptr<Source>> found;
  if (only_ != 0) {
    find_in(only_, found);
  } else {
    for (const pid_t process : processes()) find_in(process, found);
  }
  sources_ = std::move(found);
}

std::vector<Space> SpaceFinder::look() {
  find();
  for (const auto& [name, source] : sources_) source->ask();
  const auto until = std::chrono::steady_clock::now() + 200ms;
  std::vector<Space> spaces;
  for (const auto& [name, source] : sources_) {
    bool answered = source->has_answered();
    while (!answered && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(1ms);
      answered = source->has_answered();
    }
    Space space;
    if (!source->read(space)) continue;
    space.answers = answered && source->can_ask();
    spaces.push_back(space);
  }
  std::sort(spaces.begin(), spaces.end(), [](const Space& a, const Space& b) {
    return std::tie(a.process, a.page.space) < std::tie(b.process, b.page.space);
  });
  return spaces;
}

}  // namespace sluice::tool::top
