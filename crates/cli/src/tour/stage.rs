//! What a chapter has at hand: the ground, the visitor's file, and a place to show its scenes.

use std::path::Path;

use super::draw;
use super::ground::Ground;
use super::scene::Scene;
use crate::outcome::Failure;
use crate::ui::{Charset, Progress, Screen};

/// Shows scenes as they are told, and keeps them.
pub(crate) struct Stage<'a> {
    ground: &'a Ground,
    visitors_file: Option<&'a Path>,
    screen: Option<&'a mut Screen>,
    progress: Progress,
    scenes: Vec<Scene>,
}

impl<'a> Stage<'a> {
    /// Sets the stage; without a screen, scenes are only kept.
    pub(super) fn new(
        ground: &'a Ground,
        visitors_file: Option<&'a Path>,
        screen: Option<&'a mut Screen>,
    ) -> Self {
        let charset = screen.as_ref().map_or(Charset::Ascii, |screen| screen.charset());
        let progress = Progress::of_steps(charset);
        Self { ground, visitors_file, screen, progress, scenes: Vec::new() }
    }

    /// Where files can be made.
    pub(crate) const fn ground(&self) -> &'a Ground {
        self.ground
    }

    /// The visitor's own file, only to be read.
    pub(crate) const fn visitors_file(&self) -> Option<&'a Path> {
        self.visitors_file
    }

    /// Says what is being done, until the next scene is shown.
    pub(crate) fn doing(&self, what: &str) {
        self.progress.step(what);
    }

    /// Shows a scene.
    pub(crate) fn show(&mut self, scene: Scene) -> Result<(), Failure> {
        let number = self.scenes.len() + 1;
        self.print(|charset, width| draw::scene(number, &scene, charset, width))?;
        self.scenes.push(scene);
        Ok(())
    }

    /// Shows the heading of a chapter, with the place of its files where it makes some.
    pub(super) fn open(&mut self, title: &str, on_files: bool) -> Result<(), Failure> {
        let ground = on_files.then_some(self.ground);
        self.print(|_, width| draw::heading(title, ground, width))
    }

    /// Ends the chapter with its figures side by side, and gives its scenes out.
    pub(super) fn close(mut self) -> Result<Vec<Scene>, Failure> {
        let scenes = std::mem::take(&mut self.scenes);
        self.print(|charset, width| draw::figures(&scenes, charset, width))?;
        Ok(scenes)
    }

    fn print(&mut self, draw: impl FnOnce(Charset, usize) -> Vec<crate::ui::Line>) -> Result<(), Failure> {
        let Some(screen) = &mut self.screen else { return Ok(()) };
        let lines = draw(screen.charset(), screen.width());
        self.progress.aside(|| {
            screen.lines(lines)?;
            screen.flush()
        })
    }
}
