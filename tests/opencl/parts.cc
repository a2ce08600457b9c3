// What the layer decides without a driver: where the pointers come from that a kernel follows, as
// its text tells.
#include "face/opencl/kernel_source.hpp"

#include <gtest/gtest.h>

namespace sluice::opencl {
namespace {

Pointers of(const char* source, const char* options = "") {
  return pointers_of_source(source, options, "f");
}

void expect_only_arguments(const char* source) {
  EXPECT_EQ(of(source), Pointers::from_arguments) << source;
}
void expect_unknown(const char* source) { EXPECT_EQ(of(source), Pointers::unknown) << source; }
void expect_in_memory(const char* source) { EXPECT_EQ(of(source), Pointers::in_memory) << source; }

TEST(KernelSource, plain_kernels_have_nothing_to_follow) {
  expect_only_arguments(
      "__kernel void f(__global int* output, __global const int* input, int N) {\n"
      "  int gid = get_global_id(0); if (gid < N) { output[gid] = input[gid]; } }");
  expect_only_arguments(
      "kernel void f(global float4 *restrict a, int n) { *a = a[1] * (float)n; }");
  expect_only_arguments(
      "// (global int*)\n/* int** */ kernel void f(global int* a) { a[0] = (*a) * 3; }");
  expect_only_arguments(
      "kernel void f(global int* a) { global int* at = a + 1; *at = \"*)\"[0]; }");
}

TEST(KernelSource, macros_and_types_without_pointers_are_harmless) {
  expect_only_arguments("#define N 1024\nkernel void f(global int* a) { a[N] = 1; }");
  expect_only_arguments(
      "#define AT(i, j) ((i) * W + \\\n (j))\nkernel void f(global int* a) { a[AT(1, 2)] = 1; }");
  expect_only_arguments(
      "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\nkernel void f(global int* a) {}");
  expect_only_arguments("typedef float real; kernel void f(global real* a) { a[0] = 1; }");
  expect_only_arguments(
      "#define N 4\nstruct body { float at[4 * N]; float4 speed; };\n"
      "kernel void f(global struct body* all) { all[0].at[1] = 2; }");
  expect_only_arguments("union u { ulong a; float2 b; }; kernel void f(global union u* n) {}");
}

TEST(KernelSource, what_can_make_a_pointer_is_found) {
  expect_unknown("kernel void f(global ulong* a) { *(global int*)a[0] = 1; }");
  expect_unknown("kernel void f(global ulong* a) { *(global int * const )(a[0]) = 1; }");
  expect_unknown("kernel void f(global int* n) { struct { global int* a; } s; s.a = n; }");
  expect_unknown("#include \"more.cl\"\nkernel void f(global int* n) {}");
  expect_unknown("#define P int*\nkernel void f(global P n) {}");
  expect_unknown("#define P(a) a ## b\nkernel void f(global int* n) { P(n); }");
  expect_unknown("struct s { global int* a; }; kernel void f(global int* n) { struct s one; }");
  expect_unknown("kernel void f(global int* n) { ");
  EXPECT_EQ(of("kernel void f(P n) {}", "-DP=\"global int**\""), Pointers::unknown);
}

TEST(KernelSource, pointers_in_device_memory_are_found) {
  expect_in_memory("kernel void f(global int * global * a) { a[0][0] = 1; }");
  expect_in_memory("kernel void f(__global int *const __global * a) { a[0][0] = 1; }");
  expect_in_memory(
      "struct node { global struct node* next; }; kernel void f(global struct node* n) {}");
  expect_in_memory(
      "typedef struct Node { int v; __global struct Node *next; } Node;\n"
      "kernel void f(__global const Node *restrict n) {}");
  expect_in_memory("typedef global int* P; kernel void f(global P* n) { *n[0] = 1; }");
  expect_in_memory(
      "struct inner { global int* a; }; struct outer { struct inner in[2]; };\n"
      "int walk(global struct outer* o) { return *o->in[0].a; }\n"
      "kernel void f(global int* n, global struct outer* o) { *n = walk(o); }");
}

TEST(KernelSource, each_kernel_is_looked_at_by_itself) {
  const char* const two =
      "typedef struct Node { global struct Node* next; int v; } Node;\n"
      "int sum(global Node* n) { int s = 0; for (; n; n = n->next) s += n->v; return s; }\n"
      "int twice(int n) { return 2 * n; }\n"
      "kernel void f(global int* a) { a[0] = twice(a[0]); }\n"
      "kernel void g(global Node* n, global int* a) { a[0] = sum(n); }\n";
  EXPECT_EQ(pointers_of_source(two, "", "f"), Pointers::from_arguments);
  EXPECT_EQ(pointers_of_source(two, "", "g"), Pointers::in_memory);
  // A kernel that is not found (a macro made its name) counts as the whole text.
  EXPECT_EQ(pointers_of_source(two, "", "h"), Pointers::in_memory);
}

TEST(KernelSource, a_program_without_text_may_do_anything) {
  expect_unknown("");
  expect_unknown(" \n");
  expect_unknown("// nothing");
}

}  // namespace
}  // namespace sluice::opencl
