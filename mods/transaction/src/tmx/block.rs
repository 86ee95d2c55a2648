//! Names of route blocks that functions take.

use std::sync::Arc;

use kahea_module::{Bind, BindError, Config, Cx, Fault, Format, RouteId, RouteKind, Str, arg::Literal};

/// The name of a `route[X]`, looked up at load where it is constant.
pub enum Block {
    /// As it stands in the script; `None`: there is no such block.
    Fixed(Str, Option<RouteId>),
    /// Worked out at each call.
    Text(Format),
}

impl Literal for Block {
    const WHAT: &'static str = "the name of a route block";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Block, BindError> {
        if text.contains('$') {
            return bind.format(text).map(Block::Text);
        }
        Ok(Block::Fixed(Str::from(text), find(text, bind)))
    }
}

/// The empty name is that of `request_route`, which nothing calls.
fn find(name: &str, bind: &dyn Bind) -> Option<RouteId> {
    bind.route(RouteKind::Request, name).filter(|_| !name.is_empty())
}

impl Block {
    /// The block in a configuration, which may be an older one than the message's own.
    ///
    /// # Errors
    /// There is no such block.
    pub fn of(&self, cx: &mut Cx, config: &Arc<Config>) -> Result<RouteId, Fault> {
        let name = match self {
            Block::Fixed(name, route) if config.generation == cx.config().generation => {
                return route.ok_or_else(|| missing(name));
            }
            Block::Fixed(name, _) => name.clone(),
            Block::Text(format) => format.text(cx),
        };
        find(&name.text(), &*config.bind).ok_or_else(|| missing(&name))
    }

    /// The block in the message's own configuration.
    ///
    /// # Errors
    /// There is no such block.
    pub fn here(&self, cx: &mut Cx) -> Result<RouteId, Fault> {
        let config = cx.config().clone();
        self.of(cx, &config)
    }
}

fn missing(name: &Str) -> Fault {
    Fault::script(format!("there is no route[{name}]"))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{FakeBind, Server};

    use super::*;

    #[test]
    fn a_block_that_is_not_there_is_a_fault_of_the_script_when_it_is_called() {
        let server = Server::default();
        let mut cx = server.invite();
        let block = Block::parse("NONE", &FakeBind::default()).expect("a name");
        let fault = block.here(&mut cx).expect_err("no such block");
        assert_eq!(
            (fault.text.text().as_ref(), fault.code),
            ("there is no route[NONE]", -1)
        );
    }
}
