//! What an object tells of itself to whoever looks without knowing its types: the program's `share show`.

use mapwright_core::peer::Identity;

/// One thing that can be said of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// What it is, in a word or two: `depth`, `holder`.
    pub name: &'static str,
    /// What it is now.
    pub value: Value,
}

/// What a figure says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A count or a size.
    Number(u64),
    /// A state.
    Text(String),
    /// A participant.
    Who(Identity),
}

impl Figure {
    /// Says a number.
    pub(crate) const fn number(name: &'static str, number: u64) -> Self {
        Self { name, value: Value::Number(number) }
    }

    /// Says a state.
    pub(crate) fn text(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, value: Value::Text(text.into()) }
    }

    /// Names a participant.
    pub(crate) const fn who(name: &'static str, who: Identity) -> Self {
        Self { name, value: Value::Who(who) }
    }
}
