// The records of strict mode: launches by queue, findings by kernel, range and kind.
//
// Cost: a launch is one allocation and a copy of what it names; a finding is a search among at most
// 256. Without strict mode there is no object of this class, and a launch costs one comparison for
// that. What it does not do: judge (undeclared.cc), or bring pages (limited_access.cc).
#include "engine/strict_mode.hpp"

#include <algorithm>
#include <new>
#include <string_view>

#include "os/environment.hpp"
#include "os/report.hpp"

namespace sluice::engine {
namespace {

// Print line by line: a report is cut at 512 bytes.
void print(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    os::report("strict: %.*s", static_cast<int>(end), text.data());
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

Result<Strict> StrictMode::wanted(Strict option) {
  if (option != Strict::automatic) return option;
  const char* const environment = os::environment("SLUICE_STRICT");
  const std::string_view value = environment == nullptr ? "" : environment;
  if (value.empty() || value == "0") return Strict::off;
  if (value == "1" || value == "report") return Strict::report;
  if (value == "stop") return Strict::stop;
  return fail(ErrorCode::invalid_argument,
              "SLUICE_STRICT is '%.40s'; it may be 0, 1, report or stop", environment);
}

StrictMode::StrictMode(Strict mode, const transfer::Timelines& timelines,
                       const transfer::Devices& devices)
    : mode_(mode), timelines_(timelines) {
  stalled_for_.fill(-1);
  for (int number = 0; number < devices.count(); ++number) {
    const device::Traits& traits = devices[number].traits();
    if (traits.limits_launches) continue;
    if (!exempt_.empty()) exempt_ += ", ";
    exempt_ += "device " + std::to_string(number) + " (" + traits.name + ")";
  }
  if (!exempt_.empty())
    os::report("strict: not enforced on %s; only software GPUs can limit a launch to what it names",
               exempt_.c_str());
}

bool StrictMode::waits_for_itself(int device) const noexcept {
  int at = device;
  for (int steps = 0; steps < max_devices; ++steps) {
    at = stalled_for_[at];
    if (at < 0) return false;
    if (at == device) return true;
  }
  return false;
}

void StrictMode::name_kernel(int device, device::KernelId kernel, std::string_view name) {
  const MutexLock lock(mutex_);
  kernels_[{device, kernel.value}] = name;
}

std::list<std::shared_ptr<LimitedLaunch>> StrictMode::prepare(const LaunchRequest& request) {
  auto launch = std::make_shared<LimitedLaunch>();
  launch->queue = request.queue;
  launch->named.assign(request.uses.begin(), request.uses.end());
  launch->caller = request.site.caller;
  if (request.site.source != nullptr) launch->source = *request.site.source;
  const MutexLock lock(mutex_);
  const auto name = kernels_.find({request.device, request.kernel.value});
  launch->kernel = name == kernels_.end() ? "?" : name->second;
  (void)launches_[{request.device, request.queue.value}];
  return {std::move(launch)};
}

void StrictMode::add(device::Fence fence,
                     std::list<std::shared_ptr<LimitedLaunch>>& prepared) noexcept {
  prepared.front()->fence = fence;
  const MutexLock lock(mutex_);
  auto& queue = launches_.find({fence.device, prepared.front()->queue.value})->second;
  while (!queue.empty() && !timelines_.is_pending(queue.front()->fence)) queue.pop_front();
  queue.splice(queue.end(), prepared);
}

std::shared_ptr<LimitedLaunch> StrictMode::find(device::Fence fence) const {
  const MutexLock lock(mutex_);
  for (auto queue = launches_.lower_bound({fence.device, 0});
       queue != launches_.end() && queue->first.first == fence.device; ++queue)
    for (const auto& launch : queue->second)
      if (launch->fence == fence) return launch;
  return nullptr;
}

void StrictMode::found(const Finding& finding, std::uint64_t range, device::Fence launch) {
  const std::size_t page = finding.offset / page_size * page_size;
  bool is_new = false;
  {
    const MutexLock lock(mutex_);
    auto kept = std::find_if(findings_.begin(), findings_.end(), [&](const Kept& known) {
      return known.range == range && known.finding.kind == finding.kind &&
             known.finding.access == finding.access && known.finding.kernel == finding.kernel;
    });
    if (kept == findings_.end()) {
      if (findings_.size() == most_findings) {
        ++not_kept_;
        return;
      }
      is_new = true;
      kept = findings_.insert(kept, {finding, range, {}});
      kept->finding.touched_begin = page;
    }
    Finding& known = kept->finding;
    known.touched_begin = std::min(known.touched_begin, page);
    known.touched_end = std::max(known.touched_end, std::min(page + page_size, known.range_size));
    ++known.pages;
    if (kept->last != launch) ++known.launches;
    kept->last = launch;
  }
  if (is_new) print(finding.text);
}

std::vector<Finding> StrictMode::findings() const {
  const MutexLock lock(mutex_);
  std::vector<Finding> all;
  all.reserve(findings_.size());
  for (const Kept& kept : findings_) all.push_back(kept.finding);
  return all;
}

void StrictMode::summarize() const try {
  const MutexLock lock(mutex_);
  if (findings_.empty()) return;
  os::report("strict: %zu finding%s%s", findings_.size(), findings_.size() == 1 ? "" : "s",
             stops() ? "" : "; every launch got the bytes that it touched");
  for (const Kept& kept : findings_)
    os::report("strict: %s", engine::summarize(kept.finding).c_str());
  if (not_kept_ != 0)
    os::report("strict: %llu more accesses, of kernels and ranges beyond the first %zu",
               static_cast<unsigned long long>(not_kept_), most_findings);
} catch (const std::bad_alloc&) {
  os::report("strict: no memory for the summary; each finding was reported as it was made");
}

}  // namespace sluice::engine
