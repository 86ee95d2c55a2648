//! Databases as modules see them: queries made once at start, values bound to them for each message, answers that
//! are waited for without holding a worker.
//!
//! A module opens a [`Database`] by URL in its `init`, makes its [`Query`]s there, and runs them with values. Which
//! [`Driver`] answers is decided by the scheme of the URL. Connections are kept in a pool for each URL, with a deadline
//! for every statement and a breaker that answers at once while the server is away.
#![forbid(unsafe_code)]

mod database;
mod databases;
mod driver;
mod error;
mod health;
mod pool;
mod query;
pub mod schema;
pub mod script;
pub mod sql;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod time;
mod url;
mod value;
mod version;

pub use self::{
    database::{Answer, Database},
    databases::Databases,
    driver::{BoxFuture, Connection, Done, Driver, Features, Sink},
    error::Error,
    health::State,
    pool::Limits,
    query::{Kind, Op, Query, Statement},
    time::{local_moment, local_seconds, parse_time, time_text},
    url::Url,
    value::{Row, Rows, Value},
    version::{TableVersion, check_table},
};
