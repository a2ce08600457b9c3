// The kernel of this area's programs. Level Zero takes no source: ocloc makes SPIR-V of it.
__kernel void add(__global int* data, int value) { data[get_global_id(0)] += value; }
