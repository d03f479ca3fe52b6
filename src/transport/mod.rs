//! How a call gets in and an event gets out: HTTP, websocket, unix socket.
