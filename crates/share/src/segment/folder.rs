//! A folder of segments: which there are, who uses them, and removing those that nobody does.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mapwright_core::peer::{Area, Life, MAX_SEATS, Mark, Oracle, Roster, points};
use mapwright_core::{Error, ErrorKind, MapOptions, Result};

use super::attach::{Found, LifeCycle, is_outdated};
use super::name::{Directory, quoted};
use super::{Participant, participants};
use crate::figure::Figure;
use crate::object::{Kind, Site};

/// What can be seen of a segment without taking part in it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Overview {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// How many bytes it takes.
    pub len: u64,
    /// When it was made.
    pub created: SystemTime,
    /// How many can take part.
    pub seats: usize,
    /// Who takes part, and who was the last one on each free seat.
    pub participants: Vec<Participant>,
    /// What is in it.
    pub objects: Vec<ObjectOverview>,
    /// Whether it is from before the machine was started, so that nobody can attach any more.
    pub is_outdated: bool,
}

/// What can be seen of an object without knowing its type.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ObjectOverview {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The types in it, as text; empty where there are none.
    pub layout: String,
    /// How many bytes it takes.
    pub len: usize,
    /// How it is now; the error where its memory does not make sense.
    pub figures: Result<Vec<Figure>, String>,
}

/// What [`Directory::prune`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Segments that nobody held, and that are gone.
    pub removed: Vec<String>,
    /// Segments that are used.
    pub kept: Vec<String>,
    /// Files that are no segments or cannot be opened, and why; they were left alone.
    pub skipped: Vec<(String, String)>,
}

impl Directory {
    /// Returns the names of the segments in this folder, in order; other files are left out.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn segments(&self) -> Result<Vec<String>> {
        let names = self.names()?;
        let is_segment = |name: &String| self.find(name).is_ok();
        Ok(names.into_iter().map(|name| name.as_str().to_owned()).filter(is_segment).collect())
    }

    /// Looks at all files of this folder that could be segments, in order: at what they are, or why they
    /// cannot be opened. What is removed meanwhile is left out.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn survey(&self) -> Result<Vec<(String, Result<Overview>)>> {
        let names = self.names()?;
        let look = |name: &super::name::Name| match self.inspect(name.as_str()) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            seen => Some((name.as_str().to_owned(), seen)),
        };
        Ok(names.iter().filter_map(look).collect())
    }

    /// Looks at a segment without taking part in it.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for segments that are outdated or full.
    pub fn inspect(&self, name: &str) -> Result<Overview> {
        let found = self.find(name)?;
        let contents = &found.contents;
        let map = MapOptions::new().len(contents.len()).map_mut(Arc::clone(&found.file))?;
        let area = Area::new(map)?;
        let (at, count) = contents.seats();
        let roster = Arc::new(Roster::observe(area.place_many(at, count)?, life_of(&found)?));
        let oracle: Arc<dyn Oracle> = Arc::clone(&roster) as _;
        let objects = contents.entries.iter().map(|entry| {
            let room = (entry.offset, entry.len);
            let site = Site::new(area.clone(), &entry.name, room, entry.parameters, Arc::clone(&oracle));
            let figures = site.and_then(|site| entry.kind.inspect(&site)).map_err(|error| error.to_string());
            let (name, layout) = (entry.name.clone(), entry.layout.clone());
            ObjectOverview { name, kind: entry.kind, layout, len: entry.len, figures }
        });
        Ok(Overview {
            name: name.to_owned(),
            len: contents.header.len,
            created: SystemTime::UNIX_EPOCH + Duration::from_nanos(contents.header.created),
            seats: count,
            participants: participants(&roster),
            objects: objects.collect(),
            is_outdated: is_outdated(contents),
            path: found.path,
        })
    }

    /// Removes a segment that nobody holds.
    ///
    /// # Errors
    /// `Busy` while anybody takes part; else as [`open`](Self::open).
    pub fn remove(&self, name: &str) -> Result<()> {
        let found = self.find(name)?;
        match remove_unheld(&found)? {
            Ok(()) => Ok(()),
            Err(seats) => {
                let why = format!("{} processes take part in it", seats.len());
                Err(Error::new(ErrorKind::Busy, "remove the segment", quoted(&found.path), why)
                    .advice("end them first; inspect() names them"))
            }
        }
    }

    /// Removes all segments of this folder that nobody holds, and leaves everything else alone. Hidden files
    /// of makers that were killed (on file systems without unnamed files) go when they are an hour old.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn prune(&self) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        for name in self.names()? {
            let name = name.as_str().to_owned();
            match self.find(&name).and_then(|found| remove_unheld(&found)) {
                Ok(Ok(())) => pruned.removed.push(name),
                Ok(Err(_)) => pruned.kept.push(name),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => pruned.skipped.push((name, error.to_string())),
            }
        }
        for name in self.hidden()? {
            match remove_left_over(&self.path().join(&name)) {
                Ok(true) => pruned.removed.push(name),
                Ok(false) => {
                    let why =
                        "somebody is making a segment, or was killed while it did, within the last hour";
                    pruned.skipped.push((name, why.to_owned()));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => pruned.skipped.push((name, error.to_string())),
            }
        }
        Ok(pruned)
    }

    /// Removes a segment that is from before the machine was started; `false` where there is another one, or
    /// something else, which stays.
    pub(super) fn remove_outdated(&self, name: &str) -> Result<bool> {
        match self.find(name) {
            Ok(found) if is_outdated(&found.contents) => Ok(remove_unheld(&found)?.is_ok()),
            Ok(_) => Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(_) => Ok(false),
        }
    }
}

/// Removes a segment unless seats are held, which are returned then.
fn remove_unheld(found: &Found) -> Result<Result<(), Vec<usize>>> {
    let failed = |cause: std::io::Error| Error::os("remove the segment", quoted(&found.path), cause);
    let lock = LifeCycle::lock(life_of(found)?, &found.path)?;
    let (_, count) = found.contents.seats();
    let mut held = Vec::new();
    for seat in 0..count {
        if lock.life().is_held(Mark::try_from(seat).unwrap_or(Mark::MAX)).map_err(failed)? {
            held.push(seat);
        }
    }
    if !held.is_empty() {
        return Ok(Err(held));
    }
    // Removed by somebody else and made anew since it was found: that one is not ours to remove.
    if lock.is_named(&found.file, &found.path) {
        points::step();
        std::fs::remove_file(&found.path).map_err(failed)?;
    }
    Ok(Ok(()))
}

/// Removes the hidden file of a maker that was killed; `false` where it may still be at it.
fn remove_left_over(path: &Path) -> std::io::Result<bool> {
    let status = std::fs::symlink_metadata(path)?;
    // A minute is an eternity for a maker; an hour is, even for one that was stopped for a while.
    let is_old = |time: SystemTime| time.elapsed().is_ok_and(|age| age > Duration::from_secs(3600));
    if !status.is_file() || status.uid() != rustix::process::geteuid().as_raw() || !is_old(status.modified()?)
    {
        return Ok(false);
    }
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let file = File::options().read(true).write(true).custom_flags(flags).open(path)?;
    let life = Life::open(&file)?;
    let mut marks = (0..MAX_SEATS).map(|seat| Mark::try_from(seat).unwrap_or(Mark::MAX));
    if marks.try_fold(false, |held, mark| Ok::<_, std::io::Error>(held || life.is_held(mark)?))? {
        return Ok(false);
    }
    points::step();
    std::fs::remove_file(path)?;
    Ok(true)
}

fn life_of(found: &Found) -> Result<Life> {
    Life::open(found.file.as_ref()).map_err(|cause| Error::os("open the segment", quoted(&found.path), cause))
}
