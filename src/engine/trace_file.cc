// Writes one JSON document for Perfetto (https://ui.perfetto.dev). Costs what a trace costs (64 bytes and 25 ns an event), and the
// writing at the end. What it does not do: write anything for a space that is never closed.
#include "engine/trace_file.hpp"

#include <atomic>
#include <exception>
#include <fstream>

#include "observe/print.hpp"
#include "os/environment.hpp"
#include "os/report.hpp"

namespace sluice::engine {
namespace {

constexpr std::size_t capacity = std::size_t{1} << 18;
std::atomic<int> spaces{0};

}  // namespace

void TraceFile::begin(observe::Observer& observer) {
  const char* const wanted = os::environment("SLUICE_TRACE");
  if (wanted == nullptr || *wanted == 0) return;
  if (const auto started = observer.start(capacity); !started) {
    os::report("no trace: %s", started.error().detail().data());
    return;
  }
  const int number = ++spaces;
  path_ = number == 1 ? wanted : wanted + ("." + std::to_string(number));
}

void TraceFile::end(observe::Observer& observer) noexcept {
  if (path_.empty()) return;
  try {
    std::ofstream file(path_);
    file << observe::print(observer.events(), TraceFormat::chrome);
    if (!file.flush()) os::report("the trace could not be written to %s", path_.c_str());
  } catch (const std::exception& error) {
    os::report("no trace in %s: %s", path_.c_str(), error.what());
  }
}

}  // namespace sluice::engine
