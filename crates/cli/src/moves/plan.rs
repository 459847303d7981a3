//! Which bytes of which files are to be moved.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Common;
use super::set::ResidencySet;
use super::stretches::{both, without};
use crate::cached::{Detail, Survey};
use crate::outcome::Failure;
use crate::range::ByteRange;
use crate::ui::quoted;
use crate::walk;

/// One file, with what is wanted of it. It is not kept open: there may be more of them than descriptors.
pub(super) struct Job {
    pub(super) path: PathBuf,
    /// The bytes that the command is about.
    pub(super) wanted: Vec<Range<u64>>,
    /// What was so before anything was moved.
    pub(super) survey: Survey,
}

/// All files, and those that nothing can be done about.
pub(super) struct Plan {
    pub(super) jobs: Vec<Job>,
    pub(super) refused: Vec<Failure>,
}

impl Job {
    /// Opens the file.
    pub(super) fn open(&self) -> Result<File, Failure> {
        open(&self.path)
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|cause| Failure::os("open", quoted(path), cause))
}

/// What a set that is restored means to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restore {
    /// The bytes in the set.
    Members,
    /// The bytes of the same files that are not in the set.
    Others,
}

impl Plan {
    /// Looks at every file that was selected, or that is in the set to be restored, and saves what is in
    /// memory where that was asked for.
    pub(super) fn make(common: &Common, restore: Option<(&Path, Restore)>) -> Result<Self, Failure> {
        let mut plan = Self { jobs: Vec::new(), refused: Vec::new() };
        let range = common.range.unwrap_or(ByteRange::ALL);
        if let Some((set, meaning)) = restore {
            for (path, members) in ResidencySet::load(set)?.files()? {
                plan.add(path, |file| within(&part(file, range), &members, meaning));
            }
        }
        if restore.is_none() || !common.selection.is_empty() {
            for found in walk::flatten(common.selection.find()?) {
                match found {
                    Ok(found) if found.again => {}
                    Ok(found) => plan.add(found.path, |file| vec![part(file, range)]),
                    Err(failure) => plan.refused.push(failure),
                }
            }
        }
        if let Some(set) = &common.save {
            plan.save(set)?;
        }
        Ok(plan)
    }

    fn add(&mut self, path: PathBuf, wanted: impl FnOnce(&Range<u64>) -> Vec<Range<u64>>) {
        let job = open(&path).and_then(|file| {
            let survey = Survey::of(&file, &path, ByteRange::ALL, Detail::Counted)?;
            Ok(Job { wanted: wanted(&survey.range), path, survey })
        });
        match job {
            Ok(job) => self.jobs.push(job),
            Err(failure) => self.refused.push(failure),
        }
    }

    fn save(&self, path: &Path) -> Result<(), Failure> {
        let mut set = ResidencySet::new();
        for job in &self.jobs {
            if let Some(why) = job.survey.hidden() {
                let what = format!("cannot save what is in memory of {}: {why}", quoted(&job.path));
                return Err(Failure::new(what).advice("save the set as the owner of the files, or as root"));
            }
            set.add(&job.path, &both(&job.survey.stretches(true), &job.wanted));
        }
        set.save(path)
    }
}

/// The part of a file that a range names; of a shorter file, what there is of it.
fn part(file: &Range<u64>, range: ByteRange) -> Range<u64> {
    let to = range.to.map_or(file.end, |to| to.min(file.end));
    range.from.min(to)..to
}

/// The part of a file that a set means to a command.
fn within(file: &Range<u64>, members: &[Range<u64>], meaning: Restore) -> Vec<Range<u64>> {
    let all = std::slice::from_ref(file);
    match meaning {
        Restore::Members => both(all, members),
        Restore::Others => without(all, members),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_file() {
        let range = |from, to| ByteRange { from, to };
        assert_eq!(part(&(0..100), ByteRange::ALL), 0..100);
        assert_eq!(part(&(0..100), range(10, Some(200))), 10..100);
        assert_eq!(part(&(0..100), range(200, None)), 100..100);
    }

    #[test]
    fn a_set_means_its_members_or_the_others() {
        let members = [10..20, 90..200];
        assert_eq!(within(&(0..100), &members, Restore::Members), [10..20, 90..100]);
        assert_eq!(within(&(0..100), &members, Restore::Others), [0..10, 20..90]);
        // Where a range was asked for too, only in it.
        let part = part(&(0..100), ByteRange { from: 15, to: Some(95) });
        assert_eq!(within(&part, &members, Restore::Members), [15..20, 90..95]);
        assert_eq!(within(&part, &members, Restore::Others), [20..90; 1]);
    }
}
