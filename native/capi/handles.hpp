// Handles as numbers: what a caller holds is looked up, so a stale one is an error and nothing else.
// The upper 16 bits count forks, so that a parent's handles are told from a child's own.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kvspan.h"

namespace kvspan::capi {

struct OpenSession;
struct OpenCache;

kvspan_session addSession(std::shared_ptr<OpenSession> session);
kvspan_cache addCache(std::shared_ptr<OpenCache> cache);

// Throw CLOSED (was closed, or belongs to the process that forked this one), or INVALID_ARGUMENT
// for a number that was never given out.
std::shared_ptr<OpenSession> findSession(kvspan_session handle);
std::shared_ptr<OpenCache> findCache(kvspan_cache handle);
// Null if it was closed.
std::shared_ptr<OpenSession> findSessionIfOpen(kvspan_session handle);
std::shared_ptr<OpenCache> findCacheIfOpen(kvspan_cache handle);

void removeSession(kvspan_session handle);
void removeCache(kvspan_cache handle);
// The caches of one session that are still open.
std::vector<kvspan_cache> cachesOf(const OpenSession* session);

}  // namespace kvspan::capi
