// The five kinds of host program of `sluice demo`. See demo/hosts.hpp.
//
// Nothing here helps Sluice: the handlers are the ones that break managed memory elsewhere,
// installed the way test frameworks and debuggers do it. If one of them is ever called, the demo
// fails (or dies, as that program would).

#include "demo/hosts.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <thread>

#include "base/types.hpp"
#include "guard_around.hpp"
#include "program/threads.hpp"
#include "report.hpp"

namespace sluice::tool {
namespace {

// Different for every device, so that leftovers of one device cannot pass for results of the next.
int expected(std::size_t index, int device) { return static_cast<int>(index) * 3 + device + 1; }

// Loads every element of both arrays. This is step 5: plain loads, with no call to Sluice before.
std::string compare(const Arrays& arrays, int device) {
  const std::span<const int> input = arrays.input.span();
  const std::span<const int> output = arrays.output.span();
  for (std::size_t i = 0; i < output.size(); ++i) {
    if (output[i] != expected(i, device)) {
      return fmt::format("output[{}] is {}, not {}", i, output[i], expected(i, device));
    }
    if (input[i] != expected(i, device)) {
      return fmt::format("input[{}] is {}, not {}", i, input[i], expected(i, device));
    }
  }
  return {};
}

// Grade signal detects accesses by SIGSEGV, which belongs to the program unless the guard keeps it.
std::string lacks_guard(const SpaceStatus& status) {
  if (status.grade > Grade::signal || guard_is_loaded()) return {};
  return fmt::format(
      "userfaultfd or the guard: in grade {} accesses are caught through SIGSEGV, which this "
      "program takes. `sluice run --guard` starts programs under the guard.",
      to_string(status.grade));
}

// --- 1 -------------------------------------------------------------------------------------------

class NoHandler : public Host {
 public:
  const char* title() const override { return "1. No handler"; }
  const char* elsewhere() const override {
    return "works: the driver answers the access in a SIGSEGV handler of its own";
  }
  const char* here() const override { return "every value is right, by plain loads"; }
  const char* meaning() const override {
    return "The host reads what the device wrote, by plain loads.";
  }
  std::string how_it_reads() const override { return "plain loads"; }
  std::string read_back(const Arrays& arrays, int device) override {
    return compare(arrays, device);
  }
};

// --- 2 and 3: a SIGSEGV handler of the program's own ---------------------------------------------

jmp_buf jump_buffer;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
volatile std::sig_atomic_t handler_called =
    0;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

extern "C" void jump_out(int) {
  handler_called = 1;
  longjmp(
      jump_buffer,
      1);  // NOLINT(bugprone-signal-handler,cert-err52-cpp): what the host program does is the point
}

extern "C" void give_up(int) {
  constexpr std::string_view last_words = "\ndemo: FAIL: the host's SIGSEGV handler was called\n";
  // A program that is about to abort has no use for the result.
  if (write(STDERR_FILENO, last_words.data(), last_words.size()) < 0) {
  }
  std::abort();
}

// A handler in place for as long as the object lives.
class SegvHandler {
 public:
  explicit SegvHandler(void (*handler)(int)) {
    struct sigaction action{};
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &before_);
  }
  ~SegvHandler() { sigaction(SIGSEGV, &before_, nullptr); }
  SegvHandler(const SegvHandler&) = delete;
  SegvHandler& operator=(const SegvHandler&) = delete;

 private:
  struct sigaction before_{};
};

class JumpingHandler : public Host {
 public:
  const char* title() const override { return "2. A SIGSEGV handler with longjmp"; }
  const char* elsewhere() const override {
    return "the program's handler gets the access fault, and the driver never sees it";
  }
  const char* here() const override {
    return "every value is right, and the handler was never called";
  }
  std::string lacks(const SpaceStatus& status) const override { return lacks_guard(status); }
  const char* meaning() const override {
    return "As test frameworks and debuggers install it. It must never be called.";
  }
  std::string how_it_reads() const override { return "plain loads, with the handler installed"; }
  std::string read_back(const Arrays& arrays, int device) override {
    const SegvHandler installed(jump_out);
    handler_called = 0;
    std::string wrong;
    compare_or_jump(arrays, device, wrong);
    return handler_called != 0 ? "the host's SIGSEGV handler was called" : wrong;
  }

 private:
  // A frame without destructors, as the landing place of a longjmp has to be.
  [[gnu::noinline]] static void compare_or_jump(const Arrays& arrays, int device,
                                                std::string& wrong) {
    if (setjmp(jump_buffer) == 0) wrong = compare(arrays, device);  // NOLINT(cert-err52-cpp)
  }
};

class AbortingHandler : public Host {
 public:
  const char* title() const override { return "3. A SIGSEGV handler that aborts"; }
  const char* elsewhere() const override { return "the program ends"; }
  const char* here() const override {
    return "every value is right, and the handler was never called";
  }
  std::string lacks(const SpaceStatus& status) const override { return lacks_guard(status); }
  const char* meaning() const override { return "One call of it would end this process."; }
  std::string how_it_reads() const override { return "plain loads, with the handler installed"; }
  std::string read_back(const Arrays& arrays, int device) override {
    const SegvHandler installed(give_up);
    return compare(arrays, device);
  }
};

// --- 4 -------------------------------------------------------------------------------------------

class MaskingHost : public Host {
 public:
  const char* title() const override { return "4. Every signal blocked"; }
  const char* elsewhere() const override {
    return "Linux kills the process: a fault whose signal is blocked cannot be delivered";
  }
  const char* here() const override { return "every value is right, also in a new thread"; }
  std::string lacks(const SpaceStatus& status) const override { return lacks_guard(status); }
  const char* meaning() const override {
    return "In the reading thread, and in a new one that inherits the mask: a blocked SIGSEGV "
           "kills at once.";
  }
  std::string how_it_reads() const override {
    return "plain loads of the output in a new thread, then of all in this one";
  }
  std::string read_back(const Arrays& arrays, int device) override {
    sigset_t every_signal;
    sigset_t before;
    sigfillset(&every_signal);
    pthread_sigmask(SIG_BLOCK, &every_signal, &before);
    std::string wrong;
    std::thread reader = program::start_thread([&] { wrong = compare(arrays, device); });
    reader.join();
    // The host stores too: a page that may be read is not yet one that may be written.
    for (int& value : arrays.output) value = -value;
    for (std::size_t i = 0; i < arrays.output.size() && wrong.empty(); ++i) {
      if (arrays.output[i] != -expected(i, device))
        wrong = fmt::format("the host's own store to output[{}] was lost", i);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return wrong;
  }
};

// --- 5: the kernel touches the memory ------------------------------------------------------------

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

// Calls read or write until all is done. Returns the problem, if any.
template <typename Call>
std::string transfer(const char* name, Call call, std::size_t size) {
  for (std::size_t done = 0; done < size;) {
    const ssize_t count = call(done);
    if (count < 0)
      return fmt::format("{}: {}", name, std::strerror(errno));  // NOLINT(concurrency-mt-unsafe)
    if (count == 0) return fmt::format("{} ended after {} of {} bytes", name, done, size);
    done += static_cast<std::size_t>(count);
  }
  return {};
}

class SystemCalls : public Host {
 public:
  const char* title() const override { return "5. The pointer given to read(2) and write(2)"; }
  const char* elsewhere() const override {
    return "EFAULT: Linux sends no signal for its own accesses";
  }
  const char* here() const override {
    return "every value is right: Linux itself read and wrote a device's memory";
  }
  const char* meaning() const override {
    return "The kernel itself stores to and loads from memory that lives on a device. No signal "
           "could repair that.";
  }
  std::string lacks(const SpaceStatus& status) const override {
    // The guard moves the buffers of these calls to the host first.
    if (status.grade == Grade::full || guard_is_loaded()) return {};
    return fmt::format(
        "grade full or the guard: in grade {} the kernel's own accesses get EFAULT. {}\n"
        "`sluice doctor` has the remedy; `sluice run --guard` starts programs under the guard.",
        to_string(status.grade), status.grade_reason);
  }
  std::string how_it_initialises() const override {
    return "the device takes the input, then read(2) fills it there from a file";
  }
  std::string how_it_reads() const override {
    return "write(2) from the device's memory into a file, then plain loads";
  }

  std::string initialise(const Space& space, const Arrays& arrays, int device) override {
    std::vector<int> content(arrays.input.size());
    for (std::size_t i = 0; i < content.size(); ++i) content[i] = expected(i, device);
    const std::size_t size = content.size() * sizeof(int);
    const File file(std::tmpfile());
    if (!file) return "no temporary file";
    std::string wrong = transfer(
        "write(2) of the file",
        [&](std::size_t done) {
          return pwrite(fileno(file.get()), reinterpret_cast<const char*>(content.data()) + done,
                        size - done, static_cast<off_t>(done));
        },
        size);
    if (!wrong.empty()) return wrong;

    if (std::string unmoved = make_resident(space, arrays.input, device); !unmoved.empty())
      return unmoved;
    char* input = reinterpret_cast<char*>(arrays.input.data());
    return transfer(
        "read(2) into the device's memory",
        [&](std::size_t done) {
          return pread(fileno(file.get()), input + done, size - done, static_cast<off_t>(done));
        },
        size);
  }

  std::string read_back(const Arrays& arrays, int device) override {
    const std::size_t size = arrays.output.size() * sizeof(int);
    const char* output = reinterpret_cast<const char*>(arrays.output.data());
    const File file(std::tmpfile());
    if (!file) return "no temporary file";
    std::string wrong = transfer(
        "write(2) from the device's memory",
        [&](std::size_t done) {
          return pwrite(fileno(file.get()), output + done, size - done, static_cast<off_t>(done));
        },
        size);
    if (!wrong.empty()) return wrong;

    std::vector<int> content(arrays.output.size());
    wrong = transfer(
        "read(2) of the file",
        [&](std::size_t done) {
          return pread(fileno(file.get()), reinterpret_cast<char*>(content.data()) + done,
                       size - done, static_cast<off_t>(done));
        },
        size);
    for (std::size_t i = 0; i < content.size() && wrong.empty(); ++i) {
      if (content[i] != expected(i, device))
        wrong = fmt::format("element {} of the file is {}", i, content[i]);
    }
    return wrong.empty() ? compare(arrays, device) : wrong;
  }

 private:
  // Puts other values there and moves them to the device; returns a complaint if they did not all
  // arrive there, or as many as fit.
  static std::string make_resident(const Space& space, const Buffer<int>& buffer, int device) {
    for (int& value : buffer) value = -1;
    const Fence moved = need("prefetch", space.prefetch(buffer, Location::device(device)));
    need("wait for the prefetch", moved.wait());
    const auto where =
        need("residency", space.residency(buffer.data(), buffer.size() * sizeof(int)));
    const std::size_t room = need("device", space.device(device)).memory_size / page_size;
    if (where.device[device] >= std::min(where.pages, room)) return {};
    return fmt::format("before read(2), device {} has {} of {} pages", device, where.device[device],
                       where.pages);
  }
};

}  // namespace

std::string Host::lacks(const SpaceStatus&) const { return {}; }

std::string Host::how_it_initialises() const { return "plain stores by the host"; }

std::string Host::initialise(const Space& /*space*/, const Arrays& arrays, int device) {
  for (std::size_t i = 0; i < arrays.input.size(); ++i) {
    arrays.input[i] = expected(i, device);
    arrays.output[i] = 0;
  }
  return {};
}

std::vector<std::unique_ptr<Host>> every_host() {
  std::vector<std::unique_ptr<Host>> hosts;
  hosts.push_back(std::make_unique<NoHandler>());
  hosts.push_back(std::make_unique<JumpingHandler>());
  hosts.push_back(std::make_unique<AbortingHandler>());
  hosts.push_back(std::make_unique<MaskingHost>());
  hosts.push_back(std::make_unique<SystemCalls>());
  return hosts;
}

}  // namespace sluice::tool
