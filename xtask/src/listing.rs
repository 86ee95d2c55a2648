//! What this build declares, as `kahea list --json` prints it.

use serde_json::Value;

use crate::shell::{cargo, output};

/// The whole listing: `modules` and `globals`.
pub fn load() -> Result<Value, String> {
    let text = output(cargo().args(["run", "--quiet", "--package", "kahea", "--", "list", "--json"]))?;
    let listing: Value =
        serde_json::from_str(&text).map_err(|error| format!("kahea list --json: {error}"))?;
    if rows(&listing, "globals").next().is_none() {
        return Err("kahea list --json: not the document of engine/src/listing.rs".to_owned());
    }
    Ok(listing)
}

/// The elements of an array member; none where there is no such member.
pub fn rows<'a>(value: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> {
    value[member].as_array().into_iter().flatten()
}

/// A text member; empty where there is none.
pub fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}
