//! Stream transports: the connection table, one task for each connection, accepting and dialling.
//!
//! A connection's task is generic over [`stream::Stream`]: TCP is one, TLS will be another. What is in the table is
//! [`connection::Connection`], which any thread may hold; the socket stays with the task on the worker that owns it.

pub mod accept;
pub mod codec;
pub mod connection;
pub mod dial;
pub mod haproxy;
pub mod queue;
pub mod stream;
pub mod table;
pub mod task;
