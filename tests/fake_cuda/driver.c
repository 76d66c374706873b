/* In place of the driver that a machine without a GPU lacks: what torch asks it before a backward pass on fake tensors. */
int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaDeviceGetStreamPriorityRange(int *least, int *greatest) { *least = *greatest = 0; return 0; }
int cudaGetDeviceProperties(void *properties, int device) { return 0; }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = 0; *active = 1; return 0; }
int cudaStreamIsCapturing(void *stream, int *status) { *status = 0; return 0; }
