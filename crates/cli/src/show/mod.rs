//! `mapwright show`: which pages of files are in memory, as a picture, a tree, ranges or JSON.
//!
//! `survey` asks and adds up, and makes a tree of [`Item`]s; `file`, `tree`, `ranges` and `json` are faces of
//! it.

mod file;
mod json;
mod ranges;
mod survey;
mod tree;

use clap::ValueEnum;

use crate::outcome::{Failure, Outcome, Tally};
use crate::range::{self, ByteRange};
use crate::ui::{Screen, complain};
use crate::walk::Selection;
use survey::{Item, Surveyor};

/// Show which pages of files are in memory.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mapwright show data.db            a picture of one file
  mapwright show /var/lib           folders as a tree, with totals
  mapwright show --ranges data.db   stretches, as `mapwright cat` takes them")]
pub(crate) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Look at this range of each file only.
    #[arg(long, value_name = "RANGE", value_parser = range::parse)]
    range: Option<ByteRange>,
    /// Print stretches of pages in the same state, one a line.
    #[arg(long)]
    ranges: bool,
    /// Leave out what is not in memory.
    #[arg(long)]
    only_cached: bool,
    /// How to order the files of a folder: by what is cached, by size, by the share that is cached, by name.
    #[arg(long, value_name = "ORDER", default_value = "cached")]
    sort: Order,
    /// How deep to show folders; totals always count everything.
    #[arg(long, value_name = "LEVELS", default_value_t = 2)]
    depth: usize,
    /// Show every entry of a folder, not only the first twenty.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How to order files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    Cached,
    Size,
    Share,
    Name,
}

/// Shows files.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Outcome, Failure> {
    let entries = args.selection.find()?;
    let mut surveyor = Surveyor::new(args.range.unwrap_or(ByteRange::ALL), args.ranges);
    let mut items = surveyor.items(entries);
    if args.only_cached {
        items.retain_mut(Item::keep_cached);
    }
    items.iter_mut().for_each(|item| item.sort(args.sort));
    if args.json {
        screen.json(&json::report(&items, args.ranges))?;
    } else if args.ranges {
        ranges::print(&items, args.only_cached, screen)?;
    } else {
        draw(&items, args, screen)?;
    }
    screen.flush()?;
    let refused = surveyor.into_refused();
    let mut tally = Tally::default();
    items.iter().for_each(|_| tally.count(Outcome::Done));
    for failure in &refused {
        complain(failure);
        tally.count(Outcome::Failed);
    }
    Ok(tally.outcome())
}

fn draw(items: &[Item], args: &Args, screen: &mut Screen) -> Result<(), Failure> {
    let rows = file::rows(items.len());
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            screen.line("")?;
        }
        let (charset, width) = (screen.charset(), screen.width());
        match item {
            Item::File(found) => screen.lines(file::draw(found, rows, charset, width))?,
            Item::Folder(folder) => {
                let most = if args.all { usize::MAX } else { tree::USUAL };
                screen.lines(tree::draw(folder, args.depth, most, charset, width))?;
            }
        }
    }
    Ok(())
}
