//! The configuration language: preprocessor, lexer, recovering parser, syntax tree, and the compiler to a program whose
//! names are all looked up.
#![forbid(unsafe_code)]

pub mod ast;
pub mod bygone;
pub mod compile;
pub mod fuzz;
pub mod known;
mod lexer;
pub mod parser;
pub mod preprocess;
pub mod program;
pub mod pv;
pub mod source;
