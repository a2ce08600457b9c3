// <linux/kfd_ioctl.h> includes this file of libdrm only for the types of Linux.
#include <linux/types.h>
