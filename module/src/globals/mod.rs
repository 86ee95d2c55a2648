//! Global parameters.

/// Global parameters.
#[derive(Clone, Debug, Default)]
pub struct Globals {}
