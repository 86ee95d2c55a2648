//! Module `uid_avp_db`: attributes of users and URIs, and groups of attributes that scripts keep.

use std::sync::Arc;

use kahea_db::{Database, Query, Rows, Statement, Value as Column};
use kahea_module::{
    Bind, BindError, Cx, Decl, Env, FAILURE, Fault, Format, InitError, Lit, Module, REPLY, REQUEST, Ret,
    RouteKinds, Str, Value,
    avp::{AvpClass, AvpName},
    log::Level,
    log_at,
};
use kahea_sip::view::Uri;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    attributes::{Attribute, Track},
    domain::Domains,
};
use crate::queries;

/// The module.
pub struct UidAvpDb {
    database: Database,
    of_user: Arc<Query>,
    of_uri: Arc<Query>,
    domains: Option<Arc<Domains>>,
    groups: Vec<Group>,
}

/// A group of attributes that scripts keep.
struct Group {
    id: Str,
    /// The AVP flag that marks its attributes.
    mark: u32,
    load: Arc<Query>,
    insert: Arc<Query>,
    delete: Arc<Query>,
    lock: Arc<Mutex<()>>,
}

/// What one `attr_group` line says.
#[derive(Clone, Debug, PartialEq)]
struct Definition {
    id: Str,
    table: Str,
    /// The AVP flag that marks its attributes, as a mask.
    mark: u32,
    key: Str,
    name: Str,
    kind: Str,
    value: Str,
    flags: Str,
}

/// Locks that the message holds, by the places of groups.
#[derive(Default)]
struct Held(Vec<(usize, OwnedMutexGuard<()>)>);

/// Its parameters.
pub struct Params {
    db_url: Str,
    user_attrs_table: Str,
    uri_attrs_table: Str,
    uid_column: Str,
    username_column: Str,
    did_column: Str,
    name_column: Str,
    type_column: Str,
    value_column: Str,
    flags_column: Str,
    scheme_column: Str,
    groups: Vec<Definition>,
    auto_unlock: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_url: Str::from_static(queries::READ_ONLY_URL),
            user_attrs_table: Str::from_static("uid_user_attrs"),
            uri_attrs_table: Str::from_static("uid_uri_attrs"),
            uid_column: Str::from_static("uid"),
            username_column: Str::from_static("username"),
            did_column: Str::from_static("did"),
            name_column: Str::from_static("name"),
            type_column: Str::from_static("type"),
            value_column: Str::from_static("value"),
            flags_column: Str::from_static("flags"),
            scheme_column: Str::from_static("scheme"),
            groups: Vec::new(),
            auto_unlock: false,
        }
    }
}

/// Where its functions may be called.
fn routes() -> RouteKinds {
    REQUEST | FAILURE | REPLY
}

impl Module for UidAvpDb {
    const NAME: &'static str = "uid_avp_db";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        functions(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<UidAvpDb, InitError> {
        let tables = [(&params.user_attrs_table, 3), (&params.uri_attrs_table, 2)];
        let database = queries::open(env, &params.db_url, &tables)?;
        let groups = params.groups.iter().map(Group::new).collect();
        let level = if params.auto_unlock {
            Level::Debug
        } else {
            Level::Bug
        };
        env.hooks.request_end.push(Arc::new(move |cx| release(cx, level)));
        let columns = [
            &params.name_column,
            &params.type_column,
            &params.value_column,
            &params.flags_column,
        ]
        .map(Str::text);
        let columns = columns.each_ref().map(AsRef::as_ref);
        Ok(UidAvpDb {
            database,
            of_user: Query::select(&params.user_attrs_table.text(), &columns)
                .when_eq(&params.uid_column.text())
                .build(),
            of_uri: Query::select(&params.uri_attrs_table.text(), &columns)
                .when_eq(&params.username_column.text())
                .when_eq(&params.did_column.text())
                .when_eq(&params.scheme_column.text())
                .build(),
            domains: env.service::<Domains>(),
            groups,
        })
    }
}

fn params(d: &mut Decl<UidAvpDb>) {
    d.param("db_url", |p| &mut p.db_url, "The database.");
    d.param(
        "user_attrs_table",
        |p| &mut p.user_attrs_table,
        "The table of users' attributes.",
    );
    d.param(
        "uri_attrs_table",
        |p| &mut p.uri_attrs_table,
        "The table of URIs' attributes.",
    );
    d.param("uid_column", |p| &mut p.uid_column, "The column of ids of users.");
    d.param(
        "username_column",
        |p| &mut p.username_column,
        "The column of users in URIs.",
    );
    d.param(
        "did_column",
        |p| &mut p.did_column,
        "The column of ids of domains.",
    );
    d.param("name_column", |p| &mut p.name_column, "The column of names.");
    d.param(
        "type_column",
        |p| &mut p.type_column,
        "The column of types: 0 numbers, 2 texts.",
    );
    d.param("value_column", |p| &mut p.value_column, "The column of values.");
    d.param("flags_column", |p| &mut p.flags_column, "The column of flags.");
    d.param(
        "scheme_column",
        |p| &mut p.scheme_column,
        "The column of schemes.",
    );
    d.param_fn(
        "attr_group",
        "string",
        |params, value, bind| {
            let group = Definition::parse(&value.str_or_empty().text(), bind)?;
            params.groups.push(group);
            Ok(())
        },
        "A group of attributes that scripts keep: id=NAME,flag=NAME,table=NAME, and key_column, name_column, type_column, value_column, flags_column.",
    );
    d.param(
        "auto_unlock_extra_attrs",
        |p| &mut p.auto_unlock,
        "Locks that a script still holds at its end are released with a line at DEBUG, else with one at BUG; Kamailio would keep them in the second case.",
    );
}

fn functions(d: &mut Decl<UidAvpDb>) {
    d.func(
        "load_attrs",
        ["track", "id"],
        load,
        "Reads the attributes of the user with that id into $fu or $tu, or of a URI into $fr or $tr.",
    )
    .routes(REQUEST | FAILURE)
    .waits()
    .example("load_attrs(\"$fu\", \"$avp(uid)\");");
    d.func(
        "load_extra_attrs",
        ["group", "id"],
        load_extra,
        "Reads the attributes that were kept in a group under that id, and marks them as the group's.",
    )
    .routes(routes())
    .waits()
    .example("load_extra_attrs(\"dlg\", \"$ci\");");
    d.func(
        "save_extra_attrs",
        ["group", "id"],
        save_extra,
        "Keeps the attributes that are marked as the group's under that id, in place of those kept before.",
    )
    .routes(routes())
    .waits()
    .example("save_extra_attrs(\"dlg\", \"$ci\");");
    d.func(
        "remove_extra_attrs",
        ["group", "id"],
        remove_extra,
        "Takes away what is kept in a group under that id.",
    )
    .routes(routes())
    .waits()
    .example("remove_extra_attrs(\"dlg\", \"$ci\");");
    d.func(
        "lock_extra_attrs",
        ["group", "id"],
        lock,
        "Waits until nobody else holds the lock of the group, and takes it.",
    )
    .routes(routes())
    .waits()
    .example("lock_extra_attrs(\"dlg\", \"$ci\");");
    d.func(
        "unlock_extra_attrs",
        ["group", "id"],
        unlock,
        "Gives the lock of the group back.",
    )
    .routes(routes())
    .example("unlock_extra_attrs(\"dlg\", \"$ci\");");
}

impl Definition {
    fn parse(text: &str, bind: &dyn Bind) -> Result<Definition, BindError> {
        let mut group = Definition {
            id: Str::EMPTY,
            table: Str::EMPTY,
            mark: 0,
            key: Str::from_static("id"),
            name: Str::from_static("name"),
            kind: Str::from_static("type"),
            value: Str::from_static("value"),
            flags: Str::from_static("flags"),
        };
        let wrong = |why: String| {
            BindError::new(why)
                .help("write id=NAME,flag=NAME,table=NAME, perhaps with key_column=NAME and others")
        };
        for part in text
            .split([',', ';'])
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let Some((key, value)) = part.split_once('=') else {
                return Err(wrong(format!("'{part}' is no key=value")));
            };
            let place = match key.trim() {
                "id" => &mut group.id,
                "table" => &mut group.table,
                "flag" => {
                    group.mark = mark(value.trim(), bind)?;
                    continue;
                }
                "key_column" => &mut group.key,
                "name_column" => &mut group.name,
                "type_column" => &mut group.kind,
                "value_column" => &mut group.value,
                "flags_column" => &mut group.flags,
                other => return Err(wrong(format!("'{other}' is no key of a group"))),
            };
            *place = Str::from(value.trim());
        }
        for (name, is_missing) in [
            ("id", group.id.is_empty()),
            ("table", group.table.is_empty()),
            ("flag", group.mark == 0),
        ] {
            if is_missing {
                return Err(wrong(format!("the group has no {name}")));
            }
        }
        Ok(group)
    }
}

/// The mask of an AVP flag, by its name or number.
fn mark(flag: &str, bind: &dyn Bind) -> Result<u32, BindError> {
    let number = bind.flag(flag).map(u32::from).or_else(|| flag.parse().ok());
    number.and_then(|number| 1u32.checked_shl(number)).ok_or_else(|| {
        BindError::new(format!("there is no AVP flag {flag}")).help(format!("add avpflags {flag};"))
    })
}

impl Group {
    fn new(definition: &Definition) -> Group {
        let [table, key, name, kind, value, flags] = [
            &definition.table,
            &definition.key,
            &definition.name,
            &definition.kind,
            &definition.value,
            &definition.flags,
        ]
        .map(Str::text);
        Group {
            id: definition.id.clone(),
            mark: definition.mark,
            load: Query::select(&table, &[&name, &kind, &value, &flags])
                .when_eq(&key)
                .build(),
            insert: Query::insert(&table, &[&key, &name, &kind, &value, &flags]).build(),
            delete: Query::delete(&table).when_eq(&key).build(),
            lock: Arc::default(),
        }
    }

    /// The statements that keep the marked attributes of a message.
    fn keep(&self, cx: &Cx, id: &Str) -> Vec<Statement> {
        let key = Column::Text(id.detach());
        let mut statements = vec![Statement::Query(self.delete.clone(), vec![key.clone()])];
        let marked = cx
            .avps
            .iter()
            .filter(|avp| avp.class == AvpClass::FromUser && avp.flags & self.mark != 0);
        let mut rows: Vec<Vec<Column>> = Vec::new();
        for avp in marked {
            let AvpName::Str(name) = &avp.name else { continue };
            let (kind, value) = match &avp.value {
                Value::Int(n) => (0, Str::from(n.to_string())),
                other => (2, other.str_or_empty().detach()),
            };
            rows.push(vec![
                key.clone(),
                Column::Text(name.detach()),
                Column::Int(kind),
                Column::Text(value),
                Column::Int(1),
            ]);
        }
        // Oldest first, so that they come back in their order.
        statements.extend(
            rows.into_iter()
                .rev()
                .map(|row| Statement::Query(self.insert.clone(), row)),
        );
        statements
    }
}

impl UidAvpDb {
    fn group(&self, id: &Str) -> Result<(usize, &Group), Fault> {
        let known = self.groups.iter().enumerate().find(|(_, group)| group.id == *id);
        known.ok_or_else(|| {
            Fault::script(format!(
                "there is no group {id}: add modparam(\"uid_avp_db\", \"attr_group\", \"id={id},flag=NAME,table=NAME\")"
            ))
        })
    }
}

fn add(cx: &mut Cx, rows: &Rows, class: AvpClass, mark: u32) -> Ret {
    for row in &rows.rows {
        let added = match Attribute::of(row, 0) {
            Ok(None) => continue,
            Ok(Some(attribute)) => attribute.add(cx, class, mark),
            Err(why) => Err(Fault::backend(why)),
        };
        if let Err(fault) = added {
            return fault.into();
        }
    }
    Ret::TRUE
}

fn load(m: &UidAvpDb, cx: &mut Cx, track: Lit<Track>, id: Format) -> Ret {
    let class = track.0;
    let id = id.text(cx);
    let database = m.database.clone();
    match class {
        AvpClass::FromUser | AvpClass::ToUser => {
            let query = m.of_user.clone();
            Ret::wait(move |cx| {
                Box::pin(async move {
                    match database.run(&query, vec![Column::Text(id.detach())]).await {
                        Ok(rows) => add(cx, &rows, class, 0),
                        Err(error) => queries::failed(&database, &error).into(),
                    }
                })
            })
        }
        AvpClass::FromUri | AvpClass::ToUri => load_of_uri(m, class, id),
        AvpClass::FromDomain | AvpClass::ToDomain | AvpClass::Global => {
            Fault::script("load_attrs() reads into $fu, $tu, $fr or $tr").into()
        }
    }
}

fn load_of_uri(m: &UidAvpDb, class: AvpClass, uri: Str) -> Ret {
    let (Ok(parsed), Some(domains)) = (Uri::parse(&uri), m.domains.clone()) else {
        return Fault::script(format!(
            "attributes of '{uri}' cannot be read: it must be a URI, and uid_domain must be loaded before uid_avp_db"
        ))
        .into();
    };
    let (user, host) = (Str::copy(parsed.user), Str::copy(parsed.host));
    let scheme = Str::from(parsed.scheme_text.to_ascii_lowercase());
    let (database, query) = (m.database.clone(), m.of_uri.clone());
    Ret::wait(move |cx| {
        Box::pin(async move {
            let rows = async {
                match domains.id(&host).await? {
                    Some(did) => {
                        database
                            .run(&query, vec![user.into(), did.into(), scheme.into()])
                            .await
                    }
                    None => Ok(Rows::default()),
                }
            };
            match rows.await {
                Ok(rows) => add(cx, &rows, class, 0),
                Err(error) => queries::failed(&database, &error).into(),
            }
        })
    })
}

fn load_extra(m: &UidAvpDb, cx: &mut Cx, group: Str, id: Format) -> Ret {
    let id = id.text(cx);
    let (query, mark) = match m.group(&group) {
        Ok((_, group)) => (group.load.clone(), group.mark),
        Err(fault) => return fault.into(),
    };
    let database = m.database.clone();
    Ret::wait(move |cx| {
        Box::pin(async move {
            match database.run(&query, vec![Column::Text(id.detach())]).await {
                Ok(rows) => add(cx, &rows, AvpClass::FromUser, mark),
                Err(error) => queries::failed(&database, &error).into(),
            }
        })
    })
}

fn save_extra(m: &UidAvpDb, cx: &mut Cx, group: Str, id: Format) -> Ret {
    let id = id.text(cx);
    match m.group(&group) {
        Ok((_, group)) => run(m, group.keep(cx, &id)),
        Err(fault) => fault.into(),
    }
}

fn remove_extra(m: &UidAvpDb, cx: &mut Cx, group: Str, id: Format) -> Ret {
    let id = Column::Text(id.text(cx).detach());
    match m.group(&group) {
        Ok((_, group)) => run(m, vec![Statement::Query(group.delete.clone(), vec![id])]),
        Err(fault) => fault.into(),
    }
}

fn run(m: &UidAvpDb, statements: Vec<Statement>) -> Ret {
    let database = m.database.clone();
    Ret::wait(move |_| {
        Box::pin(async move {
            match database.run_all(statements).await {
                Ok(_) => Ret::TRUE,
                Err(error) => queries::failed(&database, &error).into(),
            }
        })
    })
}

fn lock(m: &UidAvpDb, cx: &mut Cx, group: Str, _id: Format) -> Ret {
    let (at, lock) = match m.group(&group) {
        Ok((at, group)) => (at, group.lock.clone()),
        Err(fault) => return fault.into(),
    };
    if cx.extra::<Held>().0.iter().any(|(known, _)| *known == at) {
        return Fault::script(format!("the message holds the lock of group {group} already")).into();
    }
    Ret::wait(move |cx| {
        Box::pin(async move {
            let held = lock.lock_owned().await;
            cx.extra::<Held>().0.push((at, held));
            Ret::TRUE
        })
    })
}

fn unlock(m: &UidAvpDb, cx: &mut Cx, group: Str, _id: Format) -> Result<bool, Fault> {
    let (at, _) = m.group(&group)?;
    let held = &mut cx.extra::<Held>().0;
    let before = held.len();
    held.retain(|(known, _)| *known != at);
    Ok(held.len() < before)
}

/// Gives back what a script has left locked.
fn release(cx: &mut Cx, level: Level) {
    if cx.extra_ref::<Held>().is_none_or(|held| held.0.is_empty()) {
        return;
    }
    log_at!(
        level,
        "uid_avp_db",
        "A script ended and held locks of extra attributes; they are released."
    );
    cx.extra::<Held>().0.clear();
}

#[cfg(test)]
mod tests {
    use kahea_db::testing::fake;
    use kahea_module::testing::{FakeBind, Server};

    use super::*;

    fn module() -> UidAvpDb {
        let definition = Definition::parse("id=x,flag=0,table=extra", &FakeBind::default()).unwrap();
        UidAvpDb {
            database: fake(|_| Ok(Rows::default())),
            of_user: Query::select("u", &["name"]).build(),
            of_uri: Query::select("r", &["name"]).build(),
            domains: None,
            groups: vec![Group::new(&definition)],
        }
    }

    #[test]
    fn a_group_needs_id_table_and_flag() {
        let parse = |text| Definition::parse(text, &FakeBind::default());
        let group = parse("id=dlg, flag=3,table=dlg_attrs,key_column=dlg_id").unwrap();
        assert_eq!(
            (group.id, group.key, group.mark),
            ("dlg".into(), "dlg_id".into(), 8)
        );
        assert!(parse("id=dlg,table=t").is_err());
        assert!(parse("id=dlg,table=t,flag=unknown").is_err());
        assert!(parse("id=dlg,table=t,flag=1,color=red").is_err());
        assert!(parse("id").is_err());
    }

    #[test]
    fn only_marked_attributes_are_kept() {
        let (m, mut cx) = (module(), Server::default().invite());
        let attribute = |name: &'static str| Attribute {
            name: name.into(),
            value: Value::Int(7),
        };
        attribute("marked").add(&mut cx, AvpClass::FromUser, 1).unwrap();
        attribute("other").add(&mut cx, AvpClass::FromUser, 0).unwrap();
        let (_, group) = m.group(&"x".into()).unwrap();
        assert_eq!(group.keep(&cx, &"k".into()).len(), 2);
        assert!(m.group(&"y".into()).is_err());
    }

    #[test]
    fn a_lock_that_is_left_is_released() {
        let (m, mut cx) = (module(), Server::default().invite());
        let (_, group) = m.group(&"x".into()).unwrap();
        let guard = group.lock.clone().try_lock_owned().unwrap();
        cx.extra::<Held>().0.push((0, guard));
        release(&mut cx, Level::Debug);
        assert!(group.lock.try_lock().is_ok());
        assert_eq!(unlock(&m, &mut cx, "x".into(), Format::constant("k")), Ok(false));
    }
}
