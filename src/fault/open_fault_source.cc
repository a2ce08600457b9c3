// Chooses a fault source, and provides the empty one for machines without any.
#include "fault/open_fault_source.hpp"

#include <algorithm>
#include <string>

#include "fault/userfaultfd_source.hpp"
#include "os/machine.hpp"
#if defined(__x86_64__)
#include "fault/signal_source.hpp"
#endif

namespace sluice::fault {
namespace {

// Grade::none. Nothing can be watched, so only watch() can be called with a meaningful span.
class AbsentSource final : public FaultSource {
 public:
  explicit AbsentSource(std::string reason) : reason_(std::move(reason)) {}

  Grade grade() const noexcept override { return Grade::none; }
  const std::string& reason() const noexcept override { return reason_; }
  bool can_share() const noexcept override { return false; }

  Result<void> watch(AddressSpan) override { return refuse(); }
  void unwatch(AddressSpan) noexcept override {}
  Result<void> grant(AddressSpan, Access) noexcept override { return refuse(); }
  Result<void> restore(AddressSpan, AddressSpan, Access) noexcept override { return refuse(); }
  Result<void> downgrade(AddressSpan) noexcept override { return refuse(); }
  Result<void> revoke(AddressSpan) noexcept override { return refuse(); }
  void wake(AddressSpan) noexcept override {}
  Result<void> deny(AddressSpan) noexcept override { return refuse(); }
  Result<void> allow(AddressSpan) noexcept override { return refuse(); }
  void deny_everything() noexcept override {}

 private:
  [[nodiscard]] Result<void> refuse() const noexcept {
    return fail(ErrorCode::unsupported, "host accesses cannot be caught here: %s", reason_.c_str());
  }
  std::string reason_;
};

Result<std::unique_ptr<FaultSource>> open_without_userfaultfd(Grade best, std::string why,
                                                              os::HostMemory& memory,
                                                              Resolver& resolver) {
  if (best == Grade::none) return std::make_unique<AbsentSource>(std::move(why));
#if defined(__x86_64__)
  auto started = SignalSource::start(std::move(why), memory, resolver);
  if (!started) return tl::unexpected<Error>(started.error());
  return std::move(*started);
#else
  (void)memory, (void)resolver;
  return std::make_unique<AbsentSource>("grade signal needs x86-64; and " + why);
#endif
}

int spare_handlers() noexcept { return std::clamp(os::usable_cpus() / 4, 2, 4); }

}  // namespace

Result<std::unique_ptr<FaultSource>> open_fault_source(const FaultSourceOptions& options,
                                                       os::HostMemory& memory, Resolver& resolver) {
  const int handlers = options.handler_threads != 0 ? options.handler_threads : spare_handlers();
  if (handlers < 2)
    return fail(ErrorCode::invalid_argument, "%d handler threads: at least 2 are needed", handlers);
  if (options.best < Grade::user)
    return open_without_userfaultfd(
        options.best,
        "limited to grade " + std::string(to_string(options.best)) + " by the options", memory,
        resolver);
  auto opened = os::Userfaultfd::open(options.best);
  if (!opened && opened.error().code() == ErrorCode::unsupported)
    return open_without_userfaultfd(Grade::signal, std::string(opened.error().detail()), memory,
                                    resolver);
  if (!opened) return tl::unexpected<Error>(opened.error());
  SLUICE_ASSIGN(source, UserfaultfdSource::start(std::move(*opened), handlers, memory, resolver));
  return std::move(source);
}

}  // namespace sluice::fault
