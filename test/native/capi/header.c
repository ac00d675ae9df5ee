/* The header is C: this is compiled as such, and what it declares is linked. */
#include "kvspan.h"

uint32_t abiVersionAsC(void);

uint32_t abiVersionAsC(void) {
  kvspan_session session = 0;
  kvspan_error error = {{0}, {0}, {0}};
  const kvspan_session_options options = {"host", 0, NULL, 0, 0};
  if (kvspan_session_open(&options, &session, &error) != KVSPAN_OK) return 0;
  if (kvspan_session_close(session, &error) != KVSPAN_OK) return 0;
  return kvspan_abi_version();
}
