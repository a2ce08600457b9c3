// sluice run: sets up the environment that a program needs, and becomes that program.
//
// --guard preloads libsluice-guard.so, which keeps a driver's SIGSEGV handler (or Sluice's own, in
// grade signal) in front of the program's. UCX replaces the handler of SIGSEGV when it is loaded,
// unless it is told not to; Catch2 and doctest set theirs for each test, which the guard takes care
// of. --opencl puts libsluice-opencl.so, a layer of OpenCL's loader, in front of all drivers, and
// the guard too where userfaultfd is refused; --opencl-preload does it for loaders without layers.
// --cuda puts libsluice-cuda.so before NVIDIA's driver. --kfd preloads libsluice-kfd.so, which is
// AMD's kernel driver with software GPUs to the program. --trace makes every space write its events
// to a file. `sluice trace` is `sluice run --trace`, with a name for the file.
//
// --strict makes software GPUs reach only the memory that each launch names, and reports every
// other access (docs/strict.md).
//
// There is no process in between: the program has sluice's process id, its terminal, its signals
// and its exit status.

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "beside.hpp"
#include "cuda_front.hpp"
#include "guard_around.hpp"
#include "kfd_tree.hpp"
#include "os/environment.hpp"
#include "os/machine.hpp"
#include "report.hpp"
#include "verb.hpp"

namespace sluice::tool {
namespace {

constexpr const char* default_trace = "sluice.%p.json";

struct Options {
  bool guard = false;
  bool first = false;
  bool opencl = false;
  bool opencl_preload = false;
  bool cuda = false;
  std::string kfd;
  std::string trace;
  std::string strict;
  std::vector<std::string> drivers;
  std::vector<std::string> program;
};

// NOLINTBEGIN(concurrency-mt-unsafe): there is one thread

// The layer promises shared memory below any handler; where accesses can only be caught by SIGSEGV,
// or SLUICE_GRADE allows the layer no better, that takes the guard.
bool needs_guard() {
  const char* const best = os::environment("SLUICE_GRADE");
  return (best != nullptr && best == to_string(Grade::signal)) ||
         os::inspect_fault_delivery().best <= Grade::signal;
}

// The program would go on without a trace, so a path that cannot be written is reported now.
void expect_place_for(const std::filesystem::path& trace) {
  std::error_code none;
  const std::filesystem::file_status there = std::filesystem::status(trace, none);
  const bool is_new = !std::filesystem::exists(there) || std::filesystem::is_regular_file(there);
  const std::filesystem::path folder = trace.has_parent_path() ? trace.parent_path() : ".";
  errno = EISDIR;
  if (!std::filesystem::is_directory(there) &&
      ::access((is_new ? folder : trace).c_str(), W_OK) == 0)
    return;
  throw CannotRun(
      fmt::format("no trace can be written to {}: {}", trace.string(), std::strerror(errno)));
}

Exit run_program(const Options& options) {
  const bool opencl = options.opencl || options.opencl_preload;
  if (options.opencl_preload) put_before("LD_PRELOAD", library_beside("sluice-opencl").c_str());
  if (options.guard || (opencl && needs_guard())) {
    put_guard_around();
    for (const std::string& driver : options.drivers)
      put_before("SLUICE_GUARD_DRIVERS", driver.c_str());
    if (options.first) ::setenv("SLUICE_GUARD_FIRST", "1", 1);
  }
  if (options.opencl) put_before("OPENCL_LAYERS", library_beside("sluice-opencl").c_str());
  if (options.cuda) {
    const std::filesystem::path driver = find_cuda_driver();
    const std::filesystem::path face = library_beside("sluice-cuda");
    // By itself too: as a need of the front it would come after the program's own libraries.
    put_before("LD_PRELOAD", face.c_str());
    put_before("LD_PRELOAD", make_cuda_front(face, driver).c_str());
    ::setenv("SLUICE_CUDA_DRIVER", driver.c_str(), 1);
  }
  if (!options.kfd.empty()) {
    ::setenv("SLUICE_KFD_TREE", make_kfd_tree(options.kfd).c_str(), 1);
    ::setenv("SLUICE_KFD", options.kfd.c_str(), 1);
    put_before("LD_PRELOAD", library_beside("sluice-kfd").c_str());
  }
  if (!options.trace.empty()) {
    expect_place_for(options.trace);
    ::setenv("SLUICE_TRACE", options.trace.c_str(), 1);
  }
  if (!options.strict.empty()) ::setenv("SLUICE_STRICT", options.strict.c_str(), 1);
  std::vector<char*> arguments;
  arguments.reserve(options.program.size() + 1);
  for (const std::string& word : options.program)
    arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::signal(SIGPIPE, SIG_DFL);  // as it was before main() ignored it
  ::execvp(arguments[0], arguments.data());
  throw CannotRun(fmt::format("cannot start {}: {}", options.program[0], std::strerror(errno)));
}

// NOLINTEND(concurrency-mt-unsafe)

void add_options(CLI::App* verb, const std::shared_ptr<Options>& options) {
  verb->add_flag("--guard", options->guard,
                 "Keep the driver's SIGSEGV handler in front, whatever the program sets");
  verb->add_option("--driver", options->drivers,
                   "With --guard: a library that sets a driver's SIGSEGV handler, by the beginning "
                   "of its file's name (Intel's are known)");
  verb->add_flag("--first", options->first,
                 "With --guard: the first SIGSEGV handler with SA_SIGINFO is the driver's");
  verb->add_flag("--opencl", options->opencl,
                 "Give every OpenCL driver unified shared memory (docs/opencl.md)");
  verb->add_flag("--opencl-preload", options->opencl_preload,
                 "The same where OpenCL's loader knows no layers");
  verb->add_flag("--cuda", options->cuda,
                 "Put Sluice's managed memory in the place of the CUDA driver's "
                 "(docs/cuda-programs.md)");
  verb->add_flag("--kfd{1}", options->kfd,
                 "Show AMD's user space software GPUs behind /dev/kfd: --kfd=4, or "
                 "--kfd=gpus=4,chip=gfx942,... (docs/kfd.md)");
  verb->add_option(
          "--trace", options->trace,
          "Write each space's events to this file while they happen; %p is the process id. A file "
          "that exists is kept: the trace then goes to FILE.PID, and stderr says so")
      ->type_name("FILE");
  verb->add_flag("--strict{report}", options->strict,
                 "Tell of every access of a kernel that its launch does not name, on software "
                 "GPUs; --strict=stop "
                 "ends the kernel too, --strict=report lets it go on (docs/strict.md)")
      ->check(CLI::IsMember({"report", "stop"}));
  verb->add_option("program", options->program, "The program and its arguments, after --")
      ->required()
      ->expected(1, -1);
}

}  // namespace

void add_run(CLI::App& app, Run& chosen) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("run",
                                      "Start a program with the guard around it, an OpenCL layer "
                                      "or managed memory for CUDA below it, its trace on, or in "
                                      "strict mode.");
  add_options(verb, options);
  verb->footer(
      "The program's own exit status; 3 when it could not be started.\n"
      "Examples:\n"
      "  sluice run --guard -- ./test_suite --filter=usm\n"
      "  sluice run --guard --driver libmydriver.so -- ./program\n"
      "  sluice run --opencl -- ./usm_program\n"
      "  sluice run --cuda -- ./managed_program\n"
      "  sluice run --kfd=4 -- rocminfo\n"
      "  sluice run --strict -- ./program");
  verb->callback([options, &chosen] { chosen = [options] { return run_program(*options); }; });
}

void add_trace(CLI::App& app, Run& chosen) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("trace",
                                      "Start a program and write what its managed memory does: a "
                                      "file for `sluice report` and https://ui.perfetto.dev, one "
                                      "for each process.");
  add_options(verb, options);
  verb->footer(
      "As `sluice run --trace`, with whose other options it goes together. A process that is "
      "killed leaves what it wrote until then. The names of the files begin with sluice. and the "
      "process id, if --trace gives no other.\n"
      "Examples:\n"
      "  sluice trace -- ./program && sluice report sluice.*.json\n"
      "  sluice trace --trace=/tmp/%p.json --strict -- ./program");
  verb->callback([options, &chosen] {
    if (options->trace.empty()) options->trace = default_trace;
    chosen = [options] { return run_program(*options); };
  });
}

}  // namespace sluice::tool
