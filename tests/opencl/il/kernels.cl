// Kernels as SPIR-V, to tell those that follow pointers found in memory from the others. kernels_o0.spvasm and kernels_o1.spvasm were made of
// this with Debian 12's tools:
//   clang-15 -cl-std=CL2.0 -target spir64 -O1 -emit-llvm -c -Xclang -finclude-default-header kernels.cl -o kernels.bc
//   llvm-spirv-15 kernels.bc -o kernels.spv && spirv-dis --no-indent --raw-id kernels.spv | grep -v "Name\b"
typedef struct node {
  global struct node* next;
  int value;
} node;
typedef struct pair {
  global int* first;
  global int* second;
} pair;
typedef struct parcel {
  ulong place;
  int amount;
} parcel;

int twice(int x) { return 2 * x; }
int sum_of(global const node* at) {
  int sum = 0;
  for (; at != 0; at = at->next) sum += at->value;
  return sum;
}
global int* later(global int* at, int by) { return at + by; }

kernel void plain(global int* out, global const int* in, int n) {
  int i = get_global_id(0);
  if (i < n) out[i] = twice(in[i]) + 1;
}
kernel void walked(global int* out, int n) {
  for (global int* at = out; at != out + n; ++at) *later(at, 0) += n;
}
kernel void chosen(global int* a, global int* b, int n) {
  global int* both[2];
  both[0] = a;
  both[1] = b;
  for (int i = 0; i < n; ++i) *both[i & 1] += i;
}
kernel void local_sum(global int* out, local int* scratch) {
  scratch[get_local_id(0)] = out[get_global_id(0)];
  barrier(CLK_LOCAL_MEM_FENCE);
  if (get_local_id(0) == 0) out[get_global_id(0)] = scratch[0] + scratch[1];
}
kernel void counted(global int* out) {
  atomic_inc(out);
  float4 v = vload4(0, (global float*)out);
  vstore4(v * 2.0f, 0, (global float*)out);
}
constant int primes[4] = {2, 3, 5, 7};
kernel void constants(global int* out) { out[0] = primes[out[1] & 3]; }
kernel void by_value(global int* out, parcel one) { out[0] = one.amount; }

kernel void chase(global const node* head, global int* out) { *out = sum_of(head); }
kernel void table(global int* global* places, int n) {
  for (int i = 0; i < n; ++i) *places[i] = i;
}
kernel void inside(global int* out, global pair* one) { *one->first = 1; }
kernel void chased_constant(constant node* head, global int* out) { *out = head->next->value; }

kernel void from_integers(global ulong* places, int n) {
  for (int i = 0; i < n; ++i) *(global int*)places[i] = i;
}
kernel void from_value(parcel one) { *(global int*)one.place += one.amount; }
kernel void kept(global int* a, global int* global* places) { places[0] = a; }
kernel void copied(global const ulong* bytes, int n) {
  global int* both[2];
 private
  ulong* to = (private ulong*)both;
  to[0] = bytes[0];
  to[1] = bytes[1];
  *both[n & 1] = n;
}
kernel void through_local(global int* a, local ulong* scratch) {
  scratch[get_local_id(0)] = (ulong)a;
  *(global int*)scratch[0] = 1;
}
