// Kernels that follow pointers to the host's side of managed memory, in every way in which a program can come by one. followers.spvasm was made
// of this with Debian 12's tools:
//   clang-14 -cl-std=CL2.0 -target spir64 -O1 -emit-llvm -c -Xclang -finclude-default-header followers.cl -o followers.bc
//   llvm-spirv-14 followers.bc -o followers.spv && spirv-dis --no-indent --raw-id followers.spv | grep -v "Name\b"
typedef struct node {
  global struct node* next;
  int value;
} node;
typedef struct view {
  global int* at;
  int count;
} view;

int sum_of(global const node* at) {
  int sum = 0;
  for (; at != 0; at = at->next) sum += at->value;
  return sum;
}

kernel void plain(global int* out, global const int* in, int n) {
  int i = get_global_id(0);
  if (i < n) out[i] = 2 * in[i] + 1;
}
kernel void chase(global const node* head, global int* out) { *out = sum_of(head); }
kernel void table(global int* global* places) {
  int i = get_global_id(0);
  *places[i] = i;
}
// A structure with a pointer, by value; OpenCL C wants it as an integer.
typedef struct parcel {
  ulong at;
  int count;
} parcel;
kernel void by_value(parcel one, global int* out) {
  int sum = 0;
  for (int i = 0; i < one.count; ++i) sum += ((global int*)one.at)[i];
  *out = sum;
}
kernel void from_integers(global const ulong* places) {
  int i = get_global_id(0);
  atomic_add((global int*)places[i], i);
}
// Pointers that the host and a later kernel follow.
kernel void kept(global int* a, global int* global* places) {
  int i = get_global_id(0);
  places[i] = a + i;
}
kernel void copied(global const view* from, global view* to) { *to = *from; }
kernel void through_local(global int* a, global int* plain_buffer) {
  local ulong scratch[16];
  scratch[get_local_id(0)] = (ulong)(a + get_local_id(0));
  barrier(CLK_LOCAL_MEM_FENCE);
  int other = get_local_size(0) - 1 - get_local_id(0);
  *(global int*)scratch[other] = plain_buffer[other];
}
