/*
 * kvspan: the C ABI of the native core. What native/node is to Node, this is to every other
 * language: a serving process's memory and its way to the daemon. The control plane (gRPC, the
 * .proto files) is the caller's own; client/python is a complete user of this header.
 *
 *   session = kvspan_session_open(device)          the device, a magazine, a mapper thread
 *   kvspan_session_connect(session, extents.sock)  a token for gRPC; extents arrive by themselves
 *   cache = kvspan_cache_create(session, plan)     the plan is the daemon's answer to CreateCache
 *   kvspan_cache_allocate, _step, _free            every forward pass
 *   kvspan_session_next_event                      a thread that tells the daemon what it must know
 *   kvspan_session_close
 *
 * Handles are numbers, never used twice. 0 is none. A stale one (closed, or inherited by a fork) is
 * refused with CLOSED: no mistake with a handle touches memory. Closing twice is no mistake.
 *
 * Errors: every call returns KVSPAN_OK or KVSPAN_FAILED and then fills `error` (may be NULL): a code
 * of the closed set in proto/errors.ts, the field at fault ("" if none is), a sentence. Out
 * parameters are written on success only. No exception crosses this boundary; a null pointer
 * where one is needed is INVALID_ARGUMENT, and so is anything else that can be checked.
 *
 * Threads: any call may be made from any thread. A cache's calls of the engine (allocate_warm,
 * step, step_slots, free, lengths, and the last act of allocate) take turns; they block nothing
 * for longer than a driver call. What blocks is marked "Blocks". A handle may be closed while other
 * threads are inside calls on it: those end first or fail with CLOSED. Nothing is called back.
 *
 * Forks: a child that was forked has none of its parent's threads, so each handle is refused there.
 *
 * Sizes are bytes unless the name says otherwise; a page is 2 MiB. Strings are UTF-8, ended by NUL;
 * the library copies what it keeps. Structures are filled whole by the library or by the caller;
 * their layout is part of the ABI's version.
 */
#ifndef KVSPAN_H
#define KVSPAN_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define KVSPAN_API __attribute__((visibility("default")))
#else
#define KVSPAN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Changes whenever a signature, a structure or a meaning below does. */
#define KVSPAN_ABI_VERSION 2u
/* Of the library that was loaded; whoever was written for another one must not use it. */
KVSPAN_API uint32_t kvspan_abi_version(void);

enum { KVSPAN_OK = 0, KVSPAN_FAILED = -1 };

/* Extents are of 2^0 .. 2^9 pages: 2 MiB .. 1 GiB. */
#define KVSPAN_ORDERS 10
#define KVSPAN_TOKEN_BYTES 32
#define KVSPAN_DIMENSIONS_MAX 8

typedef uint64_t kvspan_session;
typedef uint64_t kvspan_cache;

typedef struct kvspan_error {
  char code[32];
  char field[96];
  char message[896]; /* cut if it is longer */
} kvspan_error;

/* ── Sessions ──────────────────────────────────────────────────────────────────────────────── */

typedef struct kvspan_session_options {
  const char* backend; /* "host" or "cuda" */
  int32_t ordinal;
  const char* library;      /* path of libcuda; NULL: the system's libcuda.so.1 */
  uint64_t low_water_bytes;  /* of the magazine: below it a NEED event asks for more; 0: never */
  uint64_t high_water_bytes; /* above it extents are returned; 0: never */
} kvspan_session_options;

typedef struct kvspan_device_info {
  char backend[16];
  char name[128];
  char uuid[64]; /* "" on the host backend */
  char driver[128];
  int32_t ordinal;
  uint64_t granularity_bytes;
  uint64_t total_bytes;
  uint64_t free_bytes;
} kvspan_device_info;

typedef struct kvspan_welcome {
  uint64_t session_id;
  uint8_t token[KVSPAN_TOKEN_BYTES]; /* the binary metadata key kvspan-session-token-bin */
  char service_path[128];            /* of the daemon's gRPC socket */
} kvspan_welcome;

enum {
  KVSPAN_EVENT_NONE = 0, /* nothing happened within the time */
  /* The mapper wants `counts[order]` extents. One such wish is open at a time, until refill_done. */
  KVSPAN_EVENT_NEED = 1,
  /* Extents were unmapped and released: send their ids to the daemon (Return). */
  KVSPAN_EVENT_RETURNED = 2,
  /* All of grant `grant_id` is in the magazine; `text` not "": only the first `imported_count`. */
  KVSPAN_EVENT_GRANTED = 3,
  /* The extent channel is gone, for the reason in `text`. Spans stay usable. */
  KVSPAN_EVENT_CLOSED = 4,
  /* One for each kvspan_session_mark: all that happened before it has been told. */
  KVSPAN_EVENT_MARK = 5
};

typedef struct kvspan_event {
  int32_t kind;
  uint32_t imported_count;
  uint64_t grant_id;
  uint32_t counts[KVSPAN_ORDERS];
  uint64_t id_count; /* of RETURNED: how many were written to `ids` */
  char text[512];
} kvspan_event;

typedef struct kvspan_extent {
  uint64_t id;
  uint64_t bytes;
} kvspan_extent;

typedef struct kvspan_session_stats {
  uint64_t magazine_bytes;
  uint64_t magazine_extents;
  uint64_t held_bytes; /* magazine and mapped */
  uint64_t held_extents;
  uint64_t mapper_maps;        /* extents that the mapper mapped ahead of need */
  uint64_t pending_unmap_bytes; /* idle, waiting for a stream */
  uint64_t driver_failures;     /* of background work, retried */
} kvspan_session_stats;

/* Opens the device in this process and starts the mapper thread. DEVICE_UNAVAILABLE,
   INVALID_ARGUMENT. */
KVSPAN_API int kvspan_session_open(const kvspan_session_options* options, kvspan_session* session,
                                   kvspan_error* error);
KVSPAN_API int kvspan_session_device(kvspan_session session, kvspan_device_info* info,
                                     kvspan_error* error);
/* Says hello on the extent channel. Blocks up to `timeout_ms` (at least 1). `name`: up to 63 bytes,
   for people. DAEMON_UNAVAILABLE, PERMISSION_DENIED, SESSION_LIMIT, SESSION_EVICTED, PROTOCOL. */
KVSPAN_API int kvspan_session_connect(kvspan_session session, const char* path, const char* name,
                                      uint32_t timeout_ms, kvspan_welcome* welcome,
                                      kvspan_error* error);
/* Ends the connection, if there is one; no CLOSED event comes of it. */
KVSPAN_API int kvspan_session_disconnect(kvspan_session session, kvspan_error* error);
/* The next event. Blocks up to `timeout_ms`; CLOSED once the session is closing. Of RETURNED, up to
   `capacity` (at least 1) ids are written to `ids`; the rest come with the next call. Events wait
   here until somebody asks, so a session needs a thread that does. */
KVSPAN_API int kvspan_session_next_event(kvspan_session session, uint32_t timeout_ms,
                                         kvspan_event* event, uint64_t* ids, size_t capacity,
                                         kvspan_error* error);
/* Puts a MARK behind the events that wait. */
KVSPAN_API int kvspan_session_mark(kvspan_session session, kvspan_error* error);
/* Answers NEED, met or refused: the mapper does not ask again before `retry_after_ms`. */
KVSPAN_API int kvspan_session_refill_done(kvspan_session session, uint32_t retry_after_ms,
                                          kvspan_error* error);
/* Releases at least so many bytes if there is as much to spare: magazine, idle spans, look-ahead.
   RETURNED events tell which. Blocks for the driver. */
KVSPAN_API int kvspan_session_give_back(kvspan_session session, uint64_t bytes, uint64_t* released,
                                        kvspan_error* error);
/* So much more of the magazine, and of what is on its way, is kept for slots that memory is promised
   to, who use it up by growing; or less. It is not given back. */
KVSPAN_API int kvspan_session_keep(kvspan_session session, uint64_t bytes, kvspan_error* error);
KVSPAN_API int kvspan_session_unkeep(kvspan_session session, uint64_t bytes, kvspan_error* error);
/* These extents of the magazine, all or none: EXTENT_UNKNOWN, EXTENT_RETURNED, EXTENT_MAPPED. */
KVSPAN_API int kvspan_session_return_extents(kvspan_session session, const uint64_t* ids,
                                             size_t count, kvspan_error* error);
/* Between the two nothing is released: for putting everything held on a new daemon's books. Pausing
   blocks until releases under way have been told. */
KVSPAN_API int kvspan_session_pause_releases(kvspan_session session, kvspan_error* error);
KVSPAN_API int kvspan_session_resume_releases(kvspan_session session, kvspan_error* error);
/* Everything held: `count` says how many; at most `capacity` are written, so ask again if it is
   more. */
KVSPAN_API int kvspan_session_held(kvspan_session session, kvspan_extent* extents, size_t capacity,
                                   size_t* count, kvspan_error* error);
KVSPAN_API int kvspan_session_get_stats(kvspan_session session, kvspan_session_stats* stats,
                                        kvspan_error* error);
/* Destroys its caches, releases everything, ends its threads. Blocks until the streams of freed
   slots are done. If the driver fails what is left is kept, and calling again goes on with it. */
KVSPAN_API int kvspan_session_close(kvspan_session session, kvspan_error* error);

/* ── Caches ────────────────────────────────────────────────────────────────────────────────── */

/* The daemon's CachePlan, with the slots and tokens that were asked for. The address of token t of
   slot s in lane l is base + l * lane_stride_bytes + s * slot_stride_bytes + t * row_bytes. */
typedef struct kvspan_cache_plan {
  uint64_t wanted_base;
  uint64_t total_bytes;
  uint64_t row_bytes;
  uint64_t slot_stride_bytes;
  uint64_t lane_stride_bytes;
  uint32_t lane_count;
  uint32_t slot_count;
  uint32_t max_tokens;
} kvspan_cache_plan;

enum { KVSPAN_GROWTH_GEOMETRIC = 0, KVSPAN_GROWTH_LINEAR = 1 };

typedef struct kvspan_cache_options {
  int32_t growth;
  uint32_t lookahead_tokens; /* kept mapped past each live slot by the mapper */
  uint32_t overread_tokens;  /* mapped past the length, for kernels that read whole tiles */
} kvspan_cache_options;

typedef struct kvspan_allocation {
  int32_t slot; /* -1: not enough memory; nothing was changed */
  int32_t warm; /* 1: an idle span served it, with no driver call */
  uint64_t mapped_bytes;
  uint32_t need[KVSPAN_ORDERS]; /* slot -1: what a grant must bring; all 0: look with allocate */
} kvspan_allocation;

enum {
  KVSPAN_STEP_NOTHING = 0, /* every slot had room */
  KVSPAN_STEP_AHEAD = 1,   /* the same, and the mapper was given work for later */
  KVSPAN_STEP_MAPPED = 2,  /* extents of the magazine were mapped on this thread */
  KVSPAN_STEP_SHORT = 3    /* some slots could not grow and kept their length; the others grew */
};

typedef struct kvspan_step_report {
  int32_t outcome;
  uint32_t driver_calls;
  uint32_t short_count; /* written to `short_slots`, ascending */
  uint32_t need[KVSPAN_ORDERS];
} kvspan_step_report;

typedef struct kvspan_step_count {
  uint64_t count, p50_ns, p99_ns, p999_ns, max_ns;
} kvspan_step_count;

typedef struct kvspan_cache_stats {
  uint32_t live_slots;
  uint32_t idle_slots; /* freed, span still mapped */
  uint64_t mapped_bytes;
  uint64_t idle_bytes;
  uint64_t live_bytes; /* rows within the lengths of live slots */
  uint64_t mapped_extents;
  uint64_t steps_with_driver_call;
  kvspan_step_count steps[4]; /* by KVSPAN_STEP_* */
  kvspan_step_count all_steps;
} kvspan_cache_stats;

/* Reserves the addresses. `base`: where, which is not wanted_base if that was taken. */
KVSPAN_API int kvspan_cache_create(kvspan_session session, const kvspan_cache_plan* plan,
                                   const kvspan_cache_options* options, kvspan_cache* cache,
                                   uint64_t* base, kvspan_error* error);
/* A slot for a prompt of `tokens`, if an idle span serves it with no driver call. */
KVSPAN_API int kvspan_cache_allocate_warm(kvspan_cache cache, uint32_t tokens,
                                          kvspan_allocation* allocation, kvspan_error* error);
/* The same with whatever the process has. Blocks: for the driver, and, if memory is short, up to
   `patience_ms` for extents that arrive meanwhile. `promised` 1: as if kvspan_cache_promise had been
   called; it may take what is kept. SLOTS_EXHAUSTED. */
KVSPAN_API int kvspan_cache_allocate(kvspan_cache cache, uint32_t tokens, uint32_t patience_ms,
                                     int promised, kvspan_allocation* allocation,
                                     kvspan_error* error);
/* Memory to grow is promised (1) to this live slot's request, or is not any more (0): it may take what
   is kept, and what it has mapped ahead is not given back. Freeing the slot ends it. */
KVSPAN_API int kvspan_cache_promise(kvspan_cache cache, uint32_t slot, int promised,
                                    kvspan_error* error);
/* Ends the waits of every allocate of the session: they look once more and report. */
KVSPAN_API int kvspan_cache_hurry(kvspan_cache cache, kvspan_error* error);
/* The new length of every slot, before a forward pass: 1 .. max_tokens for each live slot, 0 for
   every other; `count` is slot_count. Bad input changes nothing. `short_slots` and `lengths_after`
   have room for slot_count each, or are NULL; `lengths_after` is what the lengths then are. */
KVSPAN_API int kvspan_cache_step(kvspan_cache cache, const int32_t* lengths, size_t count,
                                 kvspan_step_report* report, uint32_t* short_slots,
                                 int32_t* lengths_after, kvspan_error* error);
/* The same for the slots named; the others keep their length. */
KVSPAN_API int kvspan_cache_step_slots(kvspan_cache cache, const uint32_t* slots,
                                       const int32_t* lengths, size_t count,
                                       kvspan_step_report* report, uint32_t* short_slots,
                                       int32_t* lengths_after, kvspan_error* error);
/* The slot's request has ended. With has_stream, its span is unmapped only after the work submitted
   to `stream` (a CUstream; on host a host stream) so far. SLOT_UNKNOWN, SLOT_FREED. */
KVSPAN_API int kvspan_cache_free(kvspan_cache cache, uint32_t slot, int has_stream, uint64_t stream,
                                 kvspan_error* error);
/* Of all slots, 0: not live; `count` is slot_count. */
KVSPAN_API int kvspan_cache_lengths(kvspan_cache cache, int32_t* lengths, size_t count,
                                    kvspan_error* error);
/* Of a live slot. SLOT_UNKNOWN, SLOT_FREED. */
KVSPAN_API int kvspan_cache_length(kvspan_cache cache, uint32_t slot, uint32_t* tokens,
                                   kvspan_error* error);
/* Whole tokens of this slot that are mapped, live or idle. */
KVSPAN_API int kvspan_cache_mapped_tokens(kvspan_cache cache, uint32_t slot, uint32_t* tokens,
                                          kvspan_error* error);
/* Dense rows of `width` bytes at `offset` within the lane's row, for tokens within the slot's
   length; `bytes` is tokens x width. A copy by the CPU or the driver, done when it returns. */
KVSPAN_API int kvspan_cache_write(kvspan_cache cache, uint32_t slot, uint32_t lane,
                                  uint32_t first_token, uint32_t tokens, uint64_t offset,
                                  uint64_t width, const void* data, size_t bytes,
                                  kvspan_error* error);
KVSPAN_API int kvspan_cache_read(kvspan_cache cache, uint32_t slot, uint32_t lane,
                                 uint32_t first_token, uint32_t tokens, uint64_t offset,
                                 uint64_t width, void* data, size_t bytes, kvspan_error* error);
KVSPAN_API int kvspan_cache_get_stats(kvspan_cache cache, kvspan_cache_stats* stats,
                                      kvspan_error* error);
/* Gives the addresses up; the memory goes to the magazine. Blocks until the streams of freed slots
   are done. */
KVSPAN_API int kvspan_cache_destroy(kvspan_cache cache, kvspan_error* error);

/* ── Host streams ──────────────────────────────────────────────────────────────────────────── */

/* What a CUstream is to the cuda backend: work in order, begun and ended by hand. INVALID_ARGUMENT
   for a stream that is unknown or destroyed. */
KVSPAN_API int kvspan_host_stream_create(uint64_t* stream, kvspan_error* error);
KVSPAN_API int kvspan_host_stream_submit(uint64_t stream, kvspan_error* error);
/* The oldest outstanding piece of work is done. */
KVSPAN_API int kvspan_host_stream_complete(uint64_t stream, kvspan_error* error);
/* `idle` 1: all that was submitted is done. */
KVSPAN_API int kvspan_host_stream_idle(uint64_t stream, int32_t* idle, kvspan_error* error);
KVSPAN_API int kvspan_host_stream_destroy(uint64_t stream, kvspan_error* error);

/* ── Tensors ───────────────────────────────────────────────────────────────────────────────── */

/* A DLManagedTensor (DLPack, github.com/dmlc/dlpack, the unversioned structure) over addresses of
   a cache. It owns no memory. */
typedef struct kvspan_tensor {
  uint64_t address;
  int32_t device_type; /* DLDeviceType: 1 CPU, 2 CUDA */
  int32_t device_id;
  uint8_t type_code; /* DLDataTypeCode: 1 unsigned, 2 float, 4 bfloat, ... */
  uint8_t type_bits;
  uint16_t dimensions;
  int64_t shape[KVSPAN_DIMENSIONS_MAX];
  int64_t strides[KVSPAN_DIMENSIONS_MAX]; /* in elements */
  uint64_t host_stream; /* its oldest work completes when the tensor is deleted; 0: none */
} kvspan_tensor;

KVSPAN_API int kvspan_tensor_export(const kvspan_tensor* tensor, void** managed,
                                    kvspan_error* error);
/* As its own deleter does, for a tensor that nobody consumed. NULL is no mistake. */
KVSPAN_API void kvspan_tensor_delete(void* managed);

#ifdef __cplusplus
}
#endif

#endif /* KVSPAN_H */
