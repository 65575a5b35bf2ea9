/* A CUDA driver without a GPU, for test_cuda_driver: it has one device of capability 9.0, whose memory is the host's.
   What is copied is copied, kernels are loaded and launched, and none of them runs. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { NOT_READY = 600, LAUNCH_FAILED = 719 };

/* What the last launch was told: kernel, blocks, threads, stream, bytes of arguments, and the first two of them. */
uint64_t launched[7];
/* What the next launches return. */
int launch_result;

typedef uint64_t address;

static int nothing(void) { return 0; }

static int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
static int cuDeviceGetCount(int *count) { *count = 1; return 0; }
static int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
static int cuCtxGetDevice(int *device) { *device = 0; return 0; }
static int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "a stand-in", size); return 0; }

static int cuDeviceGetAttribute(int *value, int attribute, int device) {
    switch (attribute) {
    case 16: *value = 132; break;      /* multiprocessors */
    case 38: *value = 60 << 20; break; /* bytes of the second-level cache */
    case 75: *value = 9; break;        /* the capability's two numbers */
    case 76: *value = 0; break;
    default: *value = 1;
    }
    return 0;
}

static int current(void **context) { *context = (void *)1; return 0; }
static int cuDevicePrimaryCtxRetain(void **context, int device) { return current(context); }
static int cuMemGetInfo(size_t *available, size_t *total) { *available = *total = (size_t)1 << 36; return 0; }

static int cuMemAlloc(address *memory, size_t size) {
    *memory = (address)aligned_alloc(256, (size + 511) / 256 * 256);
    return 0;
}
static int cuMemFree(address memory) { free((void *)memory); return 0; }
static int cuMemcpyHtoD(address to, const void *from, size_t size) { memcpy((void *)to, from, size); return 0; }
static int cuMemcpyDtoH(void *to, address from, size_t size) { memcpy(to, (void *)from, size); return 0; }
static int cuMemcpyDtoDAsync(address to, address from, size_t size, void *stream) {
    memcpy((void *)to, (void *)from, size);
    return 0;
}
static int cuMemsetD8Async(address to, unsigned char value, size_t size, void *stream) {
    memset((void *)to, value, size);
    return 0;
}
static int cuPointerGetAttribute(void *value, int attribute, address memory) {
    if (attribute == 9) /* the device's number */
        *(int *)value = 0;
    else
        *(address *)value = memory;
    return 0;
}

static int handle(void **made) {
    static uintptr_t last = 0x1000;
    *made = (void *)(last += 16);
    return 0;
}
static int cuLibraryLoadData(void **library, const void *code, void *a, void *b, unsigned c, void *d, void *e, unsigned f) {
    return handle(library);
}
static int cuLibraryGetKernel(void **kernel, void *library, const char *name) { return handle(kernel); }
static int cuKernelGetFunction(void **function, void *kernel) { *function = kernel; return 0; }
static int cuFuncGetAttribute(int *value, int attribute, void *function) { *value = 0; return 0; }

static int cuLaunchKernel(void *kernel, unsigned blocks, unsigned y, unsigned z, unsigned threads, unsigned y_threads,
                          unsigned z_threads, unsigned shared, void *stream, void **arguments, void **extra) {
    uint64_t *packed = extra[1];
    uint64_t told[] = {(uintptr_t)kernel, blocks, threads, (uintptr_t)stream, *(size_t *)extra[3], packed[0], packed[1]};
    memcpy(launched, told, sizeof told);
    return arguments || extra[4] || (uintptr_t)extra[0] != 1 || (uintptr_t)extra[2] != 2 ? LAUNCH_FAILED : launch_result;
}

static int cuEventCreate(void **event, unsigned flags) { return handle(event); }
static int cuEventQuery(void *event) { return NOT_READY; }
static int cuEventElapsedTime(float *milliseconds, void *first, void *second) { *milliseconds = 0.5f; return 0; }

#define FUNCTION(name) {#name, (void *)name}
static const struct { const char *name; void *function; } functions[] = {
    FUNCTION(cuDriverGetVersion), FUNCTION(cuDeviceGetCount), FUNCTION(cuDeviceGet), FUNCTION(cuCtxGetDevice),
    FUNCTION(cuDeviceGetName), FUNCTION(cuDeviceGetAttribute), {"cuCtxGetCurrent", current}, {"cuCtxPopCurrent", current},
    FUNCTION(cuDevicePrimaryCtxRetain), FUNCTION(cuMemGetInfo), FUNCTION(cuMemAlloc), FUNCTION(cuMemFree),
    FUNCTION(cuMemcpyHtoD), FUNCTION(cuMemcpyDtoH), FUNCTION(cuMemcpyDtoDAsync), FUNCTION(cuMemsetD8Async),
    FUNCTION(cuPointerGetAttribute), FUNCTION(cuLibraryLoadData), FUNCTION(cuLibraryGetKernel),
    FUNCTION(cuKernelGetFunction), FUNCTION(cuFuncGetAttribute), FUNCTION(cuLaunchKernel), FUNCTION(cuEventCreate),
    FUNCTION(cuEventQuery), FUNCTION(cuEventElapsedTime),
};

/* By whichever version of its name it is asked for; what is not here does nothing and succeeds. */
int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status) {
    size_t length = strlen(name);
    if (length > 3 && name[length - 3] == '_' && name[length - 2] == 'v')
        length -= 3;
    *function = (void *)nothing;
    for (size_t k = 0; k < sizeof functions / sizeof *functions; k++)
        if (strlen(functions[k].name) == length && !strncmp(name, functions[k].name, length))
            *function = functions[k].function;
    if (status)
        *status = 0;
    return 0;
}
