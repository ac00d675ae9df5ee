// How native objects end. There are three ways, and each is a state of its own:
//
//  * closed by the caller: the orderly way, done by each class's `close`;
//  * dropped (collected unclosed, or its worker_threads environment ended): `bury` closes it on a
//    thread of its own, since closing may wait for a fence or a peer, and a collector must not;
//  * the process exits: nothing is closed at all. Threads may be anywhere, static destructors are
//    about to run, and the kernel frees more reliably than we could. What is buried is leaked.
#pragma once

#include <functional>

#include "napi.hpp"

namespace kvspan::node {

// Once per environment, first thing: keeps this library in memory for as long as the process lives
// (a worker's end would unload it under our threads) and notes when the main environment ends.
void prepareLifetime(Napi::Env env);

// The main environment is being torn down.
bool processExiting() noexcept;

// Runs `close`, which owns what it closes, on a thread of its own; leaks it at process exit.
void bury(std::function<void()> close) noexcept;

}  // namespace kvspan::node
