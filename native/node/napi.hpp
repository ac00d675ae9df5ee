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
