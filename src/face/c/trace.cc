// The C face of the event ring.
#include "face/c/support.hpp"

using namespace sluice;  // NOLINT(google-build-using-namespace): this file only translates between the two
using namespace sluice::c;  // NOLINT(google-build-using-namespace)

static_assert(static_cast<int>(EventKind::device_lost) == SLUICE_EVENT_DEVICE_LOST);
static_assert(event_kinds == SLUICE_EVENT_FREE + 1);

enum sluice_status sluice_trace_start(const sluice_space* space, size_t capacity) {
  SLUICE_HOLD(held, space);
  return run([&] {
    return held->space.trace().start(capacity == 0 ? Trace::default_capacity : capacity);
  });
}

void sluice_trace_stop(const sluice_space* space) {
  const Held held(space);
  if (held) held->space.trace().stop();
}

int sluice_trace_running(const sluice_space* space) {
  const Held held(space);
  return held && held->space.trace().running() ? 1 : 0;
}

size_t sluice_trace_events(const sluice_space* space, struct sluice_event* events,
                           size_t capacity) {
  const Held held(space);
  if (!held) return 0;
  return run_or(std::size_t{0}, [&] {
    const std::vector<Event> recorded = held->space.trace().events();
    const std::size_t count = events == nullptr ? 0 : std::min(capacity, recorded.size());
    std::transform(recorded.begin(), recorded.begin() + static_cast<std::ptrdiff_t>(count), events,
                   [](const Event& event) {
                     return sluice_event{event.time,
                                         event.duration,
                                         event.address,
                                         event.size,
                                         static_cast<sluice_event_kind>(event.kind),
                                         number_of(event.from),
                                         number_of(event.to),
                                         event.thread};
                   });
    return recorded.size();
  });
}

uint64_t sluice_trace_overwritten(const sluice_space* space) {
  const Held held(space);
  return held ? held->space.trace().overwritten() : 0;
}

size_t sluice_trace_print(const sluice_space* space, enum sluice_trace_format format, char* text,
                          size_t capacity) {
  const auto known = checked<TraceFormat>(format, SLUICE_TRACE_CHROME, "format");
  const Held held(space);
  if (!held || !known) return write_text("", text, capacity);
  return run_or(std::size_t{0}, [&] {
    return write_text(Trace::print(held->space.trace().events(), *known), text, capacity);
  });
}
