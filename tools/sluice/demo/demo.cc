// sluice demo: the five steps that break managed memory in drivers, done on two devices by five
// kinds of host program.
//
// The steps: allocate, initialise on the host, prefetch to the device, run a kernel, read on the
// host directly. In drivers the last step is a page fault that looks like a crash, so it fails as
// soon as the program handles SIGSEGV itself, blocks signals, or lets the kernel touch the memory.
// Here each of these programs really runs: the handler is installed, the signals are blocked, a
// real file is read into memory that lives on a device. And every value is compared.
//
// If the data is larger than a device's memory (--data, --device-memory), the kernel reaches it in
// place; nothing else differs.
//
// Takes a second or two. It does not measure anything; `sluice bench` does.

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "beside.hpp"
#include "demo/hosts.hpp"
#include "demo/narrator.hpp"
#include "guard_around.hpp"
#include "option_values.hpp"
#include "os/machine.hpp"
#include "report.hpp"
#include "sluice/sluice.hpp"
#include "sluice/soft_kernels_builtin.h"
#include "verb.hpp"

namespace sluice::tool {
namespace {

constexpr int devices = 2;

struct Options {
  bool json = false;
  bool verbose = false;
  Grade best_grade = Grade::full;
  std::size_t data = std::size_t{2} << 20;  // bytes of both arrays
  std::size_t device_memory = SoftwareDevices{}.memory_size;

  [[nodiscard]] std::size_t elements() const { return data / 2 / sizeof(int); }  // of each array
};

// The five steps on one device. `host` initialises and reads; everything between is the same for
// every host. Returns a description of the error, or an empty string.
std::string five_steps(const Space& space, Host& host, const Arrays& arrays, int device,
                       Narrator& tell) {
  const Queue queue = need("queue", space.queue(device));
  const Kernel copy = need("kernel", queue.kernel("copy"));
  const auto step = [&](int number, const std::string& what) {
    tell.step(number, what, arrays.input.range(), arrays.output.range());
  };
  step(1, device == 0
              ? fmt::format("allocate: two ranges of {}, one address each for the host and every "
                            "device",
                            bytes_in_words(arrays.input.size() * sizeof(int)))
              : "allocate: done before; the same two addresses serve this device too");

  if (std::string wrong = host.initialise(space, arrays, device); !wrong.empty()) return wrong;
  step(2, "initialise: " + host.how_it_initialises());

  const Fence moved = need("prefetch", space.prefetch(arrays.input, Location::device(device)));
  need("wait for the prefetch", moved.wait());
  step(3, "prefetch the input to the device: the host's rights are gone, and it need not care");

  const Fence copied =
      need("launch", queue.launch(copy)
                         .reads(arrays.input)
                         .writes(arrays.output)
                         .arguments(sluice_soft_copy{arrays.output.data(), arrays.input.data()})
                         .items(arrays.input.size() * sizeof(int))
                         .submit());
  need("wait for the kernel", copied.wait());
  step(4, "run the kernel: output[i] = input[i]");

  const std::string wrong = host.read_back(arrays, device);
  step(5, "read: " + host.how_it_reads());
  return wrong;
}

enum class Outcome { right, wrong, lacking };

// One kind of host program, on each device in turn with the same two ranges: the second device
// takes over from the first.
Outcome play(const Space& space, std::size_t elements, Host& host, Narrator& tell) {
  tell.scenario(host);
  if (const std::string what = host.lacks(space.status()); !what.empty()) {
    tell.lacking(what);
    return Outcome::lacking;
  }
  const Arrays arrays{need("allocate the input", space.buffer<int>(elements)),
                      need("allocate the output", space.buffer<int>(elements))};
  std::string wrong;
  for (int device = 0; device < devices && wrong.empty(); ++device) {
    tell.device(device);
    wrong = five_steps(space, host, arrays, device, tell);
  }
  tell.verdict(wrong);
  return wrong.empty() ? Outcome::right : Outcome::wrong;
}

// Below grade full the guard makes up for the grade's limits: it keeps SIGSEGV for the engine, and
// moves the buffers of system calls to the host. So the demo runs under it, if it is installed. The
// process stays the same.
void continue_under_guard(const Options& options) {
  const Grade grade = std::min(os::inspect_fault_delivery().best, options.best_grade);
  if (grade == Grade::full || guard_is_loaded() || guard_is_asked_for()) return;
  try {
    put_guard_around();
  } catch (const CannotRun&) {
    return;  // each kind of host program then reports what is missing
  }
  const std::string program = this_program().string();
  const std::string name(to_string(options.best_grade));
  const std::string data = std::to_string(options.data);
  const std::string memory = std::to_string(options.device_memory);
  std::vector<const char*> arguments{program.c_str(),   "demo",        "--grade",
                                     name.c_str(),      "--data",      data.c_str(),
                                     "--device-memory", memory.c_str()};
  if (options.json) arguments.push_back("--json");
  if (options.verbose) arguments.push_back("--verbose");
  arguments.push_back(nullptr);
  ::execv(program.c_str(), const_cast<char* const*>(arguments.data()));
}

Exit run_demo(const Options& options) {
  continue_under_guard(options);
  SpaceOptions space_options;
  space_options.software.count = devices;
  space_options.software.memory_size = options.device_memory;
  space_options.best_grade = options.best_grade;
  space_options.strict = Strict::report;  // the demo is an example of correct launches
  const Space space = need("open a space with two software devices", Space::open(space_options));

  Narrator tell(space, options.json      ? Story::json
                       : options.verbose ? Story::verbose
                                         : Story::brief);
  tell.opening();
  int wrong = 0;
  int lacking = 0;
  for (const std::unique_ptr<Host>& host : every_host()) {
    const Outcome outcome = play(space, options.elements(), *host, tell);
    wrong += outcome == Outcome::wrong ? 1 : 0;
    lacking += outcome == Outcome::lacking ? 1 : 0;
  }
  if (wrong != 0)
    tell.conclusion(fmt::format("FAIL: {} of 5 kinds of host program did not get through", wrong));
  else if (lacking != 0)
    tell.conclusion(fmt::format(
        "PASS in grade {}: {} of 5 kinds of host program got through, and {} would need more than "
        "this grade",
        to_string(space.status().grade), 5 - lacking, lacking));
  else
    tell.conclusion("PASS");
  return wrong == 0 ? Exit::good : Exit::found_wrong;
}

}  // namespace

void add_demo(CLI::App& app, Run& chosen) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("demo",
                                      "Watch managed memory move between the host and two software "
                                      "devices, while the host program has no signal handler,\n"
                                      "handles SIGSEGV itself with longjmp, aborts on SIGSEGV, "
                                      "blocks every signal, or gives the pointer to read(2) and "
                                      "write(2).");
  verb->add_flag("--verbose", options->verbose,
                 "Tell every step, and where the pages are after it");
  verb->add_flag("--json", options->json, "Print one JSON document instead of the story");
  add_grade(*verb, "--grade", options->best_grade, "Use no better grade than this");
  add_size(*verb, "--data", options->data, 2 * page_size, std::size_t{64} << 30,
           "Bytes of the two arrays together");
  add_size(*verb, "--device-memory", options->device_memory, block_size, std::size_t{64} << 30,
           "Bytes of each device's memory, a multiple of 2 MiB; what does not fit stays in host "
           "memory, where the kernel uses it");
  verb->footer(
      "Ends with `demo: PASS` and the status 0 if every value was right. Below grade full it runs "
      "itself under the guard; a kind of host program that needs more than there is says so.\n"
      "Examples:\n"
      "  sluice demo                 the story in some twenty lines\n"
      "  sluice demo --verbose       and at length\n"
      "  sluice demo --grade user    without the right to catch the kernel's accesses\n"
      "  sluice demo --grade signal  without userfaultfd\n"
      "  sluice demo --data 8MiB --device-memory 2MiB   more data than the device holds\n"
      "  sluice demo --json | jq .demo");
  verb->callback([options, &chosen] { chosen = [options] { return run_demo(*options); }; });
}

}  // namespace sluice::tool
