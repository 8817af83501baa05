#ifndef HEADRACE_KERNELS_H
#define HEADRACE_KERNELS_H

/* The operators of Headrace as a C library: C11, C++ and ctypes read this file.
 *
 * Two libraries have the same entries: libheadrace_kernels.so computes on the CPU (pointers into
 * host memory, stream null), libheadrace_cuda.so on an NVIDIA GPU (pointers that the device can
 * read and write, stream a cudaStream_t or null for the default stream). Both can be loaded in one
 * process (dlopen with RTLD_LOCAL); neither exports anything but what kernels/include/ declares.
 *
 * An operator OP of the families in headrace_*.h is two functions:
 *
 *   headrace_status headrace_OP(const headrace_OP_args* args, void* stream,
 *                               void* workspace, size_t workspace_bytes);
 *   size_t headrace_OP_workspace(const headrace_OP_args* args);
 *
 * The query looks at sizes, formats and switches of `args` only, never through its pointers, and
 * returns how many bytes of workspace the call needs, HEADRACE_REFUSED where the call would be
 * refused. A workspace is overwritten, starts at a multiple of HEADRACE_WORKSPACE_ALIGNMENT, and
 * belongs to the call until its work on the stream is done; one of 0 bytes may be null.
 *
 * An entry checks its arguments first and refuses them whole: nothing is written then. What is not
 * HEADRACE_OK comes with a line of text from headrace_last_error(). The CUDA library only queues
 * work: HEADRACE_OK means queued, and what goes wrong on the device later is reported by a later
 * call or by the synchronisation. Indices in memory are checked by the CPU library and trusted by
 * the CUDA library, which does not read them on the host.
 *
 * Every entry may be called from any thread, from several at a time with different outputs.
 * Nothing throws across this border and nothing ends the process. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HEADRACE_EXPORT __attribute__((visibility("default")))
#else
#define HEADRACE_EXPORT
#endif

/* Grows with every entry or field added; entries and fields are never taken away or moved. */
#define HEADRACE_KERNELS_VERSION 1

#define HEADRACE_WORKSPACE_ALIGNMENT 128
#define HEADRACE_REFUSED ((size_t)-1)

/* How a call ended. Numbers are frozen. */
typedef int32_t headrace_status;
enum {
  HEADRACE_OK = 0,
  HEADRACE_BAD_ARGUMENT = 1,    /* a pointer, size or number that the contract excludes */
  HEADRACE_BAD_STRUCT = 2,      /* struct_size too small, or fields set that this library lacks */
  HEADRACE_UNSUPPORTED = 3,     /* within the contract, but not in this library */
  HEADRACE_NO_DEVICE = 4,       /* no GPU that can be used: headrace_devices() says why */
  HEADRACE_OUT_OF_MEMORY = 5,   /* of the host or of the device */
  HEADRACE_SMALL_WORKSPACE = 6, /* absent, misaligned or shorter than the query said */
  HEADRACE_DEVICE_FAILED = 7,   /* CUDA refused a call or reports an earlier failure */
  HEADRACE_INTERNAL = 8,        /* a bug of this library */
  HEADRACE_PEER_GONE = 9        /* another member of a group is gone or slow */
};

/* How numbers lie in memory. Numbers are frozen; 0 to 3 are the formats of rows on the wire. */
typedef int32_t headrace_dtype;
enum {
  HEADRACE_F32 = 0,
  HEADRACE_I8 = 1,  /* codes; where values are meant, times one F16 scale a row */
  HEADRACE_F16 = 2, /* IEEE binary16 */
  HEADRACE_BF16 = 3 /* upper half of a float */
};

/* Every args struct begins with
 *
 *   uint32_t struct_size;   sizeof(headrace_OP_args) as the caller was compiled
 *   uint32_t flags;         0 but where the operator names bits
 *
 * so that both sides may be older than the other. Fields that a shorter struct lacks are read as
 * zero, and zero always means what the library did before the field existed. A longer struct than
 * the library's is accepted while all bytes behind its own fields are zero, else refused with
 * HEADRACE_BAD_STRUCT. Fill a struct with zeros before setting fields. */

/* HEADRACE_KERNELS_VERSION of the library. */
HEADRACE_EXPORT uint32_t headrace_version(void);

/* "cpu" or "cuda". */
HEADRACE_EXPORT const char* headrace_backend(void);

/* Lower-case name of a status, such as "bad_argument"; "unknown" for any other number. */
HEADRACE_EXPORT const char* headrace_status_name(headrace_status status);

/* One line on the last call of this thread into this library that was refused or failed, such as
 * "quantize_rows: codes is null"; "" where there was none. A call that succeeds leaves it. Valid
 * until the thread's next call into the library. */
HEADRACE_EXPORT const char* headrace_last_error(void);

/* What this library can compute on, as one line of JSON; never fails. Valid until the thread's next
 * headrace_devices().
 *
 *   {"backend":"cuda","version":1,"driver":13000,"runtime":13000,"refused":"",
 *    "device":[{"index":0,"name":"…","capability":"9.0","memory_bytes":0,"refused":""}]}
 *
 * A `refused` that is not empty says why: at the top why no device can be asked (no driver, a
 * driver too old), in a device why that one is not used (compute capability below 8.0). The CPU
 * library has one device, named by its instruction set, and leaves out driver, runtime, capability
 * and memory. Numbers of CUDA: 1000 * major + 10 * minor; driver 0 means none. */
HEADRACE_EXPORT const char* headrace_devices(void);

#ifdef __cplusplus
}
#endif

#endif
