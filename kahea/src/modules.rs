//! Every module of this build, family by family.

use kahea_module::registry::Registry;

/// All of them.
pub fn registry() -> Registry {
    let mut modules = kahea_module::modules![kahea_engine::core_module::Core];
    modules.extend(kahea_mods_base::modules());
    modules.extend(kahea_mods_text::modules());
    modules.extend(kahea_mods_transaction::modules());
    modules.extend(kahea_mods_regex::modules());
    modules.extend(kahea_mods_routing::modules());
    Registry::new(modules)
}
