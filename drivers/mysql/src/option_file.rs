//! Option files (`my.cnf`): groups of client options for URLs like `mysql://[group]/database`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// Files that include files, at most so deep.
const DEEPEST: usize = 10;

/// The options of a group, by name with `_` for `-`. Those of `[client]` count too, in the order of the files.
pub(crate) fn options(files: &[PathBuf], group: &str) -> HashMap<String, String> {
    let mut reading = Reading {
        group,
        options: HashMap::new(),
    };
    for file in files {
        reading.file(file, 0);
    }
    reading.options
}

struct Reading<'a> {
    group: &'a str,
    options: HashMap<String, String>,
}

impl Reading<'_> {
    /// A file that cannot be read has no options, as with the client library.
    fn file(&mut self, path: &Path, depth: usize) {
        let Ok(text) = fs::read_to_string(path) else {
            return;
        };
        let mut counts = false;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(include) = line.strip_prefix('!') {
                self.include(include, depth);
            } else if let Some(name) = line.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
                counts = name.trim() == "client" || name.trim() == self.group;
            } else if counts {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                self.options
                    .insert(name.trim().replace('-', "_"), unquoted(value.trim()));
            }
        }
    }

    fn include(&mut self, line: &str, depth: usize) {
        if depth >= DEEPEST {
            return;
        }
        let deeper = depth.saturating_add(1);
        match line.split_once(char::is_whitespace) {
            Some(("include", file)) => self.file(Path::new(file.trim()), deeper),
            Some(("includedir", folder)) => {
                let entries = fs::read_dir(folder.trim()).into_iter().flatten().flatten();
                let is_options = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "cnf");
                let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_options).collect();
                files.sort();
                files.iter().for_each(|file| self.file(file, deeper));
            }
            _ => {}
        }
    }
}

/// Without quotes around it and without a comment behind it.
fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some((inside, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inside.to_owned();
        }
    }
    value.split(" #").next().unwrap_or(value).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_and_client_count_in_the_order_of_the_file() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file = folder.path().join("my.cnf");
        let more = folder.path().join("more");
        fs::create_dir(&more).expect("the folder is new");
        let text = format!(
            "# a comment\n[client]\nsocket = /run/a\nuser=nobody\n[mysqld]\nuser = mysql\n[kamailio]\nsocket = \"/run/b\"\n\
             password = 'se#cret' # it\ndefault-character-set = utf8\n!includedir {}\n",
            more.display()
        );
        fs::write(&file, text).expect("the file is written");
        fs::write(more.join("x.cnf"), "[kamailio]\nuser = kamailio\n").expect("the file is written");
        fs::write(more.join("x.txt"), "[kamailio]\nuser = other\n").expect("the file is written");
        let options = options(&[folder.path().join("nosuch"), file], "kamailio");
        let option = |name: &str| options.get(name).map(String::as_str);
        assert_eq!(option("socket"), Some("/run/b"));
        assert_eq!(option("user"), Some("kamailio"));
        assert_eq!(option("password"), Some("se#cret"));
        assert_eq!(option("default_character_set"), Some("utf8"));
    }

    #[test]
    fn a_file_that_includes_itself_ends() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file = folder.path().join("my.cnf");
        fs::write(&file, format!("[a]\nuser=u\n!include {}\n", file.display())).expect("the file is written");
        assert_eq!(options(&[file], "a").len(), 1);
    }
}
