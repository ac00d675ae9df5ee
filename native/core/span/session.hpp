// The memory of one serving process: a magazine of imported extents, the caches that map them, and
// the mapper thread that works ahead of the engine. Knows nothing of sockets: extents come in by
// `addExtents`, wishes and returns go out by `Events`.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/device.hpp"

namespace kvspan {

inline constexpr int kOrderMax = 9;                   // extents of 2^0 .. 2^9 pages: 2 MiB .. 1 GiB
using OrderCounts = std::array<std::uint32_t, kOrderMax + 1>;

struct Extent {
  std::uint64_t id = 0;
  Handle handle = 0;
  std::uint64_t bytes = 0;
};

// Where everything of a cache lies; decided by the daemon (proto CachePlan).
struct CachePlan {
  Address wantedBase = 0;
  std::uint64_t totalBytes = 0;
  std::uint32_t laneCount = 0;
  std::uint64_t rowBytes = 0;  // one token in one lane
  std::uint64_t slotStrideBytes = 0;
  std::uint64_t laneStrideBytes = 0;
  std::uint32_t slotCount = 0;
  std::uint32_t maxTokens = 0;
};

enum class Growth { Geometric, Linear };

struct CacheOptions {
  Growth growth = Growth::Geometric;
  std::uint32_t lookaheadTokens = 16;  // kept mapped past each live slot by the mapper
  std::uint32_t overreadTokens = 0;    // mapped past the length for kernels that read whole tiles
};

// Of either mark: as much as all addresses of a plan. A wish is made of a mark's pages.
inline constexpr std::uint64_t kWaterBytesMax = std::uint64_t{1} << 46;

struct SessionOptions {
  std::uint64_t lowWaterBytes = 0;   // of the magazine: below it the mapper asks for more
  std::uint64_t highWaterBytes = 0;  // above it the mapper returns extents; 0: never
};

// Called with no lock held: `need` on the mapper's thread; `returned` on the thread that released
// (the mapper's, or that of giveBack, returnExtents, close, or a late addExtents). Must not call
// back into the session and wait.
struct Events {
  // Extents are wanted, by order. At most one such wish is open: it closes with `refillDone`.
  std::function<void(const OrderCounts& counts)> need;
  // Extents were unmapped and their handles released: tell the daemon.
  std::function<void(const std::vector<std::uint64_t>& extentIds)> returned;
};

// What `step` had to do, the most expensive first.
enum class StepOutcome : int {
  Nothing = 0,       // every slot had room; the mapper was not even woken
  Ahead = 1,         // every slot had room; the mapper was given work for later
  MappedNow = 2,     // extents of the magazine were mapped on the caller's thread
  Short = 3,         // some slots could not grow: see `shortSlots`
};

struct StepReport {
  StepOutcome outcome = StepOutcome::Nothing;
  std::uint32_t driverCalls = 0;  // on the caller's thread
  std::vector<std::uint32_t> shortSlots;  // kept their former length
  OrderCounts need{};             // what a refill must bring for them, beyond the magazine
};

struct AllocateReport {
  std::int32_t slot = -1;  // -1: not enough memory; nothing was changed
  std::uint64_t mappedBytes = 0;
  bool warm = false;       // an idle span served it without a driver call
  OrderCounts need{};
};

struct StepCount {  // one per StepOutcome: how often, and a histogram of nanoseconds
  std::uint64_t count = 0;
  std::uint64_t p50Ns = 0, p99Ns = 0, p999Ns = 0, maxNs = 0;
};

struct CacheStats {
  std::uint32_t liveSlots = 0;
  std::uint32_t idleSlots = 0;      // freed, span still mapped
  std::uint64_t mappedBytes = 0;    // live and idle
  std::uint64_t idleBytes = 0;
  std::uint64_t liveBytes = 0;      // length x rowBytes x lanes over live slots
  std::uint64_t mappedExtents = 0;
  std::array<StepCount, 4> steps{};  // by StepOutcome
  StepCount allSteps{};
  std::uint64_t stepsWithDriverCall = 0;
};

struct SessionStats {
  std::uint64_t magazineBytes = 0;
  std::uint64_t magazineExtents = 0;
  std::uint64_t heldBytes = 0;       // magazine and mapped
  std::uint64_t heldExtents = 0;
  std::uint64_t mapperMaps = 0;      // extents mapped ahead by the mapper
  std::uint64_t pendingUnmapBytes = 0;  // idle, waiting for a fence
  std::uint64_t driverFailures = 0;  // of background work; retried, so of interest only if it grows
};

class Session;

// A KV cache: `slots` rows of reserved addresses, each mapped from its beginning as far as it has
// grown. `step`, `free`, `announce`, `allocateWarm`, `write` and `read` are called by one thread at
// a time (the engine's); the mapper works beside it. `allocate` is for that thread too;
// `allocateUnannounced` may run on any other beside it. The rest is for any thread.
class Cache {
 public:
  virtual ~Cache() = default;

  virtual Address base() const = 0;
  virtual const CachePlan& plan() const = 0;

  // A slot for a new request of `tokens` (its prompt; 1 .. maxTokens), mapped as far as that.
  // Blocking driver calls: not for a thread that must not wait. Prefers the idle span that fits.
  // Takes from the magazine, then from idle spans whose fence is reached. Throws SlotsExhausted.
  virtual AllocateReport allocate(std::uint32_t tokens) = 0;

  // As allocate, for a thread beside the engine's: the slot is not live, and `step` wants a 0 for
  // it, until the engine's thread has taken notice of it with `announce`. Without this a step
  // between the slot's birth and the news of it would miss a length it could not know of.
  // `free` abandons such a slot.
  virtual AllocateReport allocateUnannounced(std::uint32_t tokens) = 0;
  // The same; if memory is short it waits until extents have arrived (addExtents) and looks again,
  // so that memory on its way is mapped by the thread that its arrival wakes. It waits for at most
  // `patience`, and not at all once `hurry` has been called since `hurries` was read.
  // `promised`: memory is promised to the request; it may take what is kept (Session::keep), and is
  // as if `promise` had been called.
  virtual AllocateReport allocateAwaiting(std::uint32_t tokens, std::chrono::milliseconds patience,
                                          std::uint64_t hurries, bool promised = false) = 0;
  // Ends the waits of the whole session: they look once more and report.
  virtual void hurry() = 0;
  virtual std::uint64_t hurries() const = 0;
  // Makes a slot of allocateUnannounced live. SlotUnknown if it is not one.
  virtual void announce(std::uint32_t slot) = 0;

  // As allocate, but only if an idle span serves it with no driver call; else slot = -1, and `need`
  // says what an allocate would find missing if that is sure (nothing idle could serve instead),
  // so that the daemon can be asked at once; all zeros: allocate has to look.
  virtual AllocateReport allocateWarm(std::uint32_t tokens) = 0;

  // The new length of every slot, before a forward pass: `lengths[slot]`, 1 .. maxTokens for each
  // live slot and 0 for every other; slotCount entries. A slot that must grow takes, in order:
  // what is mapped ahead; the magazine. One that cannot grow keeps its former length and is
  // reported. Bad input throws and changes nothing. The report stays valid until the next step.
  // If the driver fails for a slot, that slot keeps its former length, the others are served, and
  // the driver's error is thrown; the same step may be tried again.
  virtual const StepReport& step(const std::int32_t* lengths, std::size_t count) = 0;

  // Memory to grow is promised to this live slot's request, or is not any more; `free` ends it too.
  // Such a slot may take what is kept, and what it has mapped ahead is not given back: the promise
  // does not count it any more.
  virtual void promise(std::uint32_t slot, bool promised) = 0;

  // The request of this slot has ended. Its span stays mapped, idle; it is unmapped not before
  // the work submitted to `stream` so far has completed. `hasStream` false: no work is pending.
  virtual void free(std::uint32_t slot, bool hasStream, Stream stream) = 0;

  virtual std::uint32_t length(std::uint32_t slot) const = 0;       // live slots only
  virtual std::uint32_t mappedTokens(std::uint32_t slot) const = 0; // whole tokens mapped

  // Rows of a live slot, within its length: `tokens` rows from `firstToken`, of each the bytes
  // [offset, offset + width) in the lane's row; `data` is dense, tokens x width.
  virtual void write(std::uint32_t slot, std::uint32_t lane, std::uint32_t firstToken,
                     std::uint32_t tokens, std::uint64_t offset, std::uint64_t width,
                     const void* data) = 0;
  virtual void read(std::uint32_t slot, std::uint32_t lane, std::uint32_t firstToken,
                    std::uint32_t tokens, std::uint64_t offset, std::uint64_t width,
                    void* data) = 0;

  virtual CacheStats stats() const = 0;

  // Waits for fences, unmaps everything into the magazine, gives the addresses up. Idempotent.
  // Every later call throws Closed.
  virtual void destroy() = 0;
};

class Session {
 public:
  // Starts the mapper thread.
  static std::shared_ptr<Session> create(std::shared_ptr<Device> device, SessionOptions options,
                                         Events events);
  virtual ~Session() = default;

  virtual std::shared_ptr<Cache> createCache(const CachePlan& plan, const CacheOptions& options) = 0;

  // Imported extents from the daemon, into the magazine; wakes the mapper. Their handles are the
  // session's from here on. InvalidArgument (nothing taken) for a size that is not 2^k pages or an
  // id already held. After close they are released at once, and reported.
  virtual void addExtents(std::vector<Extent> extents) = 0;
  // The wish told by `Events::need` was answered (met or refused). The mapper will not wish again
  // before `retryAfterMs` have passed.
  virtual void refillDone(std::uint32_t retryAfterMs) = 0;

  // Gives back at least `bytes` if there is as much to spare, in the design's order: magazine,
  // idle spans (fences permitting), look-ahead. Released extents are reported by
  // `Events::returned` before this returns. Blocking. Returns the bytes released; 0 while releases
  // are paused.
  virtual std::uint64_t giveBack(std::uint64_t bytes) = 0;

  // So much more of the magazine, what is still on its way included, is kept for slots that memory is
  // promised to, who use it up by growing; or less. Others do not take it, and it is not given back.
  virtual void keep(std::uint64_t bytes) = 0;
  virtual void unkeep(std::uint64_t bytes) = 0;

  // Releases these magazine extents. All or nothing: throws ExtentUnknown, ExtentReturned or
  // ExtentMapped (naming the extent, and the cache and slot that map it); DaemonUnavailable while
  // releases are paused. Reported by `Events::returned` before this returns.
  virtual void returnExtents(const std::vector<std::uint64_t>& ids) = 0;

  // For a new daemon's books: every extent held. Between pause and resume nothing is released
  // (except by close). Pausing waits until releases under way were reported.
  virtual void pauseReleases() = 0;
  virtual std::vector<Extent> held() const = 0;
  virtual void resumeReleases() = 0;

  virtual SessionStats stats() const = 0;

  // Destroys the caches, releases every extent (reported by `returned`), stops the thread.
  // Idempotent; if the driver failed, what is left is kept and calling again goes on with it.
  virtual void close() = 0;
};

}  // namespace kvspan
