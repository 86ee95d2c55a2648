//! What `-h`, `-v` and `-I` print.

/// `-h`.
pub fn help(program: &str) -> String {
    let mut text = version(program);
    text.push_str(&format!("Usage: {program} [options]\n"));
    if program != "kamailio" {
        text.push_str(COMMANDS);
    }
    text.push_str(OPTIONS);
    text
}

/// `-v`; under Kamailio's name the first line is what scripts look for, with the version of the language.
pub fn version(program: &str) -> String {
    let own = format!("kahea {}", env!("CARGO_PKG_VERSION"));
    let machine = format!("({}/linux)", std::env::consts::ARCH);
    match program {
        "kamailio" => {
            let (major, minor, patch) = kahea_lang::source::Options::default().version;
            format!("version: kamailio {major}.{minor}.{patch} {machine}\nimplementation: {own}\n")
        }
        _ => format!("version: {own} {machine}\n"),
    }
}

/// `-I`.
pub fn internals(program: &str) -> String {
    let registry = crate::modules::registry();
    let names: Vec<_> = registry.modules().iter().map(|module| module.name).collect();
    format!(
        "Print out of {program} internals\n  Version: {}  Default config: /etc/kahea/kahea.cfg (/etc/kamailio/kamailio.cfg when run under that name), else a built-in one\n  \
         Modules, all built in: {}\n  Threads: one worker for each processor, here {}\n  \
         TCP poll method: epoll\n  Memory: no pools; -m and -M bound queues, caches and messages\n",
        version(program),
        names.join(", "),
        crate::run::processors(),
    )
}

const COMMANDS: &str = "\
   or: kahea check FILE [--format full|line|json]
       kahea list [modules|functions|params|pvs|transformations|rpc|kemi|events|stats] [--json]
       kahea reload | kahea rpc COMMAND [ARGUMENT...] | kahea explain CODE
       (kahea COMMAND --help tells more)
";

const OPTIONS: &str = "\
Options:
    -a mode      Own names by reverse look-up: yes or on, no or off
    --alias=val  A further own name, '[proto:]hostname[:port]' (also --domain)
    --atexit=val Accepted for Kamailio's sake: y[es] or 1, n[o] or 0
    -A define    Define a name for the preprocessor (-A WITH_AUTH,
                  -A 'FLT_ACC=1', -A 'DEFVAL=\"str-val\"')
    --all-errors Accepted: every mistake is always shown
    -b nr        Largest UDP receive buffer asked of the system, in bytes
    -B nr        Largest UDP send buffer asked of the system, in bytes
    -c           Check the configuration: ends with 0, or 255 for an error
    --cfg-print  Print the configuration after includes and conditions
    -d           Log more; each -d raises the level by one from 0
    --debug=val  The level of the log
    -D           -D and -DD stay in the foreground; -DDD goes into the
                  background (default)
    -e           Colours in the log on the terminal (with -E)
    -E           Log to standard error
    -f file      Configuration file, - for standard input (default:
                  /etc/kahea/kahea.cfg; /etc/kamailio/kamailio.cfg when run
                  under the name kamailio; else a built-in one)
    -g gid       Group to run as, once the sockets are open
    -G file      Write the number of the process group to a file
    -h, --help   This text
    -I           Print what is built in
    --iuid=val   Text at the head of unique identifiers
    -K           Drop replies whose first Via is not ours
    -l address   Listen on [proto:]host[:port][/advertised[:port]]; may be
                  given several times; host is an address, an interface, a
                  name, or a list (eth0, eth1); default: every interface
    --loadmodule=name  Load a module
    --log-engine=val   Form of log lines: json[:letters]
    -L path      Accepted: modules are built in
    -m nr        Megabytes that TCP queues, DNS cache and blocklist may
                  hold together
    --modparam=module:param:type:value  Set a parameter; type s or i
    -M nr        Megabytes of values that one message may make
    -n nr        Accepted: there is one worker for each processor, or as
                  many as --workers says
    -N nr        Accepted: workers read TCP too
    -O nr        Accepted: scripts are compiled once, at load
    -P file      Write the process number to a file
    -Q nr        Accepted: workers read SCTP too
    -r, -R       Accepted: a Via with a name always gets received=
                  (RFC 3261 section 18.2.1)
    --server-id=num    Number of this server
    --subst=exp, --substdef=exp, --substdefs=exp  Substitutions in the
                  configuration, as the preprocessor directives
    -S           No SCTP
    -t dir       Root directory of the server
    -T           No TCP
    -u uid       User to run as, once the sockets are open
    -v, -V, --version  Version
    -w dir       Working directory
    -W type      Accepted: epoll is used
    --workers=nr Worker threads (default: one for each processor)
    -x name, -X name   Accepted: there is one memory manager
    -Y dir       Directory of the control socket
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_in_the_help() {
        for letter in "fcmMdVIhEebBlLnvKrRDTNWwtugPGSQOaAxXY".chars() {
            assert!(OPTIONS.contains(&format!("-{letter}")), "-{letter}");
        }
    }

    #[test]
    fn under_kamailios_name_the_version_is_one_that_scripts_understand() {
        assert!(version("kamailio").starts_with("version: kamailio 6."));
        assert!(version("kahea").starts_with("version: kahea "));
        assert!(!help("kamailio").contains("kahea check"));
        assert!(help("kahea").contains("kahea check"));
    }
}
