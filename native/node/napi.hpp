// node-addon-api as this addon uses it. Every file includes it through here, so that all agree.
#pragma once

#ifndef NAPI_VERSION
#define NAPI_VERSION 8
#endif
#ifndef NAPI_CPP_EXCEPTIONS
#define NAPI_CPP_EXCEPTIONS
#endif
// A worker thread that is being terminated cannot take an exception; without this the addon would
// abort the whole process for it.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS

#include <napi.h>

namespace kvspan::node {

// Of every method and accessor: native/index.ts puts its wrapper in the place of each, once.
inline constexpr auto kReplaceable =
    static_cast<napi_property_attributes>(napi_writable | napi_configurable);
inline constexpr auto kReplaceableAccessor = napi_configurable;

}  // namespace kvspan::node
