//! `require()` of local files, as CommonJS has it.

use std::path::{Path, PathBuf};

use rquickjs::{Ctx, Exception, Function, Result, Value as JsValue, context::EvalOptions};

/// Makes `require` among the globals; names that are no paths are sought in `home`.
pub fn install<'js>(ctx: &Ctx<'js>, home: &Path) -> Result<()> {
    let base = home.to_path_buf();
    let find = move |ctx: Ctx<'js>, folder: String, name: String| -> Result<String> {
        find(Path::new(&folder), &base, &name).ok_or_else(|| {
            let text = format!("require: there is no module '{name}' (sought from {folder})");
            Exception::throw_message(&ctx, &text)
        })
    };
    let prelude: Function<'js> = eval(ctx, PRELUDE, "require.js")?;
    let require: Function<'js> = prelude.call((
        Function::new(ctx.clone(), find)?,
        Function::new(ctx.clone(), load)?,
        home.to_string_lossy().into_owned(),
    ))?;
    ctx.globals().set("require", require)
}

/// Keeps modules by their paths, so that each runs once and circles end.
const PRELUDE: &str = r"(function (find, load, home) {
    const known = Object.create(null);
    const parent = (path) => path.slice(0, path.lastIndexOf('/')) || '/';
    const from = (folder) => function require(name) {
        const path = find(folder, String(name));
        if (path in known) {
            return known[path].exports;
        }
        const module = { id: path, filename: path, exports: {}, loaded: false };
        known[path] = module;
        try {
            const run = load(path);
            if (typeof run === 'function') {
                run.call(module.exports, module.exports, from(parent(path)), module, path, parent(path));
            } else {
                module.exports = run;
            }
            module.loaded = true;
        } finally {
            if (!module.loaded) {
                delete known[path];
            }
        }
        return module.exports;
    };
    return from(home);
})";

/// Runs a text as a script of that file, not in strict mode, as scripts were written for Duktape.
pub fn eval<'js, V: rquickjs::FromJs<'js>>(
    ctx: &Ctx<'js>,
    text: impl Into<Vec<u8>>,
    file: &str,
) -> Result<V> {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(file.to_owned());
    ctx.eval_with_options(text, options)
}

/// The file that a name means.
fn find(folder: &Path, home: &Path, name: &str) -> Option<String> {
    let is_path = name.starts_with('/') || name.starts_with("./") || name.starts_with("../");
    let places: Vec<PathBuf> = if is_path {
        vec![folder.join(name)]
    } else {
        let above = folder
            .ancestors()
            .map(|folder| folder.join("node_modules").join(name));
        [folder.join(name), home.join(name)]
            .into_iter()
            .chain(above)
            .collect()
    };
    let file = places.iter().find_map(|place| file_at(place))?;
    let file = file.canonicalize().unwrap_or(file);
    Some(file.to_string_lossy().into_owned())
}

fn file_at(place: &Path) -> Option<PathBuf> {
    let with = |ending: &str| {
        let mut name = place.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    [
        place.to_path_buf(),
        with(".js"),
        with(".json"),
        place.join("index.js"),
    ]
    .into_iter()
    .find(|file| file.is_file())
}

/// The value of a JSON file, or a function around the text of a script.
fn load<'js>(ctx: Ctx<'js>, path: String) -> Result<JsValue<'js>> {
    let unreadable =
        |error: std::io::Error| Exception::throw_message(&ctx, &format!("require: {path}: {error}"));
    let text = std::fs::read(&path).map_err(unreadable)?;
    if path.ends_with(".json") {
        return ctx.json_parse(text);
    }
    // In the line of the first one, so that lines keep their numbers.
    let mut around = b"(function (exports, require, module, __filename, __dirname) {".to_vec();
    around.extend_from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text));
    around.extend_from_slice(b"\n})");
    eval(&ctx, around, &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sought_as_node_does() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let deep = root.join("a/b");
        std::fs::create_dir_all(root.join("node_modules/pack")).unwrap();
        std::fs::create_dir_all(&deep).unwrap();
        for file in ["lib.js", "data.json", "node_modules/pack/index.js", "a/b/near.js"] {
            std::fs::write(root.join(file), "").unwrap();
        }
        let found = |name: &str| {
            let path = find(&deep, &root, name)?;
            Some(
                PathBuf::from(path)
                    .strip_prefix(&root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned(),
            )
        };
        assert_eq!(found("lib").as_deref(), Some("lib.js"));
        assert_eq!(found("./near").as_deref(), Some("a/b/near.js"));
        assert_eq!(found("../../data").as_deref(), Some("data.json"));
        assert_eq!(found("pack").as_deref(), Some("node_modules/pack/index.js"));
        assert_eq!(found("./lib"), None);
        assert_eq!(found(""), None);
    }
}
