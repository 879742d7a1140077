//! Messages of the server.
