// Mapping on several devices: the engine's operations as handles, and the calls that wait.
//
// A call that waits starts an operation, or finds the one under way, and waits for it, so there is
// only one implementation. What it does not do: cut parts or devices into several operations.
#include "sluice/mapping.hpp"

#include "engine/mappings.hpp"
#include "face/cpp/inside.hpp"
#include "os/uncancelled.hpp"

namespace sluice {
namespace {

using engine::Mappings;
using mapping::Request;
using mapping::Verb;

Request request_for(Verb verb, const std::vector<MappingPart>& parts,
                    const std::vector<int>& devices, const MappingOptions& options) {
  Request request{.verb = verb, .devices = devices, .access = options.access, .mode = options.mode};
  for (const MappingPart& part : parts) request.parts.push_back(span_of(part.data, part.size));
  return request;
}

// The operation's own deadline counts: a call that attaches does not get a longer one.
Result<void> run(Mappings& mappings, const Request& request, const MappingOptions& options,
                 OnSignal on_signal, MappingReport* report) {
  const os::Uncancelled whole_call;
  SLUICE_ASSIGN(task, mappings.start(request, options.deadline));
  const Result<void> done =
      mappings.wait(*task, {.interruptible = on_signal == OnSignal::return_interrupted});
  if (report != nullptr) *report = mappings.report(*task);
  return done;
}

}  // namespace

Result<void> Space::map(const std::vector<MappingPart>& parts, const std::vector<int>& devices,
                        const MappingOptions& options, OnSignal on_signal,
                        MappingReport* report) const {
  return run(engine_->mappings(), request_for(Verb::map, parts, devices, options), options,
             on_signal, report);
}

Result<void> Space::unmap(const std::vector<MappingPart>& parts, const std::vector<int>& devices,
                          const MappingOptions& options, OnSignal on_signal,
                          MappingReport* report) const {
  return run(engine_->mappings(), request_for(Verb::unmap, parts, devices, options), options,
             on_signal, report);
}

Result<Mapping> Space::start_map(const std::vector<MappingPart>& parts,
                                 const std::vector<int>& devices,
                                 const MappingOptions& options) const {
  const os::Uncancelled whole_call;
  SLUICE_ASSIGN(task, engine_->mappings().start(request_for(Verb::map, parts, devices, options),
                                                options.deadline));
  return Inside::mapping(engine_, std::move(task));
}

Result<Mapping> Space::start_unmap(const std::vector<MappingPart>& parts,
                                   const std::vector<int>& devices,
                                   const MappingOptions& options) const {
  const os::Uncancelled whole_call;
  SLUICE_ASSIGN(task, engine_->mappings().start(request_for(Verb::unmap, parts, devices, options),
                                                options.deadline));
  return Inside::mapping(engine_, std::move(task));
}

Result<void> Space::relocate(const void* data, std::size_t size, Location to,
                             MappingReport* report) const {
  const os::Uncancelled whole_call;
  MappingReport filled;
  const Result<void> done = engine_->relocate(span_of(data, size), to, filled);
  if (report != nullptr) *report = std::move(filled);
  return done;
}

Result<Range> Space::allocate_mapped(std::size_t size, const std::vector<int>& devices,
                                     Access access, std::string_view name) const {
  const os::Uncancelled whole_call;
  const std::string own_name(name);  // the program's may lie in managed memory
  SLUICE_ASSIGN(base,
                engine_->mappings().allocate(size, Kind::shared, -1, devices, access, own_name));
  return Inside::range(engine_, base, size, Kind::shared);
}

Result<Range> Space::allocate_mapped_on_device(int owner, std::size_t size,
                                               const std::vector<int>& peers, Access access,
                                               std::string_view name) const {
  const os::Uncancelled whole_call;
  const std::string own_name(name);
  SLUICE_ASSIGN(base,
                engine_->mappings().allocate(size, Kind::device, owner, peers, access, own_name));
  return Inside::range(engine_, base, size, Kind::device);
}

Result<void> Space::unmap_and_free(void* base) const {
  const os::Uncancelled whole_call;
  if (base == nullptr) return {};
  return engine_->free(Address::of(base), engine::FreeMode::unmap);
}

// --- the handle ----------------------------------------------------------------------------------

bool Mapping::done() const noexcept { return task_ == nullptr || task_->done; }

MappingReport Mapping::report() const {
  const os::Uncancelled whole_call;
  if (task_ != nullptr && !engine_->inherited()) return engine_->mappings().report(*task_);
  MappingReport report;
  report.done = done();
  return report;
}

Result<void> Mapping::wait(OnSignal on_signal) const {
  return wait_until(Fence::Clock::time_point::max(), on_signal);
}

Result<void> Mapping::wait_until(Fence::Clock::time_point deadline, OnSignal on_signal) const {
  const os::Uncancelled whole_call;
  if (task_ == nullptr) return {};
  return engine_->mappings().wait(*task_, {deadline, on_signal == OnSignal::return_interrupted});
}

Result<void> Mapping::resume(Fence::Clock::time_point deadline) const {
  const os::Uncancelled whole_call;
  if (task_ == nullptr) return {};
  return engine_->mappings().resume(task_, deadline);
}

}  // namespace sluice
