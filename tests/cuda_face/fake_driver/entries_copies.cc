// Copies and fills.
//
// An address that the table has is used through the table, when the stream comes to it; all of a
// span must be known when the call is made, and the host's part of a copy lies in one registration.
// An address that it does not have is the program's pageable memory: the call then waits for the
// stream and copies, as a driver does that stages such bytes.
#include <cstring>

#include "cuda_face/fake_driver/entries.hpp"

namespace sluice::fake_cuda {
namespace {

enum class Known : std::uint8_t { no, pageable, mapped };

Known classify(CUdeviceptr begin, std::size_t size) {
  const AddressTable& table = AddressTable::get();
  if (table.first_in(begin, size) == nullptr)
    return begin == 0 || table.is_reserved(begin, 1) ? Known::no : Known::pageable;
  MappingPointer before;
  for (CUdeviceptr at = begin; at < begin + size; at = before->end()) {
    MappingPointer found = table.at(at);
    if (found == nullptr) return Known::no;
    // Only neighbours in a reservation follow each other.
    if (before != nullptr && (before->source != Source::mapped || found->source != Source::mapped))
      return Known::no;
    before = std::move(found);
  }
  return Known::mapped;
}

struct Copy {
  CUdeviceptr to;
  CUdeviceptr from;
  std::size_t size;
  bool to_pageable;
  bool from_pageable;
};

void carry_out(GpuView& gpu, const Copy& copy) {
  std::size_t done = 0;
  const auto take = [&](const std::byte* source, std::size_t part) {
    if (copy.to_pageable) {
      std::memmove(bytes_at(copy.to + done), source, part);
      done += part;
      return;
    }
    gpu.for_pieces(copy.to + done, part, true, [&](std::byte* target, std::size_t size) {
      std::memmove(target, source, size);
      source += size;
      done += size;
    });
  };
  if (copy.from_pageable)
    take(bytes_at(copy.from), copy.size);
  else
    gpu.for_pieces(copy.from, copy.size, false,
                   [&](const std::byte* source, std::size_t part) { take(source, part); });
}

CUresult copy(CUdeviceptr to, CUdeviceptr from, std::size_t size, CUstream handle, bool waits) {
  if (size == 0) return success;
  Context& context = here();
  const std::shared_ptr<Stream> stream = context.find(handle);
  if (stream == nullptr) return error_invalid_handle;
  const Known from_known = classify(from, size);
  const Known to_known = classify(to, size);
  if (from_known == Known::no || to_known == Known::no) return error_invalid_value;
  const Copy whole{to, from, size, to_known == Known::pageable, from_known == Known::pageable};
  context.submit(stream, [whole](GpuView& gpu) { carry_out(gpu, whole); });
  if (!waits && !whole.to_pageable && !whole.from_pageable) return success;
  stream->now().wait();
  return context.lost;
}

template <typename T>
CUresult fill(CUdeviceptr to, T value, std::size_t count, CUstream handle, bool waits) {
  if (count == 0) return success;
  Context& context = here();
  const std::shared_ptr<Stream> stream = context.find(handle);
  if (stream == nullptr) return error_invalid_handle;
  if (to % sizeof(T) != 0 || classify(to, count * sizeof(T)) != Known::mapped)
    return error_invalid_value;
  context.submit(stream, [=](GpuView& gpu) {
    gpu.for_pieces(to, count * sizeof(T), true, [&](std::byte* bytes, std::size_t size) {
      for (std::size_t at = 0; at < size; at += sizeof(T))
        std::memcpy(bytes + at, &value, sizeof(T));
    });
  });
  if (!waits) return success;
  stream->now().wait();
  return context.lost;
}

CUdeviceptr address_of(const void* pointer) { return reinterpret_cast<CUdeviceptr>(pointer); }

}  // namespace

FAKE_ENTRY(cuMemcpy, (CUdeviceptr to, CUdeviceptr from, std::size_t size)) {
  FAKE_ENTER_CONTEXT();
  return copy(to, from, size, nullptr, true);
}

FAKE_ENTRY(cuMemcpyAsync, (CUdeviceptr to, CUdeviceptr from, std::size_t size, CUstream stream)) {
  FAKE_ENTER_CONTEXT();
  return copy(to, from, size, stream, false);
}

FAKE_ENTRY(cuMemcpyHtoD_v2, (CUdeviceptr to, const void* from, std::size_t size)) {
  FAKE_ENTER_CONTEXT();
  return copy(to, address_of(from), size, nullptr, true);
}

FAKE_ENTRY(cuMemcpyHtoDAsync_v2,
           (CUdeviceptr to, const void* from, std::size_t size, CUstream stream)) {
  FAKE_ENTER_CONTEXT();
  return copy(to, address_of(from), size, stream, false);
}

FAKE_ENTRY(cuMemcpyDtoH_v2, (void* to, CUdeviceptr from, std::size_t size)) {
  FAKE_ENTER_CONTEXT();
  return copy(address_of(to), from, size, nullptr, true);
}

FAKE_ENTRY(cuMemcpyDtoHAsync_v2, (void* to, CUdeviceptr from, std::size_t size, CUstream stream)) {
  FAKE_ENTER_CONTEXT();
  return copy(address_of(to), from, size, stream, false);
}

FAKE_ENTRY(cuMemcpyDtoD_v2, (CUdeviceptr to, CUdeviceptr from, std::size_t size)) {
  FAKE_ENTER_CONTEXT();
  return copy(to, from, size, nullptr, true);
}

FAKE_ENTRY(cuMemcpyDtoDAsync_v2,
           (CUdeviceptr to, CUdeviceptr from, std::size_t size, CUstream stream)) {
  FAKE_ENTER_CONTEXT();
  return copy(to, from, size, stream, false);
}

FAKE_ENTRY(cuMemsetD8_v2, (CUdeviceptr to, unsigned char value, std::size_t count)) {
  FAKE_ENTER_CONTEXT();
  return fill(to, value, count, nullptr, true);
}

FAKE_ENTRY(cuMemsetD8Async,
           (CUdeviceptr to, unsigned char value, std::size_t count, CUstream stream)) {
  FAKE_ENTER_CONTEXT();
  return fill(to, value, count, stream, false);
}

FAKE_ENTRY(cuMemsetD32_v2, (CUdeviceptr to, unsigned value, std::size_t count)) {
  FAKE_ENTER_CONTEXT();
  return fill(to, value, count, nullptr, true);
}

FAKE_ENTRY(cuMemsetD32Async, (CUdeviceptr to, unsigned value, std::size_t count, CUstream stream)) {
  FAKE_ENTER_CONTEXT();
  return fill(to, value, count, stream, false);
}

}  // namespace sluice::fake_cuda
