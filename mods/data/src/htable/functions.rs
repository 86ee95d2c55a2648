//! Functions that set, remove, match and show items.

use kahea_module::{ANY, Cx, Decl, Fault, Given, Lit, Regex, Str, Value, log};

use super::{
    Htable,
    contents::Item,
    locks,
    table::{ItemName, Table, TableArg, now},
};

pub(super) fn declare(d: &mut Decl<Htable>) {
    setting(d);
    removing(d);
    matching(d);
    locking(d);
    kemi(d);
}

fn setting(d: &mut Decl<Htable>) {
    d.func(
        "sht_print",
        [],
        print,
        "Logs the content of every table at ERR, for debugging.",
    );
    d.func(
        "sht_setxs",
        ["table", "key", "value", "seconds"],
        setxs,
        "Sets an item to a string that expires in that many seconds.",
    )
    .kemi(4, "sht_setxs");
    d.func(
        "sht_setxi",
        ["table", "key", "value", "seconds"],
        setxi,
        "Sets an item to a number that expires in that many seconds.",
    )
    .kemi(4, "sht_setxi");
    d.func(
        "sht_inc",
        ["table", "key"],
        inc,
        "Adds one to an item; false where it is no number.",
    );
    d.func(
        "sht_dec",
        ["table", "key"],
        dec,
        "Takes one from an item; false where it is no number.",
    );
    d.func(
        "sht_is_null",
        ["table", "key"],
        is_null,
        "The item is not set, and the table has no initial value.",
    )
    .kemi(2, "sht_is_null");
}

fn removing(d: &mut Decl<Htable>) {
    d.func(
        "sht_rm",
        ["table", "key"],
        rm,
        "Removes an item; true also where there is none.",
    )
    .kemi(2, "sht_rm");
    d.func("sht_reset", ["table"], reset, "Removes all items of a table.")
        .kemi(1, "sht_reset");
    d.func(
        "sht_rm_name",
        ["table", "operator", "value"],
        rm_name,
        "Removes items whose key matches (re) or begins with (sw) the value.",
    )
    .kemi(3, "sht_rm_name");
    d.func(
        "sht_rm_value",
        ["table", "operator", "value"],
        rm_value,
        "Removes items whose string value matches (re) or begins with (sw) the value.",
    )
    .kemi(3, "sht_rm_value");
    d.func(
        "sht_rm_name_re",
        ["table=>regex"],
        rm_name_re,
        "Removes items whose key matches.",
    );
    d.func(
        "sht_rm_value_re",
        ["table=>regex"],
        rm_value_re,
        "Removes items whose string value matches.",
    );
}

fn matching(d: &mut Decl<Htable>) {
    const NAME: &str = "Some key equals (eq), differs (ne), matches (re) or begins with (sw) the value.";
    const VALUE: &str =
        "Some string value equals (eq), differs (ne), matches (re) or begins with (sw) the value.";
    d.func("sht_match_name", ["table", "operator", "value"], match_name, NAME)
        .kemi(3, "sht_match_name");
    d.func("sht_has_name", ["table", "operator", "value"], match_name, NAME);
    d.func(
        "sht_match_str_value",
        ["table", "operator", "value"],
        match_value,
        VALUE,
    )
    .kemi(3, "sht_match_str_value");
    d.func(
        "sht_has_str_value",
        ["table", "operator", "value"],
        match_value,
        VALUE,
    );
}

fn locking(d: &mut Decl<Htable>) {
    const LOCK: &str = "Waits for the lock of the key's slot, which this message then has until it unlocks as often, or ends.";
    const UNLOCK: &str = "Gives the lock of the key's slot back.";
    d.func("sht_lock", ["table=>key"], locks::lock, LOCK)
        .routes(ANY)
        .waits();
    d.func("sht_unlock", ["table=>key"], locks::unlock, UNLOCK);
    d.kemi_func("htable", "sht_lock", ["table", "key"], locks::lock_in, LOCK)
        .waits();
    d.kemi_func("htable", "sht_unlock", ["table", "key"], locks::unlock_in, UNLOCK);
}

fn kemi(d: &mut Decl<Htable>) {
    d.kemi_func(
        "htable",
        "sht_rm_name_re",
        ["table", "regex"],
        kemi_rm_name_re,
        "Removes items whose key matches.",
    );
    d.kemi_func(
        "htable",
        "sht_rm_value_re",
        ["table", "regex"],
        kemi_rm_value_re,
        "Removes items whose string value matches.",
    );
    d.kemi_func(
        "htable",
        "sht_get",
        ["table", "key"],
        kemi_get,
        "The value of an item, null where it is not set.",
    );
    d.kemi_func(
        "htable",
        "sht_gete",
        ["table", "key"],
        kemi_gete,
        "The value of an item, an empty text where it is not set.",
    );
    d.kemi_func(
        "htable",
        "sht_getw",
        ["table", "key"],
        kemi_getw,
        "The value of an item, <null> where it is not set.",
    );
    d.kemi_func(
        "htable",
        "sht_sets",
        ["table", "key", "value"],
        kemi_sets,
        "Sets an item to a string.",
    );
    d.kemi_func(
        "htable",
        "sht_seti",
        ["table", "key", "value"],
        kemi_seti,
        "Sets an item to a number.",
    );
    d.kemi_func(
        "htable",
        "sht_setex",
        ["table", "key", "seconds"],
        kemi_setex,
        "Sets the seconds until an item expires.",
    );
    d.kemi_func(
        "htable",
        "sht_inc",
        ["table", "key"],
        |m: &Htable, cx: &mut Cx, table: TableArg, key: Str| kemi_add(m, cx, &table, &key, 1),
        "Adds one to an item; its new value, or -255 where it is no number.",
    );
    d.kemi_func(
        "htable",
        "sht_dec",
        ["table", "key"],
        |m: &Htable, cx: &mut Cx, table: TableArg, key: Str| kemi_add(m, cx, &table, &key, -1),
        "Takes one from an item; its new value, or -255 where it is no number.",
    );
    d.kemi_func(
        "htable",
        "sht_cn",
        ["table", "operator", "value"],
        kemi_cn,
        "How many keys equal (eq), differ from (ne), match (re) or begin with (sw) the value.",
    );
}

fn print(m: &Htable, cx: &mut Cx) -> bool {
    let now = now(cx);
    for table in &m.tables {
        log_line(&format!(
            "===== htable[{}] hid: {}",
            table.name(),
            table.slot(table.name())
        ));
        for (slot, item) in table.in_order(now) {
            let Item {
                key, value, expires, ..
            } = item;
            let kind = if matches!(value, Value::Str(_)) { "s" } else { "i" };
            let left = expires.saturating_sub(now).div_ceil(1000);
            log_line(&format!(
                "slot: {slot} name: {key} value({kind}): {value} expires in: {left}"
            ));
        }
    }
    true
}

fn log_line(text: &str) {
    log::write(log::Level::Error, "htable", format_args!("{text}"));
}

fn setxs(
    m: &Htable,
    cx: &mut Cx,
    table: TableArg,
    key: Str,
    value: Str,
    seconds: i64,
) -> Result<bool, Fault> {
    store(m, cx, &table, &key, Value::Str(value.detach()), seconds)
}

fn setxi(
    m: &Htable,
    cx: &mut Cx,
    table: TableArg,
    key: Str,
    value: i64,
    seconds: i64,
) -> Result<bool, Fault> {
    store(m, cx, &table, &key, Value::Int(value), seconds)
}

fn store(
    m: &Htable,
    cx: &Cx,
    table: &TableArg,
    key: &Str,
    value: Value,
    seconds: i64,
) -> Result<bool, Fault> {
    let (table, now) = (table.resolve(m)?, now(cx));
    let life = table.life_of(seconds, now);
    table.contents.set(table.contents.key(key), value, life, now);
    Ok(true)
}

fn inc(m: &Htable, cx: &mut Cx, table: TableArg, key: Str) -> Result<bool, Fault> {
    add(m, cx, &table, &key, 1)
}

fn dec(m: &Htable, cx: &mut Cx, table: TableArg, key: Str) -> Result<bool, Fault> {
    add(m, cx, &table, &key, -1)
}

fn add(m: &Htable, cx: &Cx, table: &TableArg, key: &Str, delta: i64) -> Result<bool, Fault> {
    Ok(!added(m, cx, table, key, delta)?.is_null())
}

fn added(m: &Htable, cx: &Cx, table: &TableArg, key: &Str, delta: i64) -> Result<Value, Fault> {
    let table = table.resolve(m)?;
    Ok(table.add(table.contents.key(key), delta, now(cx)))
}

/// What embedded languages get from an item that is no number, or of a table that is not there.
const NO_NUMBER: i64 = -255;

fn kemi_add(m: &Htable, cx: &Cx, table: &TableArg, key: &Str, delta: i64) -> Result<i64, Fault> {
    let value = added(m, cx, table, key, delta).map_err(|fault| Fault {
        code: NO_NUMBER,
        ..fault
    })?;
    Ok(value.int().unwrap_or(NO_NUMBER))
}

fn is_null(m: &Htable, cx: &mut Cx, table: TableArg, key: Str) -> Result<bool, Fault> {
    Ok(value_of(m, cx, &table, &key)?.is_null())
}

fn value_of(m: &Htable, cx: &Cx, table: &TableArg, key: &Str) -> Result<Value, Fault> {
    let table = table.resolve(m)?;
    Ok(table.get(table.contents.key(key), now(cx)))
}

fn rm(m: &Htable, cx: &mut Cx, table: TableArg, key: Str) -> Result<bool, Fault> {
    let table = table.resolve(m)?;
    table.contents.remove(table.contents.key(&key), now(cx));
    Ok(true)
}

fn reset(m: &Htable, _: &mut Cx, table: TableArg) -> Result<bool, Fault> {
    table.resolve(m)?.contents.clear();
    Ok(true)
}

/// How a key or value is compared.
enum Test {
    Equal(Str),
    Differs(Str),
    Regex(Regex),
    Begins(Str),
}

impl Test {
    /// Of its operator.
    fn read(cx: &Cx, operator: &Str, value: Str) -> Result<Test, Fault> {
        if value.is_empty() {
            return Err(Fault::script(
                "a value to compare with is needed, not an empty text",
            ));
        }
        match operator.as_bytes() {
            b"eq" => Ok(Test::Equal(value)),
            b"ne" => Ok(Test::Differs(value)),
            b"re" => cx.regex(&value).map(Test::Regex),
            b"sw" => Ok(Test::Begins(value)),
            _ => Err(Fault::script(format!(
                "'{operator}' is no operator: write eq, ne, re or sw"
            ))),
        }
    }

    /// For functions that remove: they only take `re` and `sw`.
    fn read_for_removal(cx: &Cx, operator: &Str, value: Str) -> Result<Test, Fault> {
        match Test::read(cx, operator, value)? {
            test @ (Test::Regex(_) | Test::Begins(_)) => Ok(test),
            Test::Equal(_) | Test::Differs(_) => Err(Fault::script(format!(
                "'{operator}' does not choose what to remove: write re or sw"
            ))),
        }
    }

    fn fits(&self, text: &[u8]) -> bool {
        match self {
            Test::Equal(wanted) => *text == **wanted,
            Test::Differs(wanted) => *text != **wanted,
            Test::Regex(regex) => regex.is_match(text),
            Test::Begins(start) => text.starts_with(start),
        }
    }

    fn fits_value(&self, value: &Value) -> bool {
        matches!(value, Value::Str(text) if self.fits(text))
    }
}

fn rm_name(m: &Htable, cx: &mut Cx, table: TableArg, operator: Str, value: Str) -> Result<bool, Fault> {
    let table = table.resolve(m)?;
    let test = Test::read_for_removal(cx, &operator, value)?;
    table.contents.remove_if(|item| test.fits(&item.key));
    Ok(true)
}

fn rm_value(m: &Htable, cx: &mut Cx, table: TableArg, operator: Str, value: Str) -> Result<bool, Fault> {
    let table = table.resolve(m)?;
    let test = Test::read_for_removal(cx, &operator, value)?;
    table.contents.remove_if(|item| test.fits_value(&item.value));
    Ok(true)
}

fn rm_name_re(m: &Htable, cx: &mut Cx, name: Lit<ItemName>) -> Result<bool, Fault> {
    let pattern = name.key_text(cx);
    remove_matching_keys(cx, name.table(m)?, &pattern)
}

fn kemi_rm_name_re(m: &Htable, cx: &mut Cx, table: TableArg, pattern: Str) -> Result<bool, Fault> {
    remove_matching_keys(cx, table.resolve(m)?, &pattern)
}

fn remove_matching_keys(cx: &Cx, table: &Table, pattern: &Str) -> Result<bool, Fault> {
    let regex = cx.regex(pattern)?;
    table.contents.remove_if(|item| regex.is_match(&item.key));
    Ok(true)
}

fn rm_value_re(m: &Htable, cx: &mut Cx, name: Lit<ItemName>) -> Result<bool, Fault> {
    let pattern = name.key_text(cx);
    remove_matching_values(cx, name.table(m)?, &pattern)
}

fn kemi_rm_value_re(m: &Htable, cx: &mut Cx, table: TableArg, pattern: Str) -> Result<bool, Fault> {
    remove_matching_values(cx, table.resolve(m)?, &pattern)
}

fn remove_matching_values(cx: &Cx, table: &Table, pattern: &Str) -> Result<bool, Fault> {
    let regex = cx.regex(pattern)?;
    let matches = |value: &Value| matches!(value, Value::Str(text) if regex.is_match(text));
    table.contents.remove_if(|item| matches(&item.value));
    Ok(true)
}

fn match_name(m: &Htable, cx: &mut Cx, table: TableArg, operator: Str, value: Str) -> Result<bool, Fault> {
    let table = table.resolve(m)?;
    let test = Test::read(cx, &operator, value)?;
    Ok(any(table, cx, |item| test.fits(&item.key)))
}

fn match_value(m: &Htable, cx: &mut Cx, table: TableArg, operator: Str, value: Str) -> Result<bool, Fault> {
    let table = table.resolve(m)?;
    let test = Test::read(cx, &operator, value)?;
    Ok(any(table, cx, |item| test.fits_value(&item.value)))
}

fn any(table: &Table, cx: &Cx, fits: impl Fn(&Item) -> bool) -> bool {
    let mut found = false;
    table.contents.visit(now(cx), |item| {
        found = fits(item);
        !found
    });
    found
}

fn kemi_get(m: &Htable, cx: &mut Cx, table: TableArg, key: Str) -> Result<bool, Fault> {
    let value = value_of(m, cx, &table, &key)?;
    Given::set(cx, value);
    Ok(true)
}

fn kemi_gete(m: &Htable, cx: &mut Cx, table: TableArg, key: Str) -> Result<bool, Fault> {
    give_or(m, cx, &table, &key, "")
}

fn kemi_getw(m: &Htable, cx: &mut Cx, table: TableArg, key: Str) -> Result<bool, Fault> {
    give_or(m, cx, &table, &key, "<null>")
}

fn give_or(
    m: &Htable,
    cx: &mut Cx,
    table: &TableArg,
    key: &Str,
    otherwise: &'static str,
) -> Result<bool, Fault> {
    let value = match value_of(m, cx, table, key)? {
        Value::Null => Value::from(otherwise),
        value => value,
    };
    Given::set(cx, value);
    Ok(true)
}

fn kemi_sets(m: &Htable, cx: &mut Cx, table: TableArg, key: Str, value: Str) -> Result<bool, Fault> {
    set(m, cx, &table, &key, Value::Str(value))
}

fn kemi_seti(m: &Htable, cx: &mut Cx, table: TableArg, key: Str, value: i64) -> Result<bool, Fault> {
    set(m, cx, &table, &key, Value::Int(value))
}

fn set(m: &Htable, cx: &Cx, table: &TableArg, key: &Str, value: Value) -> Result<bool, Fault> {
    let table = table.resolve(m)?;
    table.set(table.contents.key(key), value, now(cx));
    Ok(true)
}

fn kemi_setex(m: &Htable, cx: &mut Cx, table: TableArg, key: Str, seconds: i64) -> Result<bool, Fault> {
    let table = table.resolve(m)?;
    table.expire(table.contents.key(&key), seconds, now(cx));
    Ok(true)
}

fn kemi_cn(m: &Htable, cx: &mut Cx, table: TableArg, operator: Str, value: Str) -> Result<i64, Fault> {
    let table = table.resolve(m)?;
    let test = Test::read(cx, &operator, value)?;
    let mut count = 0_i64;
    table.contents.visit(now(cx), |item| {
        count = count.saturating_add(test.fits(&item.key).into());
        true
    });
    Ok(count)
}
