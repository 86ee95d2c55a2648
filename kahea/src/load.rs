//! Which configuration is read, and what the command line adds to it.

use std::{io, ops::Range, path::Path, sync::Arc};

use kahea_engine::{Loaded, boot};
use kahea_lang::source::{self, Memory, Pattern, Sources};
use kahea_module::{Str, globals::Globals, registry::Registry};

use crate::{data, options::Options};

/// What is run without any configuration file.
const BUILT_IN: &str = include_str!("default.cfg");
/// The name it has in messages.
const BUILT_IN_NAME: &str = "default.cfg (built in)";
/// The root text where the command line loads modules; it includes the configuration.
const COMMAND_LINE: &str = "command line";

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, `-` for standard input.
    File(String),
    /// The one in the program.
    BuiltIn,
}

impl Place {
    /// The file of `-f`, else the usual one of a server of this name, else the built-in.
    pub fn of(options: &Options, program: &str) -> Place {
        if let Some(path) = &options.config {
            return Place::File(path.clone());
        }
        let usual = if program == "kamailio" {
            "/etc/kamailio/kamailio.cfg"
        } else {
            "/etc/kahea/kahea.cfg"
        };
        if Path::new(usual).exists() {
            Place::File(usual.to_owned())
        } else {
            Place::BuiltIn
        }
    }

    /// Made independent of the working directory.
    pub fn absolute(self) -> Place {
        match self {
            Place::File(path) if path != "-" => {
                let full = std::path::absolute(&path)
                    .ok()
                    .and_then(|full| full.into_os_string().into_string().ok());
                Place::File(full.unwrap_or(path))
            }
            other => other,
        }
    }

    /// As shown to people.
    pub fn name(&self) -> &str {
        match self {
            Place::File(path) => path,
            Place::BuiltIn => BUILT_IN_NAME,
        }
    }
}

/// Reads and compiles the configuration, with everything that the command line says about it.
///
/// # Errors
/// A value of the command line cannot be right.
pub fn load(place: &Place, options: &Options, registry: &Arc<Registry>) -> Result<Loaded, String> {
    let sources = With {
        prelude: prelude(place, options),
    };
    let root = if sources.prelude.is_some() {
        COMMAND_LINE
    } else {
        place.name()
    };
    let mut loaded = boot::load_from(root, &sources, &language(options), registry);
    overrule(options, &mut loaded.globals)?;
    Ok(loaded)
}

/// The configuration as text, after includes, conditions and definitions.
pub fn printed(
    place: &Place,
    options: &Options,
) -> (Vec<u8>, kahea_diag::Diagnostics, kahea_diag::SourceMap) {
    let sources = With { prelude: None };
    let read = kahea_lang::preprocess::preprocess(place.name(), &sources, &language(options));
    (read.text(), read.diagnostics, read.sources)
}

/// What the command line says to the language.
pub fn language(options: &Options) -> source::Options {
    source::Options {
        defines: options.defines.clone(),
        substs: options.substs.clone(),
        substdefs: options.substdefs.clone(),
        substdefs_quoted: options.substdefs_quoted.clone(),
        ..source::Options::default()
    }
}

/// The script lines that `--loadmodule` and `--modparam` stand for, and where the built-in configuration finds its
/// database, in front of the configuration.
fn prelude(place: &Place, options: &Options) -> Option<String> {
    let built_in = *place == Place::BuiltIn;
    if options.modules.is_empty() && options.params.is_empty() && !built_in {
        return None;
    }
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut text = String::new();
    if built_in {
        let url = data::url(&data::folder());
        text.push_str(&format!("#!define KAHEA_DB \"{}\"\n", quoted(&url)));
    }
    for module in &options.modules {
        text.push_str(&format!("loadmodule \"{}\"\n", quoted(module)));
    }
    for (module, name, value) in &options.params {
        text.push_str(&format!(
            "modparam(\"{}\", \"{}\", {value})\n",
            quoted(module),
            quoted(name)
        ));
    }
    text.push_str(&format!("include_file \"{}\"\n", quoted(place.name())));
    Some(text)
}

/// The files of the machine, and the texts that are none.
struct With {
    prelude: Option<String>,
}

impl Sources for With {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match path {
            COMMAND_LINE => match &self.prelude {
                Some(text) => Ok(text.clone().into_bytes()),
                None => boot::Files.read(path),
            },
            BUILT_IN_NAME => Memory::with(BUILT_IN_NAME, BUILT_IN).read(path),
            _ => boot::Files.read(path),
        }
    }

    fn env(&self, name: &str) -> Option<String> {
        boot::Files.env(name)
    }

    fn regex(&self, pattern: &str, ignore_case: bool) -> Result<Box<dyn Pattern>, String> {
        struct Boxed(Box<dyn Pattern>);
        impl Pattern for Boxed {
            fn find(&self, text: &[u8], start: usize) -> Option<Vec<Option<Range<usize>>>> {
                self.0.find(text, start)
            }
        }
        boot::Files
            .regex(pattern, ignore_case)
            .map(|inner| Box::new(Boxed(inner)) as Box<dyn Pattern>)
    }
}

/// What the command line says goes before what the configuration says, as in Kamailio.
pub fn overrule(options: &Options, globals: &mut Globals) -> Result<(), String> {
    let text = |text: &String| Some(Str::from(text.as_str()));
    globals.listen.extend(options.listen.iter().cloned());
    globals.alias.extend(options.aliases.iter().cloned());
    globals.log_stderror |= options.stderr;
    globals.log_color |= options.color;
    globals.check_via |= options.check_via;
    globals.dns |= options.dns;
    globals.rev_dns |= options.reverse_dns;
    globals.disable_tcp |= options.no_tcp;
    if options.no_sctp {
        globals.enable_sctp = 0;
    }
    if options.foreground > 0 {
        globals.fork = options.foreground > 2;
    }
    set(&mut globals.debug, options.debug);
    set(&mut globals.auto_aliases, options.auto_aliases);
    set(&mut globals.children, options.children);
    set(&mut globals.maxbuffer, options.receive_buffer);
    set(&mut globals.maxsndbuffer, options.send_buffer);
    set(&mut globals.server_id, options.server_id);
    set(&mut globals.tcp_children, options.tcp_children.map(Some));
    set(
        &mut globals.rundir,
        options.run_dir.as_ref().map(|dir| Str::from(dir.as_str())),
    );
    set(&mut globals.workdir, options.work_dir.as_ref().map(text));
    set(&mut globals.chroot, options.root_dir.as_ref().map(text));
    set(&mut globals.user, options.user.as_ref().map(text));
    set(&mut globals.group, options.group.as_ref().map(text));
    set(&mut globals.iuid, options.iuid.as_ref().map(text));
    if let Some((engine, data)) = &options.log_engine {
        globals.log_engine_type = text(engine);
        globals.log_engine_data = text(data);
    }
    bound_memory(options.shared_memory, globals)
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// `-m`: queues of TCP, the cache of DNS and the blocklist together fit into so many megabytes.
fn bound_memory(megabytes: Option<u64>, globals: &mut Globals) -> Result<(), String> {
    let Some(megabytes) = megabytes else { return Ok(()) };
    let bytes = megabytes
        .checked_mul(1 << 20)
        .and_then(|bytes| i64::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| format!("bad shmem size number: -m {megabytes}"))?;
    let kilobytes = bytes / 1024;
    globals.tcp_wq_max = globals.tcp_wq_max.min(bytes / 2);
    globals.dns_cache_mem = globals.dns_cache_mem.min(kilobytes / 4);
    globals.dst_blocklist_mem = globals.dst_blocklist_mem.min(kilobytes / 4);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Arc<Registry> {
        Arc::new(crate::modules::registry())
    }

    #[test]
    fn the_built_in_configuration_has_no_finding() {
        let loaded = load(&Place::BuiltIn, &Options::default(), &registry()).unwrap();
        let shown: Vec<_> = loaded
            .diagnostics
            .iter()
            .map(|item| item.message.clone())
            .collect();
        assert!(shown.is_empty(), "{shown:?}");
    }

    #[test]
    fn modules_of_the_command_line_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.cfg");
        std::fs::write(
            &path,
            "request_route { maxfwd_test(); mf_process_maxfwd_header(\"10\"); exit; }\n",
        )
        .unwrap();
        let options = Options {
            modules: vec!["maxfwd".into()],
            params: vec![("maxfwd".into(), "max_limit".into(), "100".into())],
            ..Options::default()
        };
        let place = Place::File(path.to_str().unwrap().into());
        let loaded = load(&place, &options, &registry()).unwrap();
        let errors: Vec<_> = loaded
            .diagnostics
            .iter()
            .map(|item| item.message.clone())
            .collect();
        assert!(
            errors.len() == 1 && errors[0].contains("maxfwd_test"),
            "{errors:?}"
        );
        let bare = load(&place, &Options::default(), &registry()).unwrap();
        assert_eq!(bare.diagnostics.error_count(), 2);
    }

    #[test]
    fn the_command_line_overrules() {
        let mut globals = Globals {
            debug: 3,
            ..Globals::default()
        };
        let options = Options {
            debug: Some(1),
            foreground: 2,
            no_tcp: true,
            shared_memory: Some(1),
            listen: crate::address::listen("udp:127.0.0.1:5070").unwrap(),
            ..Options::default()
        };
        overrule(&options, &mut globals).unwrap();
        assert_eq!(
            (globals.debug, globals.fork, globals.disable_tcp),
            (1, false, true)
        );
        assert_eq!(globals.listen.len(), 1);
        assert_eq!((globals.tcp_wq_max, globals.dns_cache_mem), (1 << 19, 256));
    }
}
