//! `mapwright share show`

use mapwright::share::Directory;
use serde::Serialize;

use super::draw;
use super::seen::Seen;
use crate::outcome::{Failure, Outcome};
use crate::ui::Screen;

#[derive(Serialize)]
pub(super) struct Report<'a> {
    schema: &'static str,
    #[serde(flatten)]
    segment: &'a Seen,
}

impl<'a> Report<'a> {
    pub(super) const fn of(segment: &'a Seen) -> Self {
        Self { schema: "mapwright.share.show/1", segment }
    }
}

pub(super) fn run(
    directory: &Directory,
    name: &str,
    json: bool,
    screen: &mut Screen,
) -> Result<Outcome, Failure> {
    let seen = Seen::of(directory, name)?;
    if json {
        screen.json(&Report::of(&seen))?;
    } else {
        let lines = draw::segment(&seen, screen.width());
        screen.lines(lines)?;
    }
    Ok(Outcome::Done)
}
