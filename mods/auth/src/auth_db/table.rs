//! The tables that scripts name, with their queries made once.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use kahea_db::Query;
use kahea_module::{Bind, BindError, Cx, Fault, Format, Literal, Str};
use parking_lot::RwLock;

use crate::pending::Pending;

/// A table as a call of the script names it.
pub(super) struct Named(Arc<Place>);

/// Where a call finds its queries.
pub(super) struct Place {
    pub(super) name: Name,
    pub(super) queries: OnceLock<Arc<Queries>>,
}

pub(super) enum Name {
    Known(Str),
    Found(Format),
}

/// Tables whose queries are yet to be made.
pub(super) static TO_MAKE: Pending<Place> = Pending::new();

impl Literal for Named {
    const WHAT: &'static str = "the name of a table";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Named, BindError> {
        let format = bind.format(text)?;
        let name = match format.as_constant() {
            Some(name) if name.is_empty() => return Err(BindError::new("the name of the table is empty")),
            Some(name) => Name::Known(name),
            None => Name::Found(format),
        };
        let place = Arc::new(Place {
            name,
            queries: OnceLock::new(),
        });
        TO_MAKE.push(bind, &place);
        Ok(Named(place))
    }
}

/// The columns that matter.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    pub(super) user: Str,
    pub(super) domain: Str,
    pub(super) password: Str,
    /// For user names with a domain, where passwords are hashes.
    pub(super) password_2: Str,
    pub(super) loaded: Vec<Str>,
}

/// The queries of one table.
#[derive(Debug)]
pub(super) struct Queries {
    /// By user, and by user and domain.
    plain: [Arc<Query>; 2],
    with_2: [Arc<Query>; 2],
}

impl Queries {
    pub(super) fn new(table: &Str, columns: &Columns) -> Queries {
        let make = |password: &Str, domain: bool| {
            let mut names = vec![password.text().into_owned()];
            names.extend(columns.loaded.iter().map(|name| name.text().into_owned()));
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let query = Query::select(&table.text(), &names).when_eq(&columns.user.text());
            let query = if domain {
                query.when_eq(&columns.domain.text())
            } else {
                query
            };
            query.limit(1).build()
        };
        Queries {
            plain: [false, true].map(|domain| make(&columns.password, domain)),
            with_2: [false, true].map(|domain| make(&columns.password_2, domain)),
        }
    }

    /// The query for a user, with a domain where wanted, for the second column of passwords where wanted.
    pub(super) fn get(&self, domain: bool, second: bool) -> &Arc<Query> {
        let [by_user, by_both] = if second { &self.with_2 } else { &self.plain };
        if domain { by_both } else { by_user }
    }
}

/// How many tables may be named at run time.
const MOST: usize = 64;

/// The queries of tables that are only known at run time.
pub(super) struct Found {
    columns: Columns,
    known: RwLock<HashMap<Str, Arc<Queries>>>,
}

impl Found {
    pub(super) fn new(columns: Columns) -> Found {
        Found {
            columns,
            known: RwLock::default(),
        }
    }

    /// The queries of a call's table.
    pub(super) fn queries(&self, cx: &mut Cx, table: &Named) -> Result<Arc<Queries>, Fault> {
        if let Some(made) = table.0.queries.get() {
            return Ok(made.clone());
        }
        let name = match &table.0.name {
            Name::Known(name) => name.clone(),
            Name::Found(format) => format.text(cx),
        };
        if let Some(known) = self.known.read().get(&name) {
            return Ok(known.clone());
        }
        if name.is_empty() {
            return Err(Fault::script("the name of the table is empty"));
        }
        let mut known = self.known.write();
        if known.len() >= MOST {
            return Err(Fault::limit(format!(
                "more than {MOST} tables were named at run time: {name} is refused"
            )));
        }
        let made = Arc::new(Queries::new(&name, &self.columns));
        Ok(known.entry(name.detach()).or_insert(made).clone())
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    fn columns() -> Columns {
        let text = Str::from_static;
        Columns {
            user: text("username"),
            domain: text("domain"),
            password: text("ha1"),
            password_2: text("ha1b"),
            loaded: vec![text("email")],
        }
    }

    #[test]
    fn queries_ask_for_what_is_needed() {
        let queries = Queries::new(&Str::from_static("subscriber"), &columns());
        let shown = |domain, second| {
            let query = queries.get(domain, second);
            (query.columns().to_vec(), query.conditions().len())
        };
        assert_eq!(shown(false, false), (vec!["ha1".into(), "email".into()], 1));
        assert_eq!(shown(true, true), (vec!["ha1b".into(), "email".into()], 2));
    }

    #[test]
    fn tables_named_at_run_time_are_made_once_and_bounded() {
        let server = Server::default();
        let mut cx = server.invite();
        let found = Found::new(columns());
        let bind = cx.bind();
        let named = |name: &str| Named::parse(name, &*bind).unwrap();
        let first = found.queries(&mut cx, &named("t0")).unwrap();
        assert!(Arc::ptr_eq(
            &first,
            &found.queries(&mut cx, &named("t0")).unwrap()
        ));
        for n in 1..MOST {
            found.queries(&mut cx, &named(&format!("t{n}"))).unwrap();
        }
        assert!(found.queries(&mut cx, &named("one more")).is_err());
        assert!(Named::parse("", &*bind).is_err());
    }
}
