//! Findings about a configuration: places, diagnostics as data, and their renderers.
//!
//! [`SourceMap`] holds the texts and knows how each came about (named by the user, included, made by a `#!define`);
//! a [`Span`] points into one. [`Diagnostic`] says what is wrong and what to do, [`Diagnostics`] collects them, and
//! [`render`] turns them into text for people, into single lines for editors, and into JSON.
#![forbid(unsafe_code)]

pub mod codes;
mod diagnostic;
pub mod render;
mod similar;
mod source;
mod span;

pub use self::{
    codes::Code,
    diagnostic::{Diagnostic, Diagnostics, Label, MAX_KEPT, Severity},
    similar::closest,
    source::{Origin, Position, SourceFile, SourceMap},
    span::{FileId, Span},
};
