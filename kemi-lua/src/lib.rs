//! Lua, as `cfgengine "lua"` and as module `app_lua`.
