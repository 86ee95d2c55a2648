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
    modules.extend(kahea_db_sqlite::modules());
    modules.extend(kahea_db_mysql::modules());
    modules.extend(kahea_db_postgres::modules());
    modules.extend(kahea_db_redis::modules());
    modules.extend(kahea_db_text::modules());
    modules.extend(kahea_mods_location::modules());
    modules.extend(kahea_mods_auth::modules());
    modules.extend(kahea_mods_subscriber::modules());
    modules.extend(kahea_mods_accounting::modules());
    modules.extend(kahea_mods_data::modules());
    modules.extend(kahea_mods_nat_media::modules());
    #[cfg(feature = "javascript")]
    modules.extend(kahea_kemi_js::modules());
    #[cfg(feature = "python")]
    modules.extend(kahea_kemi_python::modules());
    modules.extend(kahea_mods_http::modules());
    modules.extend(kahea_mods_trace::modules());
    modules.extend(kahea_mods_json::modules());
    modules.extend(kahea_rpc::modules());
    modules.extend(kahea_kemi_lua::modules());
    Registry::new(modules)
}
