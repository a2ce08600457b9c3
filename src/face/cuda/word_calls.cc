// Words that streams write and wait for. The driver does not take words in managed memory
// (cuStreamWaitValue32 in its reference), and neither does Sluice: INVALID_VALUE. A stream that
// waited for a word there would wait for a host store that waits for the stream.
#include <cstring>
#include <vector>

#include "face/cuda/managed.hpp"
#include "face/cuda/streams.hpp"
#include "face/cuda/wrapper.hpp"

namespace sluice::cuda {
namespace {

// CUstreamBatchMemOpParams, as far as it is read here.
struct Operation {
  unsigned kind;
  CUdeviceptr address;
  std::uint64_t rest[4];
};
// CU_STREAM_MEM_OP_*
constexpr unsigned waits_32 = 1;
constexpr unsigned writes_32 = 2;
constexpr unsigned waits_64 = 4;
constexpr unsigned writes_64 = 5;

bool has_word(const Operation& operation) noexcept {
  for (const unsigned kind : {waits_32, writes_32, waits_64, writes_64})
    if (operation.kind == kind) return true;
  return false;
}

// The list itself may be in managed memory, which the driver must not touch.
template <typename Call>
CUresult batch(CUstream stream, unsigned count, const Operation* given, const Call& call) {
  if (!ManagedSpace::get().is_open() || given == nullptr) return call(given);
  const std::vector<Operation> operations(given, given + count);
  for (const Operation& each : operations)
    if (has_word(each) && ManagedSpace::get().owns(each.address)) return invalid_value;
  before_wait_in(stream);
  return call(operations.data());
}

}  // namespace

#define SLUICE_WORD(name, Value, of_stream, prepare)                                    \
  SLUICE_WRAP(name, (CUstream stream, CUdeviceptr word, Value value, unsigned flags)) { \
    if (ManagedSpace::get().owns(word)) return invalid_value;                           \
    prepare(of_stream(stream));                                                         \
    return SLUICE_REAL(name)(stream, word, value, flags);                               \
  }
// Of two interfaces, with the default stream of all threads and with the thread's own.
#define SLUICE_WORDS(name, Value, prepare)             \
  SLUICE_WORD(name, Value, , prepare)                  \
  SLUICE_WORD(name##_ptsz, Value, per_thread, prepare) \
  SLUICE_WORD(name##_v2, Value, , prepare)             \
  SLUICE_WORD(name##_v2_ptsz, Value, per_thread, prepare)
SLUICE_WORDS(cuStreamWaitValue32, std::uint32_t, before_wait_in)
SLUICE_WORDS(cuStreamWaitValue64, std::uint64_t, before_wait_in)
SLUICE_WORDS(cuStreamWriteValue32, std::uint32_t, static_cast<void>)
SLUICE_WORDS(cuStreamWriteValue64, std::uint64_t, static_cast<void>)
#undef SLUICE_WORDS
#undef SLUICE_WORD

#define SLUICE_BATCH(name, of_stream)                                                           \
  SLUICE_WRAP(name,                                                                             \
              (CUstream stream, unsigned count, const Operation* operations, unsigned flags)) { \
    return batch(of_stream(stream), count, operations, [&](const Operation* given) {            \
      return SLUICE_REAL(name)(stream, count, given, flags);                                    \
    });                                                                                         \
  }
SLUICE_BATCH(cuStreamBatchMemOp, )
SLUICE_BATCH(cuStreamBatchMemOp_ptsz, per_thread)
SLUICE_BATCH(cuStreamBatchMemOp_v2, )
SLUICE_BATCH(cuStreamBatchMemOp_v2_ptsz, per_thread)
#undef SLUICE_BATCH

}  // namespace sluice::cuda
