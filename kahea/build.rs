//! C modules of scripts (`require "cjson"`) find the functions of the interpreters in this program.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-rdynamic");
}
