// Hints: migration and advice.
//
// A migration is done by a thread of the context, after the events of its wait list; its event is
// complete when the bytes are there. The queue's later commands do not wait for it and need not:
// the engine orders it with every use of the bytes. clFinish does wait. The extension reserves
// eight values for advice without saying what they mean; they are taken in the order of Level
// Zero's ze_memory_advice_t, and those with no meaning here are ignored, as "Unified Shared Memory
// Hints" allows; other values are refused.
#include <algorithm>
#include <optional>

#include "events.hpp"
#include "extension.hpp"
#include "layer.hpp"

namespace sluice::opencl {
namespace {

constexpr cl_mem_migration_flags known_flags =
    CL_MIGRATE_MEM_OBJECT_HOST | CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED;

struct Move {
  Arena* arena;
  AddressSpan span;
};

// A hint about memory that is not ours has no effect.
std::vector<Move> moves_of(const Context& context, const std::vector<AddressSpan>& spans) {
  std::vector<Move> moves;
  for (const AddressSpan& span : spans) {
    const auto found = context.find(
        reinterpret_cast<void*>(span.begin.value));  // NOLINT(performance-no-int-to-ptr)
    if (!found || found->arena == nullptr) continue;
    const Address end =
        std::min(found->span().end(), span.size == 0 ? found->span().end() : span.end());
    moves.push_back({found->arena, {span.begin, end - span.begin}});
  }
  return moves;
}

// All moves are asked for before any is waited for.
void make_moves(const std::vector<Move>& moves, Location to) {
  std::vector<std::pair<Arena*, device::Fence>> under_way;
  for (const Move& move : moves)
    if (const auto fence = move.arena->engine().prefetch(move.span, to))
      under_way.emplace_back(move.arena, *fence);
  for (const auto& [arena, fence] : under_way) (void)arena->engine().wait(fence, {});
}

constexpr cl_mem_advice_intel first_advice = 0x4208;  // "Enum values 0x4208-0x420F are reserved"
constexpr cl_mem_advice_intel last_advice = 0x420F;

bool is_advice(cl_mem_advice_intel advice) noexcept {
  return advice == 0 || (advice >= first_advice && advice <= last_advice);
}

// An advice as the engine's; none: ignored.
std::optional<AdviceKind> meaning_of(cl_mem_advice_intel advice) noexcept {
  switch (advice - first_advice) {
    case 0:
      return AdviceKind::read_mostly;
    case 1:
      return AdviceKind::not_read_mostly;
    case 2:
      return AdviceKind::prefer;
    case 3:
      return AdviceKind::no_preference;
    default:
      return std::nullopt;
  }
}

}  // namespace

cl_int enqueue_nothing(cl_command_queue queue, cl_uint count, const cl_event* wait_list,
                       cl_event* event, cl_command_type type) {
  const cl_int status = driver().clEnqueueMarkerWithWaitList(queue, count, wait_list, event);
  if (status == CL_SUCCESS && event != nullptr) note_event(*event, type);
  return status;
}

cl_int take_turn(cl_command_queue queue, cl_bool blocking, cl_uint count, const cl_event* wait_list,
                 cl_event* event, cl_command_type type) {
  cl_event turn = nullptr;
  cl_int status = driver().clEnqueueMarkerWithWaitList(queue, count, wait_list, &turn);
  if (status != CL_SUCCESS) return status;
  if (blocking != CL_FALSE) status = driver().clWaitForEvents(1, &turn);
  if (event == nullptr || status != CL_SUCCESS) {
    driver().clReleaseEvent(turn);
    return status;
  }
  note_event(turn, type);
  *event = turn;
  return CL_SUCCESS;
}

cl_int migrate(const Queue& known, cl_command_queue queue, const std::vector<AddressSpan>& spans,
               cl_mem_migration_flags flags, cl_uint count, const cl_event* wait_list,
               cl_event* event, cl_command_type type) {
  // Zero is allowed since version 1.2.0 of the extension, and always was for
  // clEnqueueSVMMigrateMem.
  if ((flags & ~known_flags) != 0) return CL_INVALID_VALUE;
  const cl_int list_makes_sense = check_wait_list(known, count, wait_list);
  if (list_makes_sense != CL_SUCCESS) return list_makes_sense;
  const std::vector<Move> moves = moves_of(*known.context, spans);
  if (moves.empty()) return enqueue_nothing(queue, count, wait_list, event, type);

  const cl_event done = event == nullptr ? nullptr : make_hint_event(known, queue, type);
  if (event != nullptr && done == nullptr) return CL_OUT_OF_HOST_MEMORY;
  std::vector<cl_event> before(wait_list, wait_list + count);
  for (const cl_event one : before) driver().clRetainEvent(one);
  const Location to =
      (flags & CL_MIGRATE_MEM_OBJECT_HOST) != 0 ? Location::host() : Location::device(0);
  const auto job = [before, moves, to, done] {
    if (!before.empty())
      driver().clWaitForEvents(static_cast<cl_uint>(before.size()), before.data());
    for (const cl_event one : before) driver().clReleaseEvent(one);
    make_moves(moves, to);
    if (done != nullptr) complete_hint(done);
  };
  if (!known.context->hints().add(job)) job();
  if (event != nullptr) *event = done;
  return CL_SUCCESS;
}

cl_int CL_API_CALL enqueue_migrate_mem(cl_command_queue queue, const void* pointer, size_t size,
                                       cl_mem_migration_flags flags, cl_uint count,
                                       const cl_event* wait_list, cl_event* event) {
  const auto known = objects().queues.find(queue);
  if (known == nullptr) return CL_INVALID_COMMAND_QUEUE;
  return migrate(*known, queue, {{Address::of(pointer), size}}, flags, count, wait_list, event,
                 CL_COMMAND_MIGRATEMEM_INTEL);
}

cl_int CL_API_CALL enqueue_mem_advise(cl_command_queue queue, const void* pointer, size_t size,
                                      cl_mem_advice_intel advice, cl_uint count,
                                      const cl_event* wait_list, cl_event* event) {
  const auto known = objects().queues.find(queue);
  if (known == nullptr) return CL_INVALID_COMMAND_QUEUE;
  if (!is_advice(advice)) return CL_INVALID_VALUE;
  const cl_int list_makes_sense = check_wait_list(*known, count, wait_list);
  if (list_makes_sense != CL_SUCCESS) return list_makes_sense;
  const auto meaning = meaning_of(advice);
  if (meaning)
    for (const Move& move : moves_of(*known->context, {{Address::of(pointer), size}}))
      (void)move.arena->engine().advise(move.span, *meaning, Location::device(0));
  return enqueue_nothing(queue, count, wait_list, event, CL_COMMAND_MEMADVISE_INTEL);
}

}  // namespace sluice::opencl
