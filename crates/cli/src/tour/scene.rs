//! What a scene of the tour tells: data, to be drawn or printed as JSON.

use serde::Serialize;

use crate::cached::Cell;
use crate::measure::Cost;

/// One thing that was done.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Scene {
    /// What was done, in two or three words.
    pub(crate) title: &'static str,
    /// The line of Rust that did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'static str>,
    /// What happened, in plain sentences.
    pub(crate) says: Vec<String>,
    /// What it cost, our way first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ways: Vec<Way>,
    /// Pictures of pages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) strips: Vec<Strip>,
}

/// One way to do the same job.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Way {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether it is this library's.
    pub(crate) ours: bool,
    /// What it cost.
    pub(crate) cost: Cost,
}

/// Which pages of a file were in memory at one moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Strip {
    /// The moment.
    pub(crate) when: &'static str,
    /// The file from its beginning to its end.
    pub(crate) cells: Vec<Cell>,
}

impl Scene {
    /// Begins a scene.
    pub(crate) const fn new(title: &'static str) -> Self {
        Self { title, code: None, says: Vec::new(), ways: Vec::new(), strips: Vec::new() }
    }

    /// Shows the line of Rust.
    pub(crate) const fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Says a sentence.
    pub(crate) fn says(mut self, sentence: impl Into<String>) -> Self {
        self.says.push(sentence.into());
        self
    }

    /// Adds what our way cost.
    pub(crate) fn ours(mut self, name: &'static str, cost: Cost) -> Self {
        self.ways.push(Way { name, ours: true, cost });
        self
    }

    /// Adds what another way cost.
    pub(crate) fn beside(mut self, name: &'static str, cost: Cost) -> Self {
        self.ways.push(Way { name, ours: false, cost });
        self
    }

    /// Adds a picture of pages.
    pub(crate) fn strip(mut self, when: &'static str, cells: Vec<Cell>) -> Self {
        self.strips.push(Strip { when, cells });
        self
    }
}

impl Way {
    /// How many times as fast this way is as another.
    pub(crate) fn times(&self, other: &Self) -> f64 {
        self.cost.speed() / other.cost.speed().max(f64::MIN_POSITIVE)
    }
}
