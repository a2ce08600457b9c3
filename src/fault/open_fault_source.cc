// Chooses a fault source, and is the one that exists where there is none.
#include "fault/open_fault_source.hpp"

#include <string>

#include "fault/userfaultfd_source.hpp"

namespace sluice::fault {
namespace {

// Grade::none. Nothing can be watched, so nothing but watch() can be called with a span that makes sense.
class AbsentSource final : public FaultSource {
 public:
  explicit AbsentSource(std::string reason) : reason_(std::move(reason)) {}

  Grade grade() const noexcept override { return Grade::none; }
  const std::string& reason() const noexcept override { return reason_; }
  bool can_share() const noexcept override { return false; }

  Result<void> watch(AddressSpan) override { return refuse(); }
  void unwatch(AddressSpan) noexcept override {}
  Result<void> grant(AddressSpan, Access) noexcept override { return refuse(); }
  Result<void> lower(AddressSpan) noexcept override { return refuse(); }
  Result<void> revoke(AddressSpan) noexcept override { return refuse(); }
  void wake(AddressSpan) noexcept override {}
  Result<void> deny(AddressSpan) noexcept override { return refuse(); }
  Result<void> allow(AddressSpan) noexcept override { return refuse(); }

 private:
  [[nodiscard]] Result<void> refuse() const noexcept {
    return fail(ErrorCode::unsupported, "host accesses cannot be caught here: %s", reason_.c_str());
  }
  std::string reason_;
};

}  // namespace

Result<std::unique_ptr<FaultSource>> open_fault_source(const FaultSourceOptions& options,
                                                       os::HostMemory& memory, Resolver& resolver) {
  if (options.handler_threads < 2)
    return fail(ErrorCode::invalid_argument, "%d handler threads: at least 2 are needed",
                options.handler_threads);
  if (options.best < Grade::user)
    return std::make_unique<AbsentSource>("limited to grade " +
                                          std::string(to_string(options.best)) + " by the options");
  auto opened = os::Userfaultfd::open(options.best);
  if (!opened && opened.error().code() == ErrorCode::unsupported)
    return std::make_unique<AbsentSource>(std::string(opened.error().detail()));
  if (!opened) return tl::unexpected<Error>(opened.error());
  SLUICE_ASSIGN(source, UserfaultfdSource::start(std::move(*opened), options.handler_threads,
                                                 memory, resolver));
  return std::move(source);
}

}  // namespace sluice::fault
