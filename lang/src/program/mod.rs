//! The compiled program: route blocks as flat code, with everything that has a name already looked up.

pub mod eval;

use std::{collections::HashMap, ops::Range, sync::Arc};

use kahea_diag::Span;
use kahea_module::{Regex, RouteId, RouteKind, Str, Var, func::BoundFunc};

pub use self::eval::{Operator, Pure, Test};

/// All route blocks of a configuration.
#[derive(Default)]
pub struct Program {
    /// By [`RouteId`].
    pub routes: Vec<Route>,
    /// Calls with their arguments prepared.
    pub calls: Vec<Call>,
    /// Expressions without calls.
    pub exprs: Vec<Pure>,
    /// Assigned variables.
    pub targets: Vec<Var>,
    /// `switch` tables.
    pub switches: Vec<Switch>,
    /// Names of route blocks.
    pub names: Arc<RouteNames>,
}

/// Route blocks by kind and name. `request_route` and `reply_route` have the empty name.
#[derive(Debug, Default)]
pub struct RouteNames {
    map: HashMap<(RouteKind, Str), RouteId>,
}

impl RouteNames {
    /// Adds a block; gives back the earlier one of that name.
    pub fn add(&mut self, kind: RouteKind, name: Str, id: RouteId) -> Option<RouteId> {
        self.map.insert((kind, name), id)
    }

    /// Finds a block.
    pub fn get(&self, kind: RouteKind, name: &[u8]) -> Option<RouteId> {
        // The key is a pair, so a look-up needs an owned name; the message path has its ids already.
        self.map.get(&(kind, Str::copy(name))).copied()
    }

    /// All blocks.
    pub fn iter(&self) -> impl Iterator<Item = (RouteKind, &Str, RouteId)> {
        self.map.iter().map(|((kind, name), id)| (*kind, name, *id))
    }
}

/// One route block.
pub struct Route {
    /// Its kind.
    pub kind: RouteKind,
    /// Its name.
    pub name: Str,
    /// Its code; the last step is an [`Op::End`].
    pub code: Vec<Op>,
    /// Where each step stands, for logs.
    pub spans: Vec<Span>,
    /// Line numbers of the steps and the file, for run-time messages.
    pub lines: Vec<u32>,
    /// The file.
    pub file: Str,
    /// Statements that are no calls, by the step that each begins at, in order; for tracers.
    pub marks: Vec<Mark>,
    /// The steps of each block of statements inside it, those of inner blocks before those of the blocks around them.
    pub blocks: Vec<Range<u32>>,
}

impl Route {
    /// The steps of the innermost block that this one stands in; all of them where it stands in none.
    pub fn block_of(&self, at: u32) -> Range<u32> {
        let inner = self.blocks.iter().find(|block| block.contains(&at));
        inner
            .cloned()
            .unwrap_or_else(|| 0..u32::try_from(self.code.len()).unwrap_or(u32::MAX))
    }
}

/// The beginning of a statement that is no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The step.
    pub at: u32,
    /// Its line, from 1.
    pub line: u32,
    /// As Kamailio's traces name it.
    pub name: &'static str,
}

/// A prepared call.
pub struct Call {
    /// The function's name, for messages.
    pub name: &'static str,
    /// How many arguments it has.
    pub arguments: usize,
    /// The function with its arguments.
    pub run: BoundFunc,
}

/// A `switch`.
pub struct Switch {
    /// Tests in order, with the step to go on at.
    pub cases: Vec<(CaseTest, u32)>,
    /// Where to go on without a match.
    pub otherwise: u32,
}

/// The test of one `case`.
pub enum CaseTest {
    /// Equal to a number.
    Int(i64),
    /// Equal to a text.
    Str(Str),
    /// Matches.
    Regex(Regex),
}

/// One step. The machine has an accumulator (the last return code or truth) and a stack of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Calls a function; the accumulator is its return code.
    Call(u32),
    /// The same for an action of the core, which leaves `$rc` alone.
    Action(u32),
    /// Runs a route; the accumulator is its return code.
    Route(RouteId),
    /// The same with a name that is worked out now.
    RouteNamed(u32),
    /// The accumulator is 1 where the expression is true, else 0.
    Test(u32),
    /// The accumulator is 1 where it is above 0, else 0.
    Truth,
    /// The other truth.
    Not,
    /// Pushes the value of an expression.
    Push(u32),
    /// Pushes the accumulator.
    PushAcc,
    /// The accumulator is 1 where the popped value is true.
    PopTest,
    /// Pops two values, pushes the result.
    Binary(Operator),
    /// Pops a value, pushes the result.
    Unary(Operator),
    /// Assigns an expression to a variable.
    Assign(u32, u32),
    /// Assigns the popped value to a variable.
    AssignPop(u32),
    /// Goes on elsewhere.
    Jump(u32),
    /// Goes on elsewhere where the accumulator is not above 0.
    JumpFalse(u32),
    /// The same at the end of a condition; the accumulator is 1 then, the code of a statement that did nothing.
    JumpUnless(u32),
    /// Goes on elsewhere where the accumulator is above 0.
    JumpTrue(u32),
    /// Pops a value and goes on where the table says.
    Switch(u32),
    /// Begins a loop: a fresh count of rounds.
    LoopEnter,
    /// Counts a round; leaves the loop, to the step given, at `max_while_loops`.
    LoopCount(u32),
    /// Ends a round or, by `break`, the loop: the code in force is that of the loop unless a round follows. Goes on elsewhere.
    LoopNext(u32),
    /// Ends a loop.
    LoopLeave,
    /// Leaves the route with an expression's value as return code.
    Return(u32),
    /// Leaves the route with the popped value.
    ReturnPop,
    /// Leaves the route with code 0, without ending the script: `break` outside of loops.
    Break,
    /// Ends the script with an expression's value.
    Exit(u32),
    /// Ends the script; the message goes no further.
    Drop(u32),
    /// The end of the block: the return code is that of the last step.
    End,
}

const _: () = assert!(std::mem::size_of::<Op>() <= 12);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_stands_in_the_innermost_block() {
        let route = Route {
            kind: RouteKind::Request,
            name: Str::EMPTY,
            code: vec![Op::End; 10],
            spans: Vec::new(),
            lines: Vec::new(),
            file: Str::EMPTY,
            marks: Vec::new(),
            blocks: vec![3..5, 2..7, 8..9],
        };
        assert_eq!(route.block_of(4), 3..5);
        assert_eq!(route.block_of(5), 2..7);
        assert_eq!(route.block_of(8), 8..9);
        assert_eq!(route.block_of(0), 0..10, "none of the inner ones");
    }
}
