//! The link to Klippy: framing, handshake, state, requests, subscriptions, status cache.
