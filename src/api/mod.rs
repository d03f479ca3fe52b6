//! What a remote call is: endpoints, parameters, replies, errors, JSON-RPC, callers, events.
