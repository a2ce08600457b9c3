// What the layer decides without a driver: whether a kernel's text lets it follow pointers in memory.
#include "face/opencl/kernel_source.hpp"

#include <gtest/gtest.h>

namespace sluice::opencl {
namespace {

bool only(const char* source) { return pointers_come_from_arguments_only(source); }

TEST(KernelSource, plain_kernels_have_nothing_to_follow) {
  EXPECT_TRUE(
      only("__kernel void copy(__global int* output, __global const int* input, int N) {\n"
           "  int gid = get_global_id(0); if (gid < N) { output[gid] = input[gid]; } }"));
  EXPECT_TRUE(
      only("kernel void f(global float4 *restrict a, int n) { *a = a[1] * (float)n * 2.0f; }"));
  EXPECT_TRUE(
      only("// (global int*)\n/* int** */ kernel void f(global int* a) { a[0] = (*a) * 3; }"));
}

TEST(KernelSource, what_can_make_a_pointer_is_found) {
  EXPECT_FALSE(only("kernel void f(global ulong* a) { *(global int*)a[0] = 1; }"));
  EXPECT_FALSE(only("kernel void f(global ulong* a) { *(global int * const )(a[0]) = 1; }"));
  EXPECT_FALSE(only("kernel void f(global int** a) { **a = 1; }"));
  EXPECT_FALSE(only("kernel void f(global int * global * a) { a[0][0] = 1; }"));
  EXPECT_FALSE(
      only("struct node { global struct node* next; }; kernel void f(global struct node* n) {}"));
  EXPECT_FALSE(only("union u { ulong a; }; kernel void f(global int* n) {}"));
  EXPECT_FALSE(only("typedef global int* P; kernel void f(global P* n) { *n[0] = 1; }"));
  EXPECT_FALSE(only("#include \"more.cl\"\nkernel void f(global int* n) {}"));
  EXPECT_FALSE(only("#define P int*\nkernel void f(global int* n) {}"));
}

TEST(KernelSource, a_program_without_text_may_do_anything) {
  EXPECT_FALSE(only(""));
  EXPECT_FALSE(only(" \n"));
  EXPECT_FALSE(only("// nothing"));
}

}  // namespace
}  // namespace sluice::opencl
