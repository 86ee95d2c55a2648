//! The configuration language: preprocessor, lexer, recovering parser and syntax tree.
#![forbid(unsafe_code)]

pub mod ast;
mod lexer;
pub mod parser;
pub mod preprocess;
pub mod pv;
pub mod source;
