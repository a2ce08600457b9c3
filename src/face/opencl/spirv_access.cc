// The table of instructions that deal with pointers. One that is missing is not known, and a
// program that gives it a pointer to global memory is not rebased.
#include "spirv_access.hpp"

#ifdef SLUICE_SPIRV_TOOLS

#include <spirv/unified1/spirv.hpp11>

namespace sluice::opencl {
namespace {

using spv::Op;

constexpr std::array<std::size_t, 1> first{1};
constexpr std::array<std::size_t, 2> both{1, 2};
constexpr std::array<std::size_t, 1> behind_result{3};
constexpr std::array<std::size_t, 2> of_group_copy{4, 5};

// Besides them those whose literals may look like the ids of pointers.
bool passes_on(Op op) noexcept {
  switch (op) {
    case Op::OpAccessChain:
    case Op::OpInBoundsAccessChain:
    case Op::OpPtrAccessChain:
    case Op::OpInBoundsPtrAccessChain:
    case Op::OpPhi:
    case Op::OpSelect:
    case Op::OpCopyObject:
    case Op::OpUndef:
    case Op::OpVariable:
    case Op::OpBitcast:
    case Op::OpPtrCastToGeneric:
    case Op::OpGenericCastToPtr:
    case Op::OpConvertPtrToU:
    case Op::OpConvertUToPtr:
    case Op::OpPtrEqual:
    case Op::OpPtrNotEqual:
    case Op::OpPtrDiff:
    case Op::OpIEqual:
    case Op::OpINotEqual:
    case Op::OpULessThan:
    case Op::OpULessThanEqual:
    case Op::OpUGreaterThan:
    case Op::OpUGreaterThanEqual:
    case Op::OpCompositeExtract:
    case Op::OpCompositeInsert:
    case Op::OpCompositeConstruct:
    case Op::OpVectorShuffle:
    case Op::OpReturnValue:
    case Op::OpSwitch:
    case Op::OpBranchConditional:
    case Op::OpLoopMerge:
    case Op::OpLine:
    case Op::OpLifetimeStart:
    case Op::OpLifetimeStop:
      return true;
    default:
      return false;
  }
}

}  // namespace

SpirvAccess access_of(const SpirvInstruction& instruction) noexcept {
  const auto op = static_cast<Op>(instruction.opcode);
  switch (op) {
    case Op::OpLoad:
    case Op::OpAtomicLoad:
    case Op::OpAtomicExchange:
    case Op::OpAtomicCompareExchange:
    case Op::OpAtomicCompareExchangeWeak:
    case Op::OpAtomicIIncrement:
    case Op::OpAtomicIDecrement:
    case Op::OpAtomicIAdd:
    case Op::OpAtomicISub:
    case Op::OpAtomicSMin:
    case Op::OpAtomicUMin:
    case Op::OpAtomicSMax:
    case Op::OpAtomicUMax:
    case Op::OpAtomicAnd:
    case Op::OpAtomicOr:
    case Op::OpAtomicXor:
    case Op::OpAtomicFlagTestAndSet:
    case Op::OpAtomicFAddEXT:
    case Op::OpAtomicFMinEXT:
    case Op::OpAtomicFMaxEXT:
      return {true, behind_result};
    case Op::OpStore:
    case Op::OpAtomicStore:
    case Op::OpAtomicFlagClear:
      return {true, first};
    case Op::OpCopyMemory:
    case Op::OpCopyMemorySized:
      return {true, both};
    case Op::OpGroupAsyncCopy:
      return {true, of_group_copy};
    default:
      return {passes_on(op), {}};
  }
}

}  // namespace sluice::opencl

#endif
